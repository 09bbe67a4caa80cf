"""The keystone: one seed gives one run, bit by bit, in one process or on ray with one worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import ray
import torch
from numpy.typing import NDArray

from pathnet_rl import engine
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, GridConfig, LearningConfig, RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.engine import Engine, EngineSize, Floats
from pathnet_rl.engine.compiled.network import CompiledEngine
from pathnet_rl.engine.torch_engine import TorchEngine
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.modules import ConvModule, LinearModule
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.run_folder import RunFolder
from tests.support import (
    Moment,
    last_moment,
    learn_first_task,
    run_experiment,
    serial_crew,
    tiny_config,
)
from workers.ray_crew import RayCrew


def ray_crew(config: RunConfig, arm: Arm = Arm.PATHNET) -> RayCrew:
    return RayCrew(config, arm, build_grid(config), workers=1)


def whole_run(
    folder: Path,
    make_crew: Callable[[RunConfig, Arm], Crew],
    seed: int = 0,
    duplication_rate: float = 0.0,
) -> Moment:
    """Two tasks to their end; the last checkpoint."""
    evolution = EvolutionConfig(
        population=4, episodes=2, rivals=2, duplication_rate=duplication_rate
    )
    config = tiny_config(folder, seed=seed, evolution=evolution)
    run_experiment(config, lambda arm: make_crew(config, arm))
    return last_moment(RunFolder(config).path)


def same(one: Moment, other: Moment) -> None:
    for name in ("parameters", "squares"):
        assert torch.equal(one[0][name], other[0][name])
    assert one[1] == other[1]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    return whole_run(tmp_path_factory.mktemp("serial"), serial_crew)


def test_the_serial_twin_gives_the_same_run_twice(serial: Moment, tmp_path: Path) -> None:
    same(whole_run(tmp_path, serial_crew), serial)


def test_another_seed_gives_another_run(serial: Moment, tmp_path: Path) -> None:
    other = whole_run(tmp_path, serial_crew, seed=1)
    assert not torch.equal(other[0]["parameters"], serial[0]["parameters"])
    assert other[1]["coordinator"]["population"] != serial[1]["coordinator"]["population"]


def test_tournaments_and_learning_took_place(serial: Moment) -> None:
    coordinator = serial[1]["coordinator"]
    assert coordinator["overwrites"] > 0
    assert coordinator["mutated_genes"] > 0
    assert any(fitness is not None for fitness in coordinator["fitness"])
    assert serial[1]["finished"]


@pytest.mark.usefixtures("ray_cluster")
def test_ray_with_one_worker_gives_the_serial_twins_run(serial: Moment, tmp_path: Path) -> None:
    """Parameters, squares, population, fitness, generator, greedy returns: all of it."""
    same(whole_run(tmp_path, ray_crew), serial)


class KillsCoordinators(RayCrew):
    """Ends the coordinator's process again and again, at whatever it is at the moment."""

    deaths = 0

    def wait(self, seconds: float) -> bool:
        over = super().wait(0.3)
        if not over and self._kept.deaths == self.deaths and self.deaths < 3:
            self.deaths += 1
            who: Any = self._roles["coordinator"]
            os.kill(ray.get(who.__ray_call__.remote(lambda _: os.getpid())), signal.SIGKILL)
        return over


@pytest.mark.usefixtures("ray_cluster")
def test_a_coordinator_in_place_of_a_dead_one_knows_all_that_it_knew(
    serial: Moment, tmp_path: Path
) -> None:
    killed: list[KillsCoordinators] = []

    def make(config: RunConfig, arm: Arm) -> Crew:
        killed.append(KillsCoordinators(config, arm, build_grid(config), workers=1))
        return killed[-1]

    same(whole_run(tmp_path, make), serial)
    (crew,) = killed
    assert crew.deaths == crew.restarts == 3
    assert not list(crew.store.path.parent.glob(f"{crew.store.path.stem}*"))


@pytest.mark.usefixtures("ray_cluster")
def test_modules_are_duplicated_at_the_same_moments(serial: Moment, tmp_path: Path) -> None:
    duplicating = whole_run(tmp_path / "serial", serial_crew, duplication_rate=0.5)
    same(whole_run(tmp_path / "ray", ray_crew, duplication_rate=0.5), duplicating)
    assert len(duplicating[1]["coordinator"]["duplication"]["copied"]) > 1
    assert not torch.equal(duplicating[0]["parameters"], serial[0]["parameters"])


def atari_task(
    folder: Path,
    make_crew: Callable[[RunConfig, Arm], Crew],
    image_precision: Literal["auto", "float32"] = "auto",
) -> Moment:
    """Some updates of Pong through convolutions; nobody finishes a game."""
    config = tiny_config(
        folder,
        tasks=("ALE/Pong-v5",),
        agent_steps=(1200,),
        grid=GridConfig(
            layers=(
                ConvModule(kernels=4, size=8, stride=4),
                ConvModule(kernels=4, size=4, stride=2),
                LinearModule(units=10),
            ),
            modules=4,
            width=2,
            image_precision=image_precision,
        ),
        learning=LearningConfig(environments=2, rollout_steps=10),
        evolution=EvolutionConfig(population=3, episodes=1),
    )
    RunFolder(config).open()
    crew = make_crew(config, Arm.PATHNET)
    try:
        learn_first_task(config, crew)
        tensors, header = crew.server.state()
        return tensors, {"store": header, "coordinator": crew.coordinator.state()}
    finally:
        crew.close()


@pytest.mark.usefixtures("ray_cluster")
def test_ray_with_one_worker_gives_the_serial_twins_pong(tmp_path: Path) -> None:
    serial = atari_task(tmp_path / "serial", serial_crew)
    same(atari_task(tmp_path / "ray", ray_crew), serial)
    assert serial[1]["store"]["updates"] == 60


class SideBySide:
    """The compiled engine at work, and the torch engine beside it that sees and is told the same.

    `errors` are relative ones, of every step's outputs and every update's gradients.
    """

    def __init__(self, grid: Grid, size: EngineSize, errors: dict[str, list[float]]) -> None:
        self.size = size
        self._compiled, self._torch = CompiledEngine(grid, size), TorchEngine(grid, size)
        self._errors = errors

    def _compare(self, what: str, found: Sequence[Any], wanted: Sequence[Any]) -> None:
        one, other = (np.concatenate([np.ravel(a) for a in arrays]) for arrays in (found, wanted))
        scale = max(float(np.linalg.norm(other)), 1e-6)
        self._errors[what].append(float(np.linalg.norm(one - other)) / scale)

    def load(self, weights: Sequence[PathwayWeights]) -> None:
        self._compiled.load(weights)
        self._torch.load(weights)

    def forward(self, observations: Sequence[NDArray[Any]], step: int) -> tuple[Floats, Floats]:
        found = self._compiled.forward(observations, step)
        self._compare("outputs", found, self._torch.forward(observations, step))
        return found

    def outputs(self, pathway: int) -> tuple[Floats, Floats]:
        return self._compiled.outputs(pathway)

    def backward(self, upstream: Sequence[tuple[Floats, Floats]]) -> list[PathwayWeights]:
        found, wanted = self._compiled.backward(upstream), self._torch.backward(upstream)
        for one, other in zip(found, wanted, strict=True):
            self._compare("gradients", (*one.layers, one.head), (*other.layers, other.head))
        return found

    def dead_units(self) -> float:
        dead = self._compiled.dead_units()
        self._errors["dead units"].append(abs(dead - self._torch.dead_units()))
        return dead


@pytest.mark.parametrize("task", ["whole run", "Pong"])
def test_the_torch_engine_says_the_same_at_every_step_and_update(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it and not instead of it: two runs part for good at the first action that rounding decides."""
    errors: dict[str, list[float]] = {"outputs": [], "gradients": [], "dead units": []}

    def make(config: RunConfig, grid: Grid, size: EngineSize) -> Engine:
        return SideBySide(grid, size, errors)

    monkeypatch.setattr(engine, "make", make)
    if task == "Pong":
        atari_task(tmp_path, serial_crew, image_precision="float32")
    else:
        whole_run(tmp_path, serial_crew)
    assert len(errors["gradients"]) >= 60
    assert len(errors["dead units"]) > 0
    for found in errors.values():
        assert np.median(found) < 1e-5
        # A response within rounding of 0 may be on either side of its ReLU.
        assert max(found) < 0.05
