"""Module duplication while others are at work: no half of a module, nothing that nodes are not told."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.block import SERVER_SLOT, SLOTS
from pathnet_rl.config import EvolutionConfig, GridConfig
from pathnet_rl.exchange import exchange, whole_block
from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.modules import LinearModule
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.replica import Replica
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Telemetry
from tests.support import new_store, run_experiment, run_task, tiny_config
from tests.test_exchange import FORGETFUL, GRID, LEARNING, Nodes, push
from workers.coordinator import TournamentCoordinator
from workers.courier import Courier
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker

COPIES = (((0, 2),), ((4, 1),), ())
"""Over modules of `PATHS[0]`."""
TARGETS = (2, 6 + 1)

# Other nodes --------------------------------------------------------------------------------------


def row_of(store: GridStore, row: int) -> torch.Tensor:
    return torch.from_numpy(np.stack(store.row(row)))


def test_a_node_is_told_of_modules_that_were_copied_and_of_nothing_else(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 2)
    push(nodes.nodes[0].store, 0, 0)
    nodes.exchange(0)
    nodes.exchange(1)
    nodes.server.duplicate(COPIES, with_squares=True)
    for node in nodes.nodes:
        news = exchange(nodes.server, node.changes())
        assert news.rows.tolist() == list(TARGETS)
        assert news.copies.tolist() == [1, 1]
        node.take(news)
        assert torch.equal(row_of(node.store, 2), row_of(nodes.server, 0))
        assert torch.equal(row_of(node.store, 6 + 1), row_of(nodes.server, 6 + 4))
        assert not len(exchange(nodes.server, node.changes()).rows)
    nodes.agree()
    assert nodes.server.updates == 1, "a copy is no push"


@pytest.mark.parametrize("narrow", [False, True])
def test_what_was_pushed_to_the_module_that_was_there_comes_late_and_is_added(
    narrow: bool, tmp_path: Path
) -> None:
    """By one node before the exchange, and again while the answer is on its way."""
    nodes = Nodes(tmp_path, 2, narrow=narrow)
    node, server = nodes.nodes[0], nodes.server
    server.squares.fill_(5.0)
    for number, each in enumerate(nodes.nodes):
        each.load(whole_block(server, 900 + number), 900 + number)
    before = node.store.parameters.clone()
    push(node.store, 0, 1)
    moved = node.store.parameters - before
    server.duplicate(COPIES, with_squares=True)
    copied = server.parameters.clone()
    news = exchange(server, node.changes())
    between = node.store.parameters.clone()
    push(node.store, 0, 2)
    moved_again = node.store.parameters - between
    node.take(news)
    nodes.exchange(1)
    for row in TARGETS:
        place = GRID.rows[row]
        wanted = copied[place] + moved[place]
        assert torch.allclose(server.parameters[place], wanted, atol=1e-3 if narrow else 1e-6)
        assert (server.squares[place] > 4.9).all()
        wanted = wanted + moved_again[place]
        assert torch.allclose(node.store.parameters[place], wanted, atol=1e-3 if narrow else 1e-6)
    if not narrow:
        nodes.agree()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost_on_the_way_all_blocks_agree_in_the_end(seed: int, tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 3, FORGETFUL)
    rng = np.random.default_rng(seed)
    copies = 0
    for _ in range(150):
        number = int(rng.integers(3))
        match rng.choice(
            ["push", "push at home", "exchange", "lost", "meanwhile", "restart", "copy"]
        ):
            case "push":
                push(nodes.nodes[number].store, int(rng.integers(3)), 3)
            case "push at home":
                push(nodes.server, int(rng.integers(3)), 3)
            case "exchange":
                nodes.exchange(number)
            case "lost":  # On the way there, or on the way back.
                changes = nodes.nodes[number].changes()
                if rng.random() < 0.5:
                    exchange(nodes.server, changes)
            case "meanwhile":
                news = exchange(nodes.server, nodes.nodes[number].changes())
                push(nodes.nodes[number].store, int(rng.integers(3)), 3)
                nodes.nodes[number].take(news)
            case "restart":
                nodes.nodes[number] = nodes.replica(number)
            case "copy":
                source, target = rng.choice(6, size=2, replace=False).tolist()
                pairs: Any = [(), (), ()]
                pairs[int(rng.integers(3))] = ((source, target),)
                nodes.server.duplicate(tuple(pairs), with_squares=True)
                copies += 1
    nodes.agree()
    assert copies > 5
    assert sum(nodes.server.pushes_by(SERVER_SLOT, row) for row in range(18)) == copies


def test_an_exchange_is_awaited_that_begins_afterwards(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    node = nodes.nodes[0]
    nodes.server.await_exchange()  # The server's own block has everything.

    def waiting() -> threading.Thread:
        view = GridStore.open(node.store.path, GRID, LEARNING)
        thread = threading.Thread(target=view.await_exchange)
        thread.start()
        return thread

    changes = node.changes()
    push(node.store, 0, 0)  # Not among these changes.
    thread = waiting()
    node.take(exchange(nodes.server, changes))
    thread.join(timeout=0.2)
    assert thread.is_alive()
    nodes.exchange(0)
    thread.join(timeout=10.0)
    assert not thread.is_alive()
    assert torch.equal(nodes.server.parameters, node.store.parameters)
    thread = waiting()
    node.store.stopped = True
    thread.join(timeout=10.0)
    assert not thread.is_alive()


def test_one_worker_on_another_node_has_modules_copied_at_the_same_moments(tmp_path: Path) -> None:
    evolution = EvolutionConfig(population=4, episodes=2, rivals=2, duplication_rate=0.5)
    learned = {}
    for kind in ("here", "elsewhere"):
        folder = tmp_path / kind
        folder.mkdir()
        config = tiny_config(
            folder, agent_steps=(2000,), evolution=evolution, exchange_seconds=0.001
        )
        grid, path = build_grid(config), folder / "server.block"
        server = ParameterServer(config, Arm.PATHNET, grid, path)
        server.begin_first_task(0)
        # Another view of the block than the one that exchanges, as in the coordinator's actor.
        copier = ParameterServer(config, Arm.PATHNET, grid, path)
        coordinator = TournamentCoordinator(config, Arm.PATHNET, copier)
        courier = Courier(config, grid, folder / "node.block", server)
        if kind == "elsewhere":
            path = courier.begin_task(SLOTS - 1)
        store = GridStore.open(path, grid, config.learning)
        seen: list[Telemetry] = []
        run_task(PathwayWorker(config, Arm.PATHNET, 0, range(4), store, coordinator, seen.append))
        courier.end_task()
        courier.close()
        learned[kind] = *server.state(), coordinator.state()
    for block in ("parameters", "squares"):
        assert torch.equal(learned["here"][0][block], learned["elsewhere"][0][block])
    assert learned["here"][1:] == learned["elsewhere"][1:]
    assert len(learned["here"][2]["duplication"]["copied"]) > 1


# Processes ----------------------------------------------------------------------------------------

WIDE = Grid(GridConfig(layers=(LinearModule(units=10_000),), modules=3, width=2), (4,), (2,))
"""Modules so large that a copy takes long enough to be seen halfway."""
BOTH: ActiveModules = ((0, 1),)


def _pull_and_push(path: Path, worker: int) -> None:
    """In another process: all numbers of a module are nearly equal, unless it is half of another one."""
    store = GridStore.open(path, WIDE, FORGETFUL)
    size = WIDE.layers[0].module_size
    gradients = PathwayWeights((torch.ones(2, size),), torch.zeros(WIDE.heads[0].size), (2,))
    while not store.stopped:
        (rows,) = store.pull(0, BOTH, no_modules(1)).layers
        # Half of a push, which is seen now and then, is a hundredth.
        assert (rows.amax(1) - rows.amin(1) < 1.0).all(), "half of a module was pulled"
        if worker % 2:
            store.push(0, BOTH, gradients, 1, worker)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_nobody_pulls_or_pushes_half_of_a_module(elsewhere: bool, tmp_path: Path) -> None:
    server = new_store(tmp_path / "server.block", WIDE, FORGETFUL)
    rows = WIDE.layers[0].rows(server.parameters)
    rows.zero_()
    node = Replica(tmp_path / "node.block", WIDE, FORGETFUL)
    node.load(whole_block(server, SLOTS - 1), SLOTS - 1)
    store = node.store if elsewhere else server
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_pull_and_push, args=(store.path, worker)) for worker in range(2)
    ]
    for other in others:
        other.start()
    while not store.updates:
        time.sleep(0.01)
    copied = 0
    while copied < 300 or store.updates < 100:
        rows[2] = 7.0 if copied % 4 < 2 else -7.0  # Nobody else has to do with this one.
        server.duplicate((((2, copied % 2),),), with_squares=True)
        copied += 1
        if elsewhere:
            node.take(exchange(server, node.changes()))
        assert all(other.is_alive() for other in others)
    server.stopped = store.stopped = True
    for other in others:
        other.join()
        assert other.exitcode == 0
    for block in (store.parameters, store.squares, server.parameters, server.squares):
        pushed = WIDE.layers[0].rows(block)[:2]
        assert (pushed == pushed[:, :1]).all(), "half of a module was pushed"


# A whole run --------------------------------------------------------------------------------------


def test_what_is_frozen_is_never_overwritten(tmp_path: Path) -> None:
    evolution = EvolutionConfig(population=6, episodes=2, rivals=2, duplication_rate=1.0)
    config = tiny_config(tmp_path, agent_steps=(8000,), evolution=evolution)
    run_experiment(config)
    saved = checkpoint.list_checkpoints(RunFolder(config).checkpoints(Arm.PATHNET))
    (learned,) = (
        path for path in saved if path.name.startswith("task-00") and "1-learned" in path.name
    )
    before, after = checkpoint.load(learned), checkpoint.load(saved[-1])
    frozen = after[1]["results"][0]["finished"]["path"]
    grid = build_grid(config)
    for layer, modules in zip(grid.layers, frozen, strict=True):
        for block in ("parameters", "squares"):
            now, old = (layer.rows(numbers[0][block])[modules] for numbers in (after, before))
            assert torch.equal(now, old)
    for moment in (before, after):
        assert len(moment[1]["coordinator"]["duplication"]["copied"]) > 3
    targets = {
        (layer, over) for layer, _, over, _ in after[1]["coordinator"]["duplication"]["copied"]
    }
    assert not targets & {(layer, m) for layer, modules in enumerate(frozen) for m in modules}
