"""Hyperparameter genes at work: what a factor does to an update, and where it can be read afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import pytest
import torch

from launch.report import Options, report
from pathnet_rl import a3c
from pathnet_rl.a3c import Floats, Losses, loss_gradients
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, LearningConfig, RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.evidence import definitions
from pathnet_rl.grid import build_grid
from pathnet_rl.hyperparameters import AS_CONFIGURED, Factors
from pathnet_rl.report import summarise, write_report
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult
from tests.engines import EngineName
from tests.made_runs import make_run
from tests.support import (
    ROOT,
    last_moment,
    learn_first_task,
    run_experiment,
    serial_crew,
    tiny_config,
)
from workers.ray_crew import RayCrew

ENGINES: Sequence[tuple[EngineName, bool]] = (
    ("compiled", False), ("torch", False), ("torch", True),
)  # fmt: skip
FACTORS = Factors(2.6, 0.25)
GENES = EvolutionConfig(
    population=4, episodes=2, rivals=2, hyperparameters=("learning_rate", "entropy_cost")
)

# Updates ------------------------------------------------------------------------------------------


def learned(
    folder: Path,
    engine: tuple[EngineName, bool],
    factors: Sequence[Factors],
    agent_steps: int = 800,
    learning_rate: float = 5e-3,
    entropy_cost: float = 0.05,
) -> torch.Tensor:
    """The block after two fixed pathways, on modules of their own, have learned with these factors."""
    name, grouped = engine
    learning = LearningConfig(
        learning_rate=learning_rate, entropy_cost=entropy_cost,
        rmsprop_epsilon=0.01, rollout_steps=8, environments=2,
    )  # fmt: skip
    config = tiny_config(
        folder, engine=name, grouped=grouped, learning=learning, agent_steps=(agent_steps,),
        evolution=EvolutionConfig(population=2, episodes=1000),
    )  # fmt: skip
    RunFolder(config).open()
    crew = serial_crew(config)
    try:
        state = crew.coordinator.state()
        state["population"] = [[[0, 1], [0, 1]], [[2, 3], [2, 3]]]
        state["factors"] = [asdict(one) for one in factors]
        crew.coordinator.load_state(state, (), agent_steps)
        learn_first_task(config, crew)
        return crew.server.state()[0]["parameters"]
    finally:
        crew.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_factor_of_2_is_twice_the_configured_value_to_the_bit(
    engine: tuple[EngineName, bool], tmp_path: Path
) -> None:
    as_configured = learned(tmp_path / "0", engine, [AS_CONFIGURED] * 2)
    rate = learned(tmp_path / "1", engine, [Factors(learning_rate=2.0)] * 2)
    cost = learned(tmp_path / "2", engine, [Factors(entropy_cost=2.0)] * 2)
    assert torch.equal(
        rate, learned(tmp_path / "3", engine, [AS_CONFIGURED] * 2, learning_rate=1e-2)
    )
    assert torch.equal(cost, learned(tmp_path / "4", engine, [AS_CONFIGURED] * 2, entropy_cost=0.1))
    assert not torch.equal(rate, as_configured)
    assert not torch.equal(cost, as_configured)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_pathway_learns_at_its_own_rate(
    engine: tuple[EngineName, bool], tmp_path: Path
) -> None:
    (layer, _) = build_grid(tiny_config(tmp_path)).layers
    tiny = Factors(learning_rate=1e-12)
    still, first, second = (
        layer.rows(learned(tmp_path / str(number), engine, factors))
        for number, factors in enumerate(
            ([tiny, tiny], [AS_CONFIGURED, tiny], [tiny, AS_CONFIGURED])
        )
    )
    assert [(row != old).any().item() for row, old in zip(first, still, strict=True)] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert [(row != old).any().item() for row, old in zip(second, still, strict=True)] == [
        False, False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_each_pathway_has_its_own_entropy_cost(
    engine: tuple[EngineName, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[float] = []

    def spy(*arguments: Any) -> tuple[Floats, Floats, Losses]:
        costs.append(arguments[4])
        return loss_gradients(*arguments)

    monkeypatch.setattr(a3c, "loss_gradients", spy)
    learned(tmp_path, engine, [Factors(entropy_cost=0.5), Factors(entropy_cost=3.0)])
    assert costs == pytest.approx([0.025, 0.15] * 25)  # 50 rollouts of 16 agent steps.


# Whole runs ---------------------------------------------------------------------------------------


def whole_run(folder: Path, workers: int | None) -> tuple[RunConfig, list[TaskResult]]:
    """In this process without `workers`, else on ray."""
    config = tiny_config(folder, evolution=GENES)

    def crew(arm: Arm) -> Crew:
        if workers is None:
            return serial_crew(config, arm)
        return RayCrew(config, arm, build_grid(config), workers=workers)

    return config, run_experiment(config, crew)[Arm.PATHNET]


@pytest.mark.usefixtures("ray_cluster")
def test_ray_with_one_worker_gives_the_serial_twins_run_and_results_say_the_factors(
    tmp_path: Path,
) -> None:
    config, results = whole_run(tmp_path / "serial", None)
    other, same = whole_run(tmp_path / "ray", 1)
    assert same == results
    saved = [last_moment(RunFolder(each).path) for each in (config, other)]
    assert torch.equal(saved[0][0]["parameters"], saved[1][0]["parameters"])
    assert saved[0][1] == saved[1][1]
    assert saved[0][1]["coordinator"]["overwrites"] > 0
    found = [result.finished.factors for result in results]
    assert found[0] != found[1]
    for factors in found:
        for value in asdict(factors).values():
            assert 1 / 8 <= value <= 8
            assert value != 1.0
    # The last task's population is that of the checkpoint, and its best pathway was frozen.
    assert asdict(found[1]) in saved[0][1]["coordinator"]["factors"]
    folder = RunFolder(config)
    write_report(config, folder, summarise(config, folder, {Arm.PATHNET: results}))
    summary = json.loads(folder.summary.read_text())["tasks"]
    assert [task["best_hyperparameter_factors"] for task in summary] == list(map(asdict, found))


def test_results_keep_factors_and_older_ones_have_those_of_the_configuration(
    tmp_path: Path,
) -> None:
    make_run(tmp_path, "a", {Arm.PATHNET: (10.0, 50.0)}, factors=FACTORS)
    state = RunFolder.existing(tmp_path / "a").latest_state(Arm.PATHNET)
    assert state is not None
    (first, _) = state["results"]
    assert TaskResult.from_state(first).finished.factors == FACTORS
    del first["finished"]["factors"]
    assert TaskResult.from_state(first).finished.factors == AS_CONFIGURED


# The report ---------------------------------------------------------------------------------------


def test_a_report_says_which_factors_the_best_pathways_had(tmp_path: Path) -> None:
    levels = {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 30.0)}
    one = GENES.model_copy(update={"hyperparameters": ("learning_rate",)})
    runs = (
        make_run(tmp_path, "a", levels, factors=FACTORS, evolution=GENES),
        make_run(tmp_path, "b", levels, factors=Factors(0.5), seed=1, evolution=one),
    )
    page = report(Options(runs, tmp_path / "report", random_episodes=0)).page.read_text()
    (section,) = page.split("Hyperparameter genes</h2>")[1:]
    section = section.partition("<h2")[0]
    assert escape(definitions.FACTORS) in section
    cells = [f"x {factor}<br><small>{value}</small>" for factor, value in (
        ("2.60", "0.013"), ("0.25", "0.0025"), ("0.50", "0.0025"),
    )]  # fmt: skip
    assert [section.count(cell) for cell in cells] == [2, 2, 2]  # Two tasks each.
    assert section.count("no gene") == 2
    assert "independent" not in section.partition("<table>")[2]
    reference = " ".join((ROOT / "docs" / "metrics.md").read_text().split())
    assert f"**Hyperparameter genes.** {definitions.FACTORS}" in reference


def test_a_report_of_runs_without_such_genes_is_silent_on_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", {Arm.PATHNET: (10.0, 50.0)})
    page = report(Options((run,), tmp_path / "report", random_episodes=0)).page.read_text()
    assert "Hyperparameter genes" not in page
