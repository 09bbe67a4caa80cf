"""Founders, heirs and builders on images, and the paper's own rules beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from launch.presets import SUPERVISED_PRESETS
from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, no_modules, union
from pathnet_rl.supervised.config import SerialConfig, SerialEvolutionConfig
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.supervised.jobs import do, missing_jobs
from pathnet_rl.supervised.rules import RULES
from pathnet_rl.supervised.seed_grid import SeedGrid
from pathnet_rl.supervised.serial_pathnet import SeedEvolution, learn_task, run_seed
from tests.small_experiment import SEQUENCE, small_experiment, write_digits
from tests.test_supervised import ENGINES, INPUTS, TASKS, blobs, small

THREE = (*TASKS, blobs("third", 3))
ALL: dict[str, Any] = {
    "start": "founders",
    "heirs": 2.0,
    "builders": 1.0,
    "newcomers": 1.0,
    "mutation_rate": 0.05,
}
HEIRS: dict[str, Any] = {"start": "founders", "heirs": 1.0, "newcomers": 0.0, "mutation_rate": 0.05}


def evolving(engine: str = "auto", modules: int = 9, **evolution: Any) -> SerialConfig:
    """Small, of six pathways; the grid holds the pathways of three tasks."""
    settings = SerialEvolutionConfig(**{"population": 6, **evolution})
    made = small(grid={"modules": modules}, learning={"generations": 8}, engine=engine)
    return made.model_copy(update={"evolution": settings})


RECORDED = {
    Arm.PATHNET: ("0d1496803472a9ab", "6b6f355c3c511edb"),
    Arm.INDEPENDENT: ("8d55d3f3b3240897", "d47bed5b93155c2f"),
    Arm.FINE_TUNE: ("6dbea797126eee4c", "f14b4d15fe33b163"),
    Arm.FROM_SCRATCH: ("1ec5cd020fdb107f", "65bb16c694543b3c"),
    Arm.RANDOM_PATH: ("4f87bc74863e376e", "74f22276a9f45de3"),
    Arm.NO_REINITIALISATION: ("29739415622be836", "1a3dd390f0bb81cc"),
    Arm.FROZEN_ACTIVE: ("f8f2a6b9f8f7cc5f", "7cd291003b44501b"),
    Arm.NO_EVOLUTION: ("352fc60ec11b8f86", "56714440afdd2966"),
    Arm.POPULATION_20: ("46b2c65cc243f5c8", "913c4abc9ce4a5f5"),
}
"""What the arms did when no population had founders (commit b4280a4): two tasks, and three."""
RECORDED_OF_64 = "80ae30d471d9d0a1"
"""What `pathnet` did then with 64 pathways, on two tasks."""


def digest(arm: Arm, tasks: tuple[Any, ...], config: SerialConfig) -> str:
    """Of everything that four seeds recorded."""
    records = [
        [
            None if record is None else asdict(record)
            for record in run_seed(arm, tasks, seed, config)
        ]
        for seed in range(4)
    ]
    return hashlib.sha256(json.dumps(records).encode()).hexdigest()[:16]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("arm", RECORDED)
def test_by_the_papers_rules_every_arm_does_what_it_did_before_there_were_others(
    arm: Arm, engine: str
) -> None:
    of_three = small(learning={"generations": 5}, engine=engine)
    found = digest(arm, TASKS, small(engine=engine)), digest(arm, THREE, of_three)
    assert found == RECORDED[arm]


def test_pathnet_by_the_papers_rules_is_what_pathnet_was_whatever_is_configured() -> None:
    for evolution in (SerialEvolutionConfig(population=5, **HEIRS), SerialEvolutionConfig()):
        config = small().model_copy(update={"evolution": evolution})
        assert digest(Arm.PATHNET_PAPER, TASKS, config) == RECORDED_OF_64
    assert digest(Arm.PATHNET, TASKS, config) == RECORDED_OF_64


def test_the_other_arms_evolve_as_configured() -> None:
    config = evolving(**HEIRS)
    for arm in set(RULES) - {Arm.PATHNET_PAPER}:
        given = RULES[arm].configured(config).evolution
        wanted = RULES[arm].population or 6
        assert given == config.evolution.model_copy(update={"population": wanted})


@pytest.mark.parametrize("evolution", [ALL, HEIRS, {**ALL, "heirs": 0.0}])
@pytest.mark.parametrize("modules", [9, 3])
@pytest.mark.parametrize("arm", list(RULES))
def test_whole_seeds_are_the_same_with_both_engines(
    arm: Arm, modules: int, evolution: dict[str, Any]
) -> None:
    """Three modules a layer are all frozen after the first task: its heir is then the original itself."""
    both = [
        [run_seed(arm, THREE, seed, evolving(engine, modules, **evolution)) for seed in range(2)]
        for engine in ENGINES
    ]
    assert both[0] == both[1]


def after_one_task(
    config: SerialConfig,
) -> tuple[SeedEvolution, SeedGrid, ActiveModules, list[torch.Tensor]]:
    """An evolution that has learned the first task, its grid, what is kept, and a copy of all modules."""
    evolution = SeedEvolution(Arm.PATHNET, 7, config)
    weights = SeedGrid(config, INPUTS, 2, config.grid.modules)
    kept = learn_task(evolution, weights, 0, TASKS[0], no_modules(config.grid.depth))
    return evolution, weights, kept, [rows.clone() for rows in weights.rows]


def test_a_first_task_begins_with_one_pathway_of_distinct_modules_and_its_copies() -> None:
    evolution = SeedEvolution(Arm.PATHNET, 0, evolving(**{**HEIRS, "mutation_rate": 0.0}))
    evolution.begin_task(0, 60)
    assert len(set(evolution.population)) == 1
    assert [len(layer) for layer in evolution.population[0].active] == [3, 3, 3]
    assert evolution.heirs == []


def test_an_heir_is_an_exact_copy_and_everything_else_is_drawn_anew() -> None:
    evolution, weights, kept, before = after_one_task(evolving(**{**HEIRS, "mutation_rate": 0.0}))
    original = evolution.record.path
    assert kept == original
    evolution.begin_task(1, 60)
    (heir,) = evolution.heirs
    weights.begin_task(kept, evolution.fresh, [heir.copies])
    assert {genotype.active for genotype in evolution.population} == {heir.path}
    for layer, (rows, old) in enumerate(zip(weights.rows, before, strict=True)):
        assert not set(heir.path[layer]) & set(original[layer])
        for module in range(9):
            source = {t: s for s, t in heir.copies[layer]}.get(module, module)
            same = module in original[layer] or module in heir.path[layer]
            assert torch.equal(rows[module], old[source]) is same


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [HEIRS, ALL])
def test_an_heir_goes_on_learning_and_the_original_does_not_change(
    options: dict[str, Any], engine: str
) -> None:
    evolution, weights, kept, before = after_one_task(evolving(engine, **options))
    learn_task(evolution, weights, 1, TASKS[1], kept)
    (heir,) = evolution.heirs
    for layer, (rows, old) in enumerate(zip(weights.rows, before, strict=True)):
        assert torch.equal(rows[list(kept[layer])], old[list(kept[layer])])
        for source, target in heir.copies[layer]:
            assert not torch.equal(rows[target], old[source])
    assert evolution.solved[0].path == kept
    assert evolution.frozen == union(kept, evolution.solved[1].path)


def test_a_builder_uses_what_the_last_task_was_solved_with_and_trains_only_what_is_its_own() -> (
    None
):
    config = evolving(start="founders", builders=1.0, newcomers=0.0, mutation_rate=0.0)
    evolution, weights, kept, before = after_one_task(config)
    evolution.begin_task(1, 60)
    evolution.draw_contestants()
    learned, used = evolution.modules(0)
    assert used == kept
    assert [len(layer) for layer in learned] == [3, 3, 3]
    assert not any(set(mine) & set(theirs) for mine, theirs in zip(learned, kept, strict=True))
    learn_task(evolution, weights, 1, TASKS[1], kept)
    assert evolution.solved[1].always == kept
    for layer, (rows, old) in enumerate(zip(weights.rows, before, strict=True)):
        assert torch.equal(rows[list(kept[layer])], old[list(kept[layer])])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heirs": 1.0}, "need --evolution.start founders"),
        ({"builders": 1.0}, "need --evolution.start founders"),
        ({"start": "founders", "newcomers": 0.0}, "must have a share"),
        ({"start": "heirs"}, "evolution.start"),
        ({"start": "founders", "heirs": -1.0}, "evolution.heirs"),
        ({"start": "founders", "most_heirs": 0}, "evolution.most_heirs"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        SerialEvolutionConfig.model_validate(settings)
    assert "\n" not in str(refused.value)


def test_an_experiment_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path)).model_copy(
        update={
            "evolution": SerialEvolutionConfig(population=4, **HEIRS),
            "arms": (Arm.PATHNET, Arm.PATHNET_PAPER, Arm.FINE_TUNE),
            "seeds": 3,
            "together": 1,
        }
    )
    found = {}
    for name, stop in (("whole", 9), ("stopped", 4)):
        experiment = given.model_copy(update={"name": name, "folder": str(tmp_path)})
        for jobs in (stop, 9):
            folder = ExperimentFolder(experiment)
            folder.open()
            for job in list(missing_jobs(experiment, [SEQUENCE], folder))[:jobs]:
                folder.append(do(experiment, job).results)
            folder.close()
        found[name] = folder.everything()
    assert len(found["whole"]) == 9
    assert found["stopped"] == found["whole"]


@pytest.mark.parametrize("name", SUPERVISED_PRESETS)
def test_presets_show_pathnet_the_papers_rules_and_both_controls(name: str) -> None:
    experiment = SUPERVISED_PRESETS[name][1]
    assert experiment.arms == (
        Arm.PATHNET, Arm.PATHNET_PAPER, Arm.INDEPENDENT, Arm.FINE_TUNE,
    )  # fmt: skip
    assert (experiment.evolution.start, experiment.evolution.heirs) == ("founders", 1.0)
    assert RULES[Arm.PATHNET_PAPER].configured(experiment).evolution == SerialEvolutionConfig()
