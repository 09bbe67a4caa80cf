"""The parameter server at a task boundary: what each arm freezes, draws anew and keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.genotype import ActiveModules, difference
from pathnet_rl.store import GridStore
from tests.support import random_gradients, small_grid, tiny_config
from workers.parameter_server import ParameterServer

GRID = small_grid(actions=(3, 3, 3))
PATH: ActiveModules = ((0, 2), (1, 4), (3, 5))
OTHER: ActiveModules = ((0, 1), (2, 4), (0, 5))


class Boundary:
    """A server that learned a little on task 0 everywhere, before and after task 1 begins."""

    def __init__(self, folder: Path, arm: Arm, path: ActiveModules = PATH) -> None:
        self.server, self.store = make_server(folder, arm)
        self.server.begin_first_task(0)
        everything = GRID.all_modules()
        gradients = random_gradients(GRID, everything, 0, np.random.default_rng(0))
        self.store.push(0, everything, gradients, 500, worker=0)
        self.before = self.store.parameters.clone(), self.store.squares.clone()
        self.server.begin_next_task(1, path)
        self.after = self.store.parameters.clone(), self.store.squares.clone()

    def changed(self, block: int) -> ActiveModules:
        """Per layer, the modules of which every number changed (of no other did any)."""
        found = []
        for layer in GRID.layers:
            different = layer.rows(self.before[block]) != layer.rows(self.after[block])
            assert (different.all(dim=1) == different.any(dim=1)).all()
            found.append(tuple(int(m) for m in torch.nonzero(different.all(dim=1)).flatten()))
        return tuple(found)


def make_server(folder: Path, arm: Arm) -> tuple[ParameterServer, GridStore]:
    config = tiny_config(folder, tasks=("CartPole-v1",) * 3, agent_steps=(1000, 2000, 3000))
    server = ParameterServer(config, arm, GRID, folder / "block")
    return server, GridStore.open(folder / "block", GRID, config.learning)


REST = difference(GRID.all_modules(), PATH)
NOTHING: ActiveModules = ((), (), ())


@pytest.mark.parametrize(
    ("arm", "frozen", "drawn"),
    [
        (Arm.PATHNET, PATH, REST),
        (Arm.INDEPENDENT, NOTHING, GRID.all_modules()),
        (Arm.FINE_TUNE, NOTHING, NOTHING),
        (Arm.RANDOM_PATH, PATH, REST),
        (Arm.NO_REINITIALISATION, PATH, NOTHING),
        (Arm.FROZEN_INACTIVE, PATH, REST),
    ],
)
def test_what_an_arm_freezes_and_draws_anew(
    arm: Arm, frozen: ActiveModules, drawn: ActiveModules, tmp_path: Path
) -> None:
    boundary = Boundary(tmp_path, arm)
    assert boundary.store.frozen == frozen
    assert boundary.changed(0) == drawn
    # Optimizer state is forgotten exactly where numbers were drawn anew.
    assert boundary.changed(1) == drawn
    for layer, modules in zip(GRID.layers, drawn, strict=True):
        assert not layer.rows(boundary.after[1])[list(modules)].any()


@pytest.mark.parametrize("arm", SWITCHES)
def test_every_arm_keeps_the_old_head_and_begins_the_new_one_afresh(
    arm: Arm, tmp_path: Path
) -> None:
    boundary = Boundary(tmp_path, arm)
    old, new = GRID.heads[0], GRID.heads[1]
    for before, after in zip(boundary.before, boundary.after, strict=True):
        assert torch.equal(old.numbers(before), old.numbers(after))
    assert not new.numbers(boundary.after[1]).any()
    store = boundary.store
    assert (store.task, store.budget, store.agent_steps, store.updates) == (1, 2000, 0, 0)


def test_the_frozen_set_grows_and_what_was_frozen_never_changes(tmp_path: Path) -> None:
    boundary = Boundary(tmp_path, Arm.PATHNET)
    store = boundary.store
    gradients = random_gradients(GRID, difference(OTHER, store.frozen), 1, np.random.default_rng(1))
    store.push(1, OTHER, gradients, 10, worker=0)
    boundary.server.begin_next_task(2, OTHER)
    assert store.frozen == ((0, 1, 2), (1, 2, 4), (0, 3, 5))
    assert store.budget == 3000
    for layer, modules in zip(GRID.layers, PATH, strict=True):
        rows = list(modules)
        assert torch.equal(layer.rows(boundary.before[0])[rows], layer.rows(store.parameters)[rows])


def test_each_task_draws_other_numbers(tmp_path: Path) -> None:
    boundary = Boundary(tmp_path, Arm.INDEPENDENT)
    boundary.server.begin_next_task(2, PATH)
    first = boundary.after[0][: GRID.grid_size]
    assert (first != boundary.store.parameters[: GRID.grid_size]).all()


def test_the_arms_of_a_run_begin_with_different_numbers_but_each_with_its_own(
    tmp_path: Path,
) -> None:
    drawn = {}
    for number, arm in enumerate((Arm.PATHNET, Arm.FINE_TUNE, Arm.PATHNET)):
        folder = tmp_path / str(number)
        folder.mkdir()
        server, store = make_server(folder, arm)
        server.begin_first_task(0)
        drawn[number] = store.parameters.clone()
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_a_server_that_is_started_again_goes_on_with_the_block_it_finds(tmp_path: Path) -> None:
    boundary = Boundary(tmp_path, Arm.PATHNET)
    again, store = make_server(tmp_path, Arm.PATHNET)
    assert torch.equal(store.parameters, boundary.after[0])
    assert again.state()[1] == boundary.server.state()[1]
    assert store.frozen == PATH
