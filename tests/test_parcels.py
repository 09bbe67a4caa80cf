"""A pathway's numbers in parcels: small enough for a call, and the same on the other side."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathnet_rl.config import GridConfig
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid
from tests.support import random_gradients, small_grid
from workers.parcels import PARCEL_BYTES, pack, parcels_needed, unpack

SMALL = small_grid()
ATARI = Grid(GridConfig(), (4, 84, 84), (6,))


@pytest.mark.parametrize(
    ("grid", "modules"),
    [
        (SMALL, ((0, 2), (), (3,))),
        (SMALL, ((), (), ())),
        (ATARI, ((0, 1, 2, 3), (4, 5, 6, 9), (1,), (0, 2, 7, 8))),
    ],
)
def test_what_is_packed_is_unpacked(grid: Grid, modules: ActiveModules) -> None:
    sent = random_gradients(grid, modules, 0, np.random.default_rng(0))
    wanted = grid.shapes(modules, 0)
    parcels = pack(sent, parcels_needed(wanted))
    assert len(parcels) >= 2
    assert max(map(len, parcels)) <= PARCEL_BYTES + 4
    came = unpack(parcels, wanted, sent.trainable)
    assert came.trainable == sent.trainable
    for found, tensor in zip((*came.layers, came.head), (*sent.layers, sent.head), strict=True):
        assert torch.equal(found, tensor)
        found.mul_(0.5)  # As gradients are, where they arrive.


def test_numbers_that_are_missing_are_noticed() -> None:
    modules = ((0, 2), (1,), (3,))
    sent = random_gradients(SMALL, modules, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="numbers came, not the"):
        unpack(pack(sent, 3)[:2], SMALL.shapes(modules, 0), sent.trainable)
