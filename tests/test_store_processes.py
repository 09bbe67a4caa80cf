"""Several processes on one block: pushes on disjoint paths lose nothing."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl import block_files
from pathnet_rl.arms import Arm
from pathnet_rl.block import SLOTS
from pathnet_rl.errors import UserError
from pathnet_rl.exchange import exchange, whole_block
from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore
from tests.support import in_block, new_store, random_gradients, tiny_config
from tests.test_exchange import FORGETFUL, PATHS, Nodes
from tests.test_store import CONSTANT, GRID, OTHER, PATH, full_store, mask_of, push

PUSHES = 200
ALONG = PATHS[0]
STEP = 2.0**-8
EXACT = FORGETFUL.model_copy(update={"learning_rate": 2 * STEP, "rmsprop_epsilon": 3.0})
"""A gradient of 1 is a step of 2 STEP / sqrt(1 + 3) = STEP, and sums of 2^24 steps are exact."""


def _push_often(path: Path, modules: ActiveModules, worker: int) -> None:
    """In another process: the same gradient again and again on one path of the block."""
    store = GridStore.open(path, GRID, CONSTANT)
    gradients = random_gradients(GRID, modules, 0, np.random.default_rng(worker))
    for _ in range(PUSHES):
        store.push(0, modules, gradients, agent_steps=3, worker=worker)


def test_processes_share_the_block_and_pushes_on_disjoint_paths_lose_nothing(
    tmp_path: Path,
) -> None:
    store = full_store(tmp_path / "block")
    alone = new_store(tmp_path / "alone", GRID, CONSTANT)
    alone.squares.copy_(store.squares)
    context = multiprocessing.get_context("spawn")
    pushers = [
        context.Process(target=_push_often, args=(store.path, modules, worker))
        for worker, modules in enumerate((PATH, OTHER))
    ]
    for pusher in pushers:
        pusher.start()
    for worker, modules in enumerate((PATH, OTHER)):
        _push_often(alone.path, modules, worker)
    for pusher in pushers:
        pusher.join(timeout=60)
        assert pusher.exitcode == 0
    # Both also push the head they share; their modules must be as if each had been alone.
    inside = mask_of(PATH) | mask_of(OTHER)
    assert torch.equal(store.parameters[inside], alone.parameters[inside])
    assert torch.equal(store.squares[inside], alone.squares[inside])
    neither = ~(inside | mask_of(no_modules(3), 0))
    assert torch.equal(store.parameters[neither], alone.parameters[neither])
    assert (store.agent_steps, store.updates) == (2 * PUSHES * 3, 2 * PUSHES)


def test_processes_on_two_nodes_lose_nothing_while_blocks_are_kept_in_step(tmp_path: Path) -> None:
    """Four processes push one gradient through one path, where every push is the same step."""
    nodes = Nodes(tmp_path, 1, EXACT)
    nodes.server.parameters.zero_()
    nodes.nodes[0].load(whole_block(nodes.server, SLOTS - 2), SLOTS - 2)
    context = multiprocessing.get_context("spawn")
    pushers = [
        context.Process(target=_push_equally, args=(store.path, worker))
        for worker, store in enumerate([nodes.server, nodes.nodes[0].store] * 2)
    ]
    for pusher in pushers:
        pusher.start()
    mixed = 0
    while mixed < 20 or nodes.server.updates < PUSHES:
        changes = nodes.nodes[0].changes()
        news = exchange(nodes.server, changes)
        nodes.nodes[0].take(news)
        mixed += bool(len(changes.rows) and len(news.rows))
        assert all(pusher.is_alive() for pusher in pushers)
    nodes.server.stopped = True
    nodes.exchange(0)
    for pusher in pushers:
        pusher.join()
        assert pusher.exitcode == 0
    nodes.agree()
    pushes = nodes.server.updates
    wanted = -STEP * pushes * in_block(GRID, ALONG, signs())
    assert torch.equal(nodes.server.parameters, wanted), "a step was lost or doubled"
    assert pushes >= PUSHES


def signs() -> PathwayWeights:
    """A gradient of 1 and -1."""
    drawn = random_gradients(GRID, ALONG, 0, np.random.default_rng(3))
    return PathwayWeights(
        tuple(layer.sign() for layer in drawn.layers), drawn.head.sign(), drawn.trainable
    )


def _push_equally(path: Path, worker: int) -> None:
    store = GridStore.open(path, GRID, EXACT)
    gradients = signs()
    while not store.stopped:
        store.push(0, ALONG, gradients, agent_steps=40, worker=worker)


def test_a_second_view_of_the_block_sees_pushes_at_once(tmp_path: Path) -> None:
    store = full_store(tmp_path / "block")
    view = GridStore.open(store.path, GRID, CONSTANT)
    push(store)
    assert torch.equal(view.parameters, store.parameters)
    assert view.agent_steps == 40
    store.stopped = True
    assert view.stopped
    store.remove()
    push(view)
    assert torch.equal(view.parameters, store.parameters)


def test_a_block_that_nobody_has_open_is_found_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_files, "NEW_SECONDS", -1.0)
    kept = new_store(tmp_path / "pathnet-rl-kept.block", GRID)
    left = new_store(tmp_path / "pathnet-rl-left.block", GRID)
    (tmp_path / "pathnet-rl-left.courier").touch()
    (tmp_path / "something.else").touch()
    del left
    gc.collect()
    block_files.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {kept.path.name, "something.else"}
    monkeypatch.undo()
    del kept
    gc.collect()
    block_files.remove_leftovers(tmp_path)
    assert (tmp_path / "pathnet-rl-kept.block").exists(), "it may be another's who just made it"


def test_a_start_has_a_block_of_its_own_and_removes_those_that_were_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_files, "SHARED_MEMORY", tmp_path)
    config = tiny_config(tmp_path / "runs")
    left, kept, new = (block_files.new_block_path(config, Arm.PATHNET) for _ in range(3))
    others = [
        block_files.new_block_path(config, Arm.INDEPENDENT),
        block_files.new_block_path(tiny_config(tmp_path / "elsewhere"), Arm.PATHNET),
    ]
    for path in (left, *others):
        new_store(path, GRID)
    gc.collect()
    at_work = new_store(kept, GRID)
    assert len({left, kept, new, *others}) == 5
    assert block_files.blocks_of(config, Arm.PATHNET) == sorted([left, kept])
    block_files.remove_blocks_of(config, Arm.PATHNET)
    assert block_files.blocks_of(config, Arm.PATHNET) == [kept]
    assert all(path.exists() for path in others)
    assert at_work.signed


def test_a_block_under_another_name_is_not_believed(tmp_path: Path) -> None:
    store = new_store(tmp_path / "one.block", GRID)
    shutil.copy(store.path, tmp_path / "another.block")
    with pytest.raises(UserError, match="not the block of that name"):
        GridStore.open(tmp_path / "another.block", GRID, CONSTANT)
