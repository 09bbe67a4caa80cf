"""Configuration: the presets, the round trip through JSON, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from launch.presets import PRESETS
from pathnet_rl.arms import Arm
from pathnet_rl.config import MAY_CHANGE, EvolutionConfig, GridConfig, LearningConfig, RunConfig
from pathnet_rl.environment_options import in_labyrinth
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.settings import differences
from tests.labs import FAKE
from tests.support import tiny_config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_round_trip_through_json(name: str) -> None:
    config = PRESETS[name][1]
    again = RunConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert differences(config, again, MAY_CHANGE) == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_tasks_fit_its_grid_and_its_run_has_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    description, config = PRESETS[name]
    if in_labyrinth(config.tasks[0]):
        monkeypatch.syspath_prepend(str(FAKE))
    grid = build_grid(config)
    assert len(grid.actions) == len(config.tasks)
    assert config.name == name
    assert description.endswith(".")


def test_the_paper_preset_is_the_papers_size() -> None:
    config = PRESETS["paper"][1]
    assert config.tasks[0] == "ALE/Riverraid-v5"
    assert config.steps_of(0) == config.steps_of(1) == 40_000_000
    assert (config.evolution.population, config.workers) == (64, 64)
    assert (len(config.grid.layers), config.grid.modules, config.grid.width) == (4, 10, 4)


def test_the_paper_preset_evolves_by_the_papers_rules() -> None:
    paper = PRESETS["paper"][1]
    assert paper.evolution.population == 64
    assert paper.of(Arm.PATHNET) == paper.of(Arm.PATHNET_PAPER)
    laptop = PRESETS["laptop"][1]
    assert laptop.of(Arm.PATHNET) != laptop.of(Arm.PATHNET_PAPER)


@pytest.mark.parametrize(
    ("settings", "fields", "message"),
    [
        (GridConfig, {"width": 11, "modules": 10}, "N = 11 is more than modules M = 10"),
        (GridConfig, {"layers": ()}, "layers"),
        (GridConfig, {"layers": ({"kind": "lstm"},)}, "lstm"),
        (EvolutionConfig, {"population": 0}, "population"),
        (EvolutionConfig, {"mutation_rate": 1.1}, "mutation_rate"),
        (LearningConfig, {"learning_rate": 0.0}, "learning_rate"),
        (LearningConfig, {"discount": float("nan")}, "discount"),
        (LearningConfig, {"momentum": 0.9}, "momentum"),
        (LearningConfig, {"reward_scale": (0.5, 0.0)}, "learning.reward_scale.1"),
        (RunConfig, {"workers": 0}, "workers"),
        (RunConfig, {"tasks": ()}, "tasks"),
        (RunConfig, {"agent_steps": (0,)}, "agent_steps must be at least 1"),
        (RunConfig, {"agent_steps": (1, 2)}, "agent_steps has 2 numbers for 1 task;"),
        (
            RunConfig,
            {"learning": LearningConfig(reward_scale=(1.0, 2.0))},
            "learning.reward_scale has 2 numbers for 1 task;",
        ),
        (RunConfig, {"arms": ("pathnet", "pathnet")}, "an arm is named twice"),
        (
            RunConfig,
            {"arms": ("pathnet", "population-20")},
            "there is no arm population-20 here; choose from pathnet, independent, fine-tune,",
        ),
        (RunConfig, {"name": "a/b"}, "name"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    settings: type[GridConfig], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as refused:
        settings(**fields)
    line = str(refused.value)
    assert message in line
    assert "\n" not in line


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GridConfig().modules = 3  # type: ignore[misc]


def test_agent_steps_are_one_number_for_all_tasks_or_one_for_each(tmp_path: Path) -> None:
    assert tiny_config(tmp_path, agent_steps=(7,)).steps_of(1) == 7
    assert tiny_config(tmp_path, agent_steps=(7, 9)).steps_of(1) == 9


def test_reward_scales_are_one_number_for_all_tasks_or_one_for_each(tmp_path: Path) -> None:
    assert tiny_config(tmp_path).reward_scale_of(1) == 1.0
    learning = LearningConfig(reward_scale=(0.01, 2.0))
    assert tiny_config(tmp_path, learning=learning).reward_scale_of(1) == 2.0


def test_the_mutation_rate_is_one_gene_a_genotype_unless_given(tmp_path: Path) -> None:
    assert tiny_config(tmp_path).mutation_rate == 1 / (2 * 2)
    evolution = EvolutionConfig(mutation_rate=0.0)
    assert tiny_config(tmp_path, evolution=evolution).mutation_rate == 0.0


def test_differences_name_the_field_and_both_values(tmp_path: Path) -> None:
    old = tiny_config(tmp_path)
    new = tiny_config(tmp_path, evolution=old.evolution.model_copy(update={"rivals": 3}), workers=3)
    assert differences(old, new, MAY_CHANGE) == ["evolution.rivals: was 2, is now 3"]


def test_a_file_url_is_the_path_it_names_and_the_default_is_the_environment_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert RunConfig(folder="file:///shared/runs").folder == "/shared/runs"
    assert RunConfig(folder="s3://bucket/runs/").folder == "s3://bucket/runs"
    monkeypatch.delenv("PATHNET_RL_FOLDER", raising=False)
    assert RunConfig().folder == "runs"
    monkeypatch.setenv("PATHNET_RL_FOLDER", "/shared/runs")
    assert RunConfig().folder == "/shared/runs"
    assert RunConfig(folder="runs").folder == "runs"
