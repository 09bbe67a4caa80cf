"""Several processes on one block: pushes on disjoint paths lose nothing."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import torch

from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.store import GridStore
from tests.support import new_store, random_gradients
from tests.test_store import CONSTANT, GRID, OTHER, PATH, full_store, mask_of, push

PUSHES = 200


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
