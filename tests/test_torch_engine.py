"""The plain engine with several pathways side by side; `test_network.py` has it with one.

Axes: G pathways, T steps, E environments, B = T x E samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.genotype import Genotype
from pathnet_rl.grid import build_grid
from pathnet_rl.run_folder import RunFolder
from tests.engines import act, backward, make_engine
from tests.support import new_store, tiny_config
from tests.test_network import GRIDS, close, observations, some_modules
from workers.serial import SerialCrew

PATHWAYS, STEPS, ENVIRONMENTS = 3, 2, 2


@pytest.mark.parametrize("name", GRIDS)
def test_pathways_side_by_side_equal_the_compiled_engine_one_after_another(
    name: str, tmp_path: Path
) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(0)
    store = new_store(tmp_path / "block", grid)
    store.parameters.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(0))
    frozen = some_modules(grid, rng)
    store.freeze(frozen)
    paths = [Genotype.random(rng, grid.depth, grid.modules, 3).active for _ in range(PATHWAYS)]
    weights = [store.pull(0, path, frozen) for path in paths]
    actions = grid.actions[0]
    together = make_engine("torch", grid, STEPS, ENVIRONMENTS, pathways=PATHWAYS)
    together.load(weights)
    seen = [observations(grid, (STEPS + 1) * ENVIRONMENTS, rng) for _ in range(PATHWAYS)]
    drawn = rng.standard_normal((PATHWAYS, STEPS * ENVIRONMENTS, actions + 1)).astype(np.float32)
    upstream = [(one[:, :-1], one[:, -1]) for one in drawn]
    for step in range(STEPS + 1):
        rows = slice(step * ENVIRONMENTS, (step + 1) * ENVIRONMENTS)
        logits, values = together.forward([one[rows] for one in seen], step)
        assert logits.shape == (PATHWAYS, ENVIRONMENTS, actions)
        assert values.shape == (PATHWAYS, ENVIRONMENTS)
    gradients = together.backward(upstream)
    dead = []
    for pathway in range(PATHWAYS):
        alone = make_engine("compiled", grid, STEPS, ENVIRONMENTS)
        alone.load([weights[pathway]])
        act(alone, seen[pathway])
        for found, wanted in zip(together.outputs(pathway), alone.outputs(0), strict=True):
            close(torch.from_numpy(found.copy()), torch.from_numpy(wanted.copy()))
        wanted_gradients = backward(alone, *upstream[pathway])
        dead.append(alone.dead_units())
        assert gradients[pathway].trainable == wanted_gradients.trainable
        pairs = zip(
            (*gradients[pathway].layers, gradients[pathway].head),
            (*wanted_gradients.layers, wanted_gradients.head),
            strict=True,
        )
        for gradient, wanted_gradient in pairs:
            assert gradient.shape == wanted_gradient.shape
            close(gradient, wanted_gradient)
    assert together.dead_units() == pytest.approx(np.mean(dead))


def test_one_pathway_learns_the_same_grouped_or_not_and_with_either_engine(tmp_path: Path) -> None:
    blocks = []
    for name, changes in (
        ("compiled", {}),
        ("torch", {"engine": "torch"}),
        ("grouped", {"grouped": True}),
    ):
        config = tiny_config(tmp_path / name, **changes)
        evolution = config.evolution.model_copy(update={"population": 1, "rivals": 1})
        config = config.model_copy(update={"evolution": evolution})
        RunFolder(config).open()
        crew = SerialCrew(config, Arm.PATHNET, build_grid(config))
        try:
            crew.server.begin_first_task(0)
            crew.start()
            for _ in range(5):
                crew._worker.step()
            blocks.append(crew.store.parameters.clone())
            assert crew.store.updates == 5
        finally:
            crew.close()
    for block in blocks[1:]:
        torch.testing.assert_close(block, blocks[0], rtol=1e-3, atol=1e-5)
