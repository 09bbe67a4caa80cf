"""The courier: a worker on its node's block, and what the server has of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.block import SLOTS
from pathnet_rl.config import EvolutionConfig, RunConfig
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Telemetry
from tests.support import random_gradients, run_task, tiny_config
from workers.coordinator import TournamentCoordinator
from workers.courier import Courier
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker


class Node:
    """A courier in this process, and the server it calls."""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self.grid: Grid = build_grid(config)
        self.server = ParameterServer(config, Arm.PATHNET, self.grid, folder / "server.block")
        self.server.begin_first_task(0)
        self.courier = Courier(config, self.grid, folder / "node.block", self.server)
        self.courier.join(SLOTS - 1)
        self.store = GridStore.open(folder / "node.block", self.grid, config.learning)


class StoreThatTells(GridStore):
    """A node's block, with an exchange after every push."""

    node: Node

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
        rate_factor: float = 1.0,
    ) -> None:
        super().push(task, path, gradients, agent_steps, worker, rate_factor)
        self.node.courier.exchange()


def test_a_worker_on_another_node_learns_the_same_to_the_bit(tmp_path: Path) -> None:
    evolution = EvolutionConfig(
        population=4, episodes=2, rivals=2, hyperparameters=("learning_rate", "entropy_cost")
    )
    learned = {}
    for kind in ("here", "elsewhere"):
        folder = tmp_path / kind
        folder.mkdir()
        config = tiny_config(folder, agent_steps=(1200,), evolution=evolution)
        node = Node(config, folder)
        store: GridStore
        if kind == "here":
            store = GridStore.open(folder / "server.block", node.grid, config.learning)
        else:
            told = StoreThatTells.open(folder / "node.block", node.grid, config.learning)
            assert isinstance(told, StoreThatTells)
            told.node = node
            store = told
        coordinator = TournamentCoordinator(config, Arm.PATHNET)
        seen: list[Telemetry] = []
        run_task(PathwayWorker(config, Arm.PATHNET, 0, range(4), store, coordinator, seen.append))
        learned[kind] = node.server.state(), coordinator.state()
    for block in ("parameters", "squares"):
        assert torch.equal(learned["here"][0][0][block], learned["elsewhere"][0][0][block])
    assert learned["here"][0][1] == learned["elsewhere"][0][1]
    assert learned["here"][1] == learned["elsewhere"][1]


def test_a_courier_tells_how_exchanges_went(tmp_path: Path) -> None:
    node = Node(tiny_config(tmp_path), tmp_path)
    path: ActiveModules = ((0, 2), (1,))
    gradients = random_gradients(node.grid, path, 0, np.random.default_rng(0))
    node.store.push(0, path, gradients, 16, 0)
    node.courier.exchange()
    server = GridStore.open(tmp_path / "server.block", node.grid, tiny_config(tmp_path).learning)
    for _ in range(5):
        server.push(0, path, gradients, 16, 0)
    node.courier.exchange()
    rows = 2 * node.grid.layers[0].module_size + node.grid.layers[1].module_size
    numbers = 8 * (rows + node.grid.heads[0].size)
    told = node.courier.tell()
    assert (told.exchanges, told.staleness) == (2, 5)
    assert (told.bytes_sent, told.bytes_received) == (numbers, numbers)
    assert told.seconds > 0.0
    assert node.courier.tell().exchanges == 0


def test_a_node_with_few_cpus_has_fewer_exchanges(tmp_path: Path) -> None:
    """What they take is measured as the CPU time of the courier's thread."""
    config = tiny_config(tmp_path, exchange_seconds=0.0001)
    node = Node(config, tmp_path)
    rests = {}
    for cpus in (None, 1, 10):
        path = tmp_path / f"with-{cpus}.block"
        courier = Courier(config, node.grid, path, node.server, cpus)
        courier.join(SLOTS - 2)
        courier.exchange()
        began, worked = time.monotonic(), time.thread_time()
        courier.exchange()
        cpu = time.thread_time() - worked
        rests[cpus] = (courier._due - began) / cpu
    assert rests[None] < 10.0
    assert 50.0 < rests[1] < 150.0
    assert 5.0 < rests[10] < 15.0


def test_a_courier_started_again_goes_on_with_what_it_finds(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    node = Node(config, tmp_path)
    path: ActiveModules = ((0, 2), (1,))
    gradients = random_gradients(node.grid, path, 0, np.random.default_rng(0))
    for _ in range(3):
        node.store.push(0, path, gradients, 16, 0)
        node.courier._replica.changes()
        node.courier = Courier(config, node.grid, tmp_path / "node.block", node.server)
    node.courier.exchange()
    node.courier.exchange()
    assert torch.equal(node.server.state()[0]["parameters"], node.store.parameters)
    assert node.courier.tell().staleness == 0
