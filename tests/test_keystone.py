"""The keystone: one seed gives one run, bit by bit, in one process or on ray with one worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, GridConfig, LearningConfig, RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.grid import build_grid
from pathnet_rl.modules import ConvModule, LinearModule
from pathnet_rl.run_folder import RunFolder
from tests.support import learn_first_task, run_experiment, serial_crew, tiny_config
from workers.ray_crew import RayCrew

Moment = tuple[dict[str, torch.Tensor], dict[str, Any]]


def ray_crew(config: RunConfig, arm: Arm = Arm.PATHNET) -> RayCrew:
    return RayCrew(config, arm, build_grid(config), workers=1)


def whole_run(folder: Path, make_crew: Callable[[RunConfig, Arm], Crew], seed: int = 0) -> Moment:
    """Two tasks to their end; the last checkpoint."""
    config = tiny_config(folder, seed=seed)
    run_experiment(config, lambda arm: make_crew(config, arm))
    return checkpoint.load(
        checkpoint.list_checkpoints(RunFolder(config).checkpoints(Arm.PATHNET))[-1]
    )


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


def atari_task(folder: Path, make_crew: Callable[[RunConfig, Arm], Crew]) -> Moment:
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
