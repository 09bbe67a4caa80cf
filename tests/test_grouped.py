"""Pathways that act and learn together: the same outputs and gradients as one after another.

Axes: G pathways, T steps, E environments, B = T x E samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from launch.train import build_grid
from pathnet_rl.arms import Arm
from pathnet_rl.engine.compiled.network import PathwayNetwork
from pathnet_rl.engine.torch_engine import GroupedNetwork
from pathnet_rl.genotype import Genotype, no_modules
from pathnet_rl.run_folder import RunFolder
from tests.support import new_store, tiny_config
from tests.test_network import GRIDS, close, observations, some_modules
from workers.serial import SerialCrew

GROUPS, STEPS, ENVIRONMENTS = 3, 2, 2


@pytest.mark.parametrize("name", GRIDS)
def test_grouped_pathways_equal_single_ones(name: str, tmp_path: Path) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(0)
    store = new_store(tmp_path / "block", grid)
    store.parameters.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(0))
    frozen = some_modules(grid, rng)
    store.freeze(frozen)
    paths = [Genotype.random(rng, grid.depth, grid.modules, 3).active for _ in range(GROUPS)]
    weights = [store.pull(0, path, frozen) for path in paths]
    actions = grid.actions[0]
    sizes = (grid, grid.modules, STEPS, ENVIRONMENTS, actions)
    together = GroupedNetwork(*sizes, GROUPS, "cpu")
    together.load(weights)
    seen = [observations(grid, (STEPS + 1) * ENVIRONMENTS, rng) for _ in range(GROUPS)]
    upstream = rng.standard_normal((GROUPS, STEPS * ENVIRONMENTS, actions + 1)).astype(np.float32)
    for step in range(STEPS + 1):
        rows = slice(step * ENVIRONMENTS, (step + 1) * ENVIRONMENTS)
        logits, values = together.forward([one[rows] for one in seen], step)
        assert logits.shape == (GROUPS, ENVIRONMENTS, actions)
        assert values.shape == (GROUPS, ENVIRONMENTS)
    gradients = together.backward(list(upstream[..., :-1]), list(upstream[..., -1]))
    dead = []
    for group in range(GROUPS):
        alone = PathwayNetwork(*sizes)
        alone.load(weights[group])
        for step in range(STEPS + 1):
            rows = slice(step * ENVIRONMENTS, (step + 1) * ENVIRONMENTS)
            alone.forward(seen[group][rows], step)
        dead.append(alone.dead_units())
        for found, wanted in zip(together.outputs(group), alone.outputs(), strict=True):
            close(torch.from_numpy(found), torch.from_numpy(wanted.copy()))
        wanted_gradients = alone.backward(upstream[group, :, :-1], upstream[group, :, -1])
        assert gradients[group].trainable == wanted_gradients.trainable
        pairs = zip(
            (*gradients[group].layers, gradients[group].head),
            (*wanted_gradients.layers, wanted_gradients.head),
            strict=True,
        )
        for gradient, wanted_gradient in pairs:
            assert gradient.shape == wanted_gradient.shape
            close(gradient, wanted_gradient)
    assert together.dead_units() == pytest.approx(np.mean(dead))


def test_a_population_learns_grouped_what_it_learns_one_after_another(tmp_path: Path) -> None:
    """With one pathway a worker's two ways are the same computation, up to rounding."""
    blocks = []
    for grouped in (False, True):
        config = tiny_config(tmp_path / str(grouped))
        config = config.model_copy(
            update={
                "grouped": grouped,
                "evolution": config.evolution.model_copy(update={"population": 1, "rivals": 1}),
            }
        )

        RunFolder(config).open()
        crew = SerialCrew(config, Arm.PATHNET, build_grid(config))
        try:
            crew.server.begin_first_task(0)
            crew.store.freeze(no_modules(crew.store.grid.depth))
            crew.start()
            for _ in range(5):
                crew._worker.step()
            blocks.append(crew.store.parameters.clone())
            assert crew.store.updates == 5
        finally:
            crew.close()
    torch.testing.assert_close(blocks[1], blocks[0], rtol=1e-3, atol=1e-5)
