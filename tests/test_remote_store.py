"""The store as a worker on another node has it: the same verbs with the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.crew import Store
from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.grid import build_grid
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Telemetry
from tests.support import random_gradients, run_task, small_grid, tiny_config
from workers.coordinator import TournamentCoordinator
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker
from workers.remote_store import RemoteStore

GRID = small_grid(actions=(3, 3))
PATH: ActiveModules = ((0, 2), (1, 4), (3, 5))


def test_pulls_and_pushes_through_the_server_are_those_of_the_block(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    server = ParameterServer(config, Arm.PATHNET, GRID, tmp_path / "block")
    server.begin_first_task(0)
    local = GridStore.open(tmp_path / "block", GRID, config.learning)
    remote = RemoteStore(server, GRID)
    for found, wanted in zip(
        remote.pull(0, PATH, no_modules(3)).layers, local.pull(0, PATH, no_modules(3)).layers,
        strict=True,
    ):  # fmt: skip
        assert torch.equal(found, wanted)
    gradients = random_gradients(GRID, PATH, 0, np.random.default_rng(0))
    remote.push(0, PATH, gradients, 100, worker=5)
    assert local.agent_steps == remote.agent_steps == 100
    assert remote.task == 0
    assert not remote.over
    remote.push(0, PATH, gradients, 4000, worker=5)
    assert remote.over


def test_what_the_header_says_is_as_old_as_the_last_push_or_refresh(tmp_path: Path) -> None:
    server = ParameterServer(tiny_config(tmp_path), Arm.PATHNET, GRID, tmp_path / "block")
    server.begin_first_task(0)
    remote = RemoteStore(server, GRID)
    server.begin_next_task(1, PATH)
    assert (remote.task, remote.frozen) == (0, ((), (), ()))
    remote.refresh()
    assert (remote.task, remote.frozen) == (1, PATH)


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_a_worker_learns_the_same_through_either(kind: str, tmp_path: Path) -> None:
    learned = {}
    for store_kind in ("local", kind):
        folder = tmp_path / store_kind
        folder.mkdir(exist_ok=True)
        evolution = EvolutionConfig(
            population=4, episodes=2, rivals=2, hyperparameters=("learning_rate", "entropy_cost")
        )
        config = tiny_config(folder, agent_steps=(600,), evolution=evolution)
        grid = build_grid(config)
        block = folder / "block"
        block.unlink(missing_ok=True)
        server = ParameterServer(config, Arm.PATHNET, grid, block)
        server.begin_first_task(0)
        store: Store = (
            RemoteStore(server, grid)
            if store_kind == "remote"
            else GridStore.open(block, grid, config.learning)
        )
        coordinator = TournamentCoordinator(config, Arm.PATHNET)
        told: list[Telemetry] = []
        run_task(PathwayWorker(config, Arm.PATHNET, 0, range(4), store, coordinator, told.append))
        learned[store_kind] = server.state()[0], coordinator.state()
    for name in ("parameters", "squares"):
        assert torch.equal(learned["local"][0][name], learned[kind][0][name])
    assert learned["local"][1] == learned[kind][1]
