"""The store: a push changes its own slices and nothing else, whoever else has the block open."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.config import LearningConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, difference, no_modules
from pathnet_rl.optimizer import shared_rmsprop
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore, StaleTaskError
from tests.support import in_block, new_store, random_gradients, small_grid

GRID = small_grid()
CONSTANT = LearningConfig(learning_rate=0.01, anneal=False)
PATH: ActiveModules = ((0, 2), (1, 4, 5), (3,))
OTHER: ActiveModules = ((1, 3), (0, 2), (0, 5))


def full_store(path: Path) -> GridStore:
    """At task 0, with optimizer state that is not zero anywhere."""
    made = new_store(path, GRID, CONSTANT)
    made.squares.copy_(torch.rand(GRID.size, generator=torch.Generator().manual_seed(1)))
    return made


@pytest.fixture
def store(tmp_path: Path) -> GridStore:
    return full_store(tmp_path / "block")


def both_blocks(store: GridStore) -> tuple[torch.Tensor, torch.Tensor]:
    return store.parameters.clone(), store.squares.clone()


def mask_of(modules: ActiveModules, *tasks: int) -> torch.Tensor:
    """True where the block holds a number of these modules or of these tasks' heads."""
    mask = torch.zeros(GRID.size, dtype=torch.bool)
    for layer, chosen in zip(GRID.layers, modules, strict=True):
        rows = layer.rows(mask)
        rows[list(chosen)] = True
    for task in tasks:
        GRID.heads[task].numbers(mask).fill_(True)
    return mask


def push(
    store: GridStore, path: ActiveModules = PATH, task: int = 0, seed: int = 0
) -> PathwayWeights:
    learned = difference(path, store.frozen)
    gradients = random_gradients(GRID, learned, task, np.random.default_rng(seed))
    store.push(task, path, gradients, agent_steps=40, worker=0)
    return gradients


# Pulling and pushing ---------------------------------------------------------------------------


def test_a_pull_brings_the_paths_numbers_and_its_head(store: GridStore) -> None:
    pulled = store.pull(1, PATH, no_modules(3))
    for layer, modules, rows in zip(GRID.layers, PATH, pulled.layers, strict=True):
        assert torch.equal(rows, layer.rows(store.parameters)[list(modules)])
    assert torch.equal(pulled.head, GRID.heads[1].numbers(store.parameters))
    assert pulled.trainable == (2, 3, 1)


def test_a_pull_is_a_copy(store: GridStore) -> None:
    before = store.parameters.clone()
    pulled = store.pull(0, PATH, no_modules(3))
    for tensor in (*pulled.layers, pulled.head):
        tensor.zero_()
    assert torch.equal(store.parameters, before)


def test_a_pull_has_trainable_modules_first_and_each_module_once(store: GridStore) -> None:
    store.freeze(((2, 5), (4,), (3,)))
    pulled = store.pull(0, PATH, store.frozen)
    assert pulled.trainable == (1, 2, 0)
    assert [len(rows) for rows in pulled.layers] == [3, 3, 1]
    trainable = difference(PATH, store.frozen)
    for layer, modules, rows in zip(GRID.layers, trainable, pulled.layers, strict=True):
        assert torch.equal(rows[: len(modules)], layer.rows(store.parameters)[list(modules)])


def test_a_push_changes_not_one_number_outside_its_path_and_head(store: GridStore) -> None:
    before = both_blocks(store)
    push(store)
    inside = mask_of(PATH, 0)
    for old, new in zip(before, both_blocks(store), strict=True):
        assert torch.equal(old[~inside], new[~inside])
        assert (old[inside] != new[inside]).all()


def test_a_push_is_one_step_of_rmsprop(store: GridStore) -> None:
    parameters, squares = both_blocks(store)
    gradients = push(store)
    blocks = parameters.numpy()[None], squares.numpy()[None]
    only, gradient = np.zeros(1, np.int64), in_block(GRID, PATH, gradients).numpy()[None]
    shared_rmsprop(*blocks, only, gradient, 0.01, 0.99, 0.1)
    inside = mask_of(PATH, 0)
    assert torch.equal(store.parameters[inside], parameters[inside])
    assert torch.equal(store.squares[inside], squares[inside])


def test_a_push_on_a_path_with_frozen_modules_leaves_them_alone(store: GridStore) -> None:
    store.freeze(((2,), (1, 4, 5), ()))
    before = both_blocks(store)
    push(store)
    inside = mask_of(((0,), (), (3,)), 0)
    for old, new in zip(before, both_blocks(store), strict=True):
        assert torch.equal(old[~inside], new[~inside])
        assert (old[inside] != new[inside]).all()


def test_gradients_of_other_shapes_are_refused_and_change_nothing(store: GridStore) -> None:
    before = both_blocks(store)
    good = random_gradients(GRID, PATH, 0, np.random.default_rng(0))
    fewer = replace(good, layers=(good.layers[0][:-1], *good.layers[1:]))
    longer = replace(good, head=torch.cat([good.head, good.head]))
    for gradients in (fewer, longer):
        with pytest.raises(ValueError, match="gradients of shapes"):
            store.push(0, PATH, gradients, 1, 0)
    for old, new in zip(before, both_blocks(store), strict=True):
        assert torch.equal(old, new)


def test_a_stale_push_is_refused_and_changes_nothing(store: GridStore) -> None:
    store.begin_task(1, 1000)
    before, state = both_blocks(store), store.state()[1]
    with pytest.raises(StaleTaskError, match="task 0"):
        push(store, task=0)
    for old, new in zip(before, both_blocks(store), strict=True):
        assert torch.equal(old, new)
    assert store.state()[1] == state


def test_pushes_are_counted(store: GridStore) -> None:
    push(store)
    store.push(0, PATH, random_gradients(GRID, PATH, 0, np.random.default_rng(0)), 2, worker=9)
    assert (store.agent_steps, store.updates) == (42, 2)


def test_the_learning_rate_is_annealed_over_the_tasks_agent_steps(tmp_path: Path) -> None:
    store = new_store(tmp_path / "b", GRID, LearningConfig(learning_rate=0.5))
    store.begin_task(0, 80)
    seen = [store.learning_rate]
    for _ in range(3):
        push(store)
        seen.append(store.learning_rate)
    assert seen == [0.5, 0.25, 0.0, 0.0]
    assert store.over


# What only the owner does ----------------------------------------------------------------------


def test_frozen_modules_cannot_be_initialised_again(store: GridStore) -> None:
    store.freeze(PATH)
    before = both_blocks(store)
    with pytest.raises(ValueError, match="frozen"):
        store.initialise(((0,), (), ()), np.random.default_rng(0))
    for old, new in zip(before, both_blocks(store), strict=True):
        assert torch.equal(old, new)


def test_freezing_adds_up(store: GridStore) -> None:
    store.freeze(PATH)
    store.freeze(OTHER)
    assert store.frozen == ((0, 1, 2, 3), (0, 1, 2, 4, 5), (0, 3, 5))


def test_initialising_draws_numbers_and_forgets_optimizer_state_of_the_chosen_only(
    store: GridStore,
) -> None:
    before = both_blocks(store)
    store.initialise(OTHER, np.random.default_rng(7))
    chosen = mask_of(OTHER)
    assert torch.equal(before[0][~chosen], store.parameters[~chosen])
    assert torch.equal(before[1][~chosen], store.squares[~chosen])
    assert (before[0][chosen] != store.parameters[chosen]).all()
    assert (store.squares[chosen] == 0).all()


def test_beginning_a_task_renews_its_head_and_nothing_else(store: GridStore) -> None:
    push(store)
    before = both_blocks(store)
    store.begin_task(1, 500)
    head = mask_of(no_modules(3), 1)
    assert torch.equal(before[0][~head], store.parameters[~head])
    assert torch.equal(before[1][~head], store.squares[~head])
    assert (before[0][head] != store.parameters[head]).all()
    assert (store.squares[head] == 0).all()
    assert (store.task, store.budget, store.agent_steps, store.updates) == (1, 500, 0, 0)


def test_a_new_task_is_not_stopped(store: GridStore) -> None:
    store.stopped = True
    assert store.stopped
    store.begin_task(1, 500)
    assert not store.stopped


# Saving and restoring ---------------------------------------------------------------------------


def test_a_restored_store_is_the_same_to_the_bit_and_learns_the_same(
    store: GridStore, tmp_path: Path
) -> None:
    store.freeze(((0,), (), ()))
    push(store)
    tensors, header = store.state()
    header = json.loads(json.dumps(header))
    restored = GridStore.create(tmp_path / "other", GRID, CONSTANT)
    push(store, seed=1)
    restored.load_state(tensors, header)
    push(restored, seed=1)
    for found, wanted in zip(both_blocks(restored), both_blocks(store), strict=True):
        assert torch.equal(found, wanted)
    assert restored.state()[1] == store.state()[1]


def test_the_state_is_a_copy(store: GridStore) -> None:
    tensors, _ = store.state()
    kept = tensors["parameters"].clone()
    push(store)
    assert torch.equal(tensors["parameters"], kept)


def test_a_state_of_another_layout_is_refused_and_changes_nothing(
    store: GridStore, tmp_path: Path
) -> None:
    other = new_store(tmp_path / "other", small_grid(actions=(3, 4)))
    for tensors, header in (
        other.state(),
        (store.state()[0], {**store.state()[1], "layout_version": 99}),
        (store.state()[0], {}),
    ):
        before, state = both_blocks(store), store.state()[1]
        with pytest.raises(UserError, match="another layout") as refused:
            store.load_state(tensors, header)
        assert "\n" not in str(refused.value)
        for old, new in zip(before, both_blocks(store), strict=True):
            assert torch.equal(old, new)
        assert store.state()[1] == state


def test_a_block_of_another_layout_is_refused(store: GridStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="another layout"):
        GridStore.open(store.path, small_grid(actions=(3, 4)), CONSTANT)
    scribbled = tmp_path / "scribbled"
    scribbled.write_bytes(b"\1" * store.path.stat().st_size)
    with pytest.raises(UserError, match="not the block of that name"):
        GridStore.open(scribbled, GRID, CONSTANT)


def test_a_block_that_cannot_be_reserved_is_refused_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match="free space"):
            GridStore.create(tmp_path / "block", GRID, CONSTANT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
