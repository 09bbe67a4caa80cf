"""Both engines against a naive network: one module at a time, differentiated by torch, in float64.

Axes: T steps, E environments, B = T x E samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pathnet_rl.config import GridConfig
from pathnet_rl.engine import Engine
from pathnet_rl.engine.compiled import images
from pathnet_rl.genotype import ActiveModules, Genotype, difference, no_modules, union
from pathnet_rl.grid import Grid
from pathnet_rl.modules import ConvModule, LinearModule
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore
from tests.engines import ENGINES, EngineName, act, backward, make_engine
from tests.naive import naive_outputs
from tests.support import new_store, small_grid

STEPS, ENVIRONMENTS = 3, 2

ATARI_LIKE = GridConfig(
    layers=(
        ConvModule(kernels=3, size=8, stride=4),
        ConvModule(kernels=4, size=4, stride=2),
        ConvModule(kernels=2, size=3, stride=1),
        LinearModule(units=6),
    ),
    modules=5,
    width=3,
    image_precision="float32",
)
ODD = GridConfig(  # Kernels smaller than the stride, and sides that are not used up.
    layers=(
        ConvModule(kernels=2, size=3, stride=1),
        ConvModule(kernels=3, size=2, stride=3),
        ConvModule(kernels=2, size=5, stride=2),
    ),
    modules=4,
    width=2,
    standardise_images=False,
    image_precision="float32",
)
GRIDS = {
    "linear": small_grid(),
    "atari-like": Grid(ATARI_LIKE, (2, 44, 52), (4, 3)),
    "odd": Grid(ODD, (3, 23, 27), (3,)),
    "linear on images": Grid(
        GridConfig(layers=(LinearModule(units=5), LinearModule(units=4)), modules=4, width=2),
        (2, 6, 7),
        (2,),
    ),
}


def observations(grid: Grid, count: int, rng: np.random.Generator) -> NDArray[np.generic]:
    if len(grid.observation_shape) == 3:
        return rng.integers(0, 256, (count, *grid.observation_shape), dtype=np.uint8)
    return rng.standard_normal((count, *grid.observation_shape)).astype(np.float32)


def on_blank_background(seen: NDArray[np.generic], rng: np.random.Generator) -> None:
    """Leave a rectangle of each frame, and 0 around it; a frame in five is blank altogether."""
    height, width = seen.shape[2:]
    for frame in seen.reshape(-1, height, width):
        rectangle = frame.copy()
        frame[:] = 0
        if rng.random() < 0.8:
            top, left = int(rng.integers(height)), int(rng.integers(width))
            there = slice(top, top + height // 4), slice(left, left + width // 4)
            frame[there] = rectangle[there]


def some_modules(grid: Grid, rng: np.random.Generator) -> ActiveModules:
    """One to three modules a layer, differing from layer to layer."""
    return tuple(
        tuple(sorted({int(m) for m in rng.integers(0, grid.modules, int(rng.integers(1, 4)))}))
        for _ in range(grid.depth)
    )


def network_for(store: GridStore, task: int = 0, name: EngineName = "compiled") -> Engine:
    return make_engine(name, store.grid, STEPS, ENVIRONMENTS, task)


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    scale = max(1.0, float(wanted.abs().max()) if wanted.numel() else 0.0)
    torch.testing.assert_close(found.double(), wanted.double(), rtol=2e-4, atol=2e-5 * scale)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("frozen_active", [True, False], ids=["frozen active", "frozen inactive"])
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_and_gradients_equal_those_of_one_module_at_a_time(
    engine: EngineName, name: str, frozen_active: bool, seed: int, tmp_path: Path
) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(seed)
    task = seed % len(grid.actions)
    store = new_store(tmp_path / "block", grid)
    frozen = some_modules(grid, rng) if seed else no_modules(grid.depth)
    store.freeze(frozen)
    always = frozen if frozen_active else no_modules(grid.depth)
    path = Genotype.random(rng, grid.depth, grid.modules, 3).active
    seen = observations(grid, STEPS * ENVIRONMENTS, rng)
    if seen.ndim == 4 and seed % 2:
        on_blank_background(seen, rng)

    network = network_for(store, task, engine)
    network.load([store.pull(task, path, always)])
    logits, values = act(network, seen)
    d_logits = rng.standard_normal(logits.shape).astype(np.float32)
    d_values = rng.standard_normal(values.shape).astype(np.float32)
    gradients = backward(network, d_logits, d_values)

    block = store.parameters.double().clone().requires_grad_()
    wanted_logits, wanted_values = naive_outputs(grid, block, task, path, always, frozen, seen)
    close(logits, wanted_logits.detach())
    close(values, wanted_values.detach())
    loss = (wanted_logits * torch.from_numpy(d_logits)).sum()
    loss = loss + (wanted_values * torch.from_numpy(d_values)).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert block.grad is not None

    learned = difference(path, frozen)
    assert gradients.trainable == tuple(len(modules) for modules in learned)
    for layer, modules, found in zip(grid.layers, learned, gradients.layers, strict=True):
        assert found.shape == (len(modules), layer.module_size)
        close(found, layer.rows(block.grad)[list(modules)])
        others = sorted(set(range(grid.modules)) - set(modules))
        assert not layer.rows(block.grad)[others].any()
    close(gradients.head, grid.heads[task].numbers(block.grad))


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("width", [52, 48])  # 12 and 11 outputs side by side.
def test_bfloat16_images_stay_within_their_rounding(
    width: int, blank: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MULTIPLIES_PAIRS", True)  # Any can, if slowly.
    results = []
    for precision in ("float32", "bfloat16"):
        config = ATARI_LIKE.model_copy(update={"image_precision": precision})
        grid, rng = Grid(config, (2, 44, width), (4, 3)), np.random.default_rng(5)
        store = new_store(tmp_path / precision, grid)
        network = network_for(store)
        network.load([store.pull(0, Genotype.fixed(4, 3).active, no_modules(4))])
        seen = observations(grid, STEPS * ENVIRONMENTS, rng)
        if blank:
            on_blank_background(seen, rng)
        outputs = act(network, seen)
        upstream = rng.standard_normal((STEPS * ENVIRONMENTS, 5)).astype(np.float32)
        gradients = backward(network, upstream[:, :-1], upstream[:, -1])
        results.append([*outputs, gradients.head, *gradients.layers])
    # 8 bits of mantissa: 2^-9 a number, a few times that after four layers; and below a head a
    # response near 0 may be on the other side of the ReLU.
    tolerances = (0.02, 0.02, 0.02, 0.1, 0.1, 0.1, 0.1)
    for exact, rounded, tolerance in zip(*results, tolerances, strict=True):
        assert rounded.dtype == torch.float32
        error = torch.linalg.vector_norm(rounded - exact) / torch.linalg.vector_norm(exact)
        assert 0 < error < tolerance


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_flow_through_a_layer_that_is_frozen_altogether(
    engine: EngineName, tmp_path: Path
) -> None:
    grid, rng = small_grid(), np.random.default_rng(0)
    store = new_store(tmp_path / "block", grid)
    path: ActiveModules = ((0, 1), (2, 3), (4,))
    store.freeze(((), (2, 3), (4,)))
    network = network_for(store, name=engine)
    network.load([store.pull(0, path, no_modules(3))])
    act(network, observations(grid, STEPS * ENVIRONMENTS, rng))
    gradients = backward(
        network,
        np.ones((STEPS * ENVIRONMENTS, 3), np.float32),
        np.ones(STEPS * ENVIRONMENTS, np.float32),
    )
    assert gradients.trainable == (2, 0, 0)
    assert gradients.layers[1].numel() == gradients.layers[2].numel() == 0
    assert gradients.layers[0].any()


@pytest.mark.parametrize("name", ["linear", "atari-like"])
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_of_an_earlier_pathway_or_rollout_is_left(
    engine: EngineName, name: str, tmp_path: Path
) -> None:
    grid, rng = GRIDS[name], np.random.default_rng(1)
    store = new_store(tmp_path / "block", grid)
    wide, narrow = Genotype.fixed(grid.depth, 4).active, Genotype.fixed(grid.depth, 1).active
    seen = observations(grid, STEPS * ENVIRONMENTS, rng)
    upstream = rng.standard_normal((len(seen), grid.actions[0] + 1)).astype(np.float32)

    def learn(network: Engine, path: ActiveModules) -> list[torch.Tensor]:
        network.load([store.pull(0, path, no_modules(grid.depth))])
        outputs = act(network, seen)
        found = backward(network, upstream[:, :-1], upstream[:, -1])
        return [*outputs, *found.layers, found.head]

    used = network_for(store, name=engine)
    learn(used, wide)
    used.forward([seen[:ENVIRONMENTS]], STEPS)  # The bootstrap value's spare step.
    fresh = network_for(store, name=engine)
    for found, wanted in zip(learn(used, narrow), learn(fresh, narrow), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_spare_step_for_the_bootstrap_value_is_no_part_of_the_rollout(
    engine: EngineName, tmp_path: Path
) -> None:
    grid, rng = small_grid(), np.random.default_rng(2)
    store = new_store(tmp_path / "block", grid)
    seen = observations(grid, (STEPS + 1) * ENVIRONMENTS, rng)
    upstream = rng.standard_normal((STEPS * ENVIRONMENTS, 4)).astype(np.float32)
    network = network_for(store, name=engine)
    network.load([store.pull(0, Genotype.fixed(3, 3).active, no_modules(3))])
    logits, _ = act(network, seen)
    without = backward(network, upstream[:, :-1], upstream[:, -1])
    network.forward([seen[-ENVIRONMENTS:]], STEPS)
    after = backward(network, upstream[:, :-1], upstream[:, -1])
    assert logits.shape == (STEPS * ENVIRONMENTS, 3)
    for found, wanted in zip(after.layers, without.layers, strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(after.head, without.head)


def weights(*numbers: float) -> PathwayWeights:
    values = torch.tensor(numbers)
    return PathwayWeights((values[:2].view(1, 2), values[2:4].view(1, 2)), values[4:], (1, 1))


def test_long_gradients_are_scaled_to_the_norm_all_together() -> None:
    gradients = weights(3.0, 0.0, 0.0, 4.0, 12.0)
    assert gradients.scale_to_norm(6.5) == pytest.approx(13.0)
    found = torch.cat([t.reshape(-1) for t in (*gradients.layers, gradients.head)])
    torch.testing.assert_close(found, torch.tensor([1.5, 0.0, 0.0, 2.0, 6.0]))


def test_short_gradients_are_left_alone() -> None:
    gradients = weights(3.0, 0.0, 0.0, 4.0, 12.0)
    assert gradients.scale_to_norm(13.5) == pytest.approx(13.0)
    assert gradients.head.tolist() == [12.0]
    assert gradients.layers[1].tolist() == [[0.0, 4.0]]


def test_the_widest_union_of_path_and_frozen_modules_fits(tmp_path: Path) -> None:
    grid = small_grid()
    store = new_store(tmp_path / "block", grid)
    frozen: ActiveModules = ((0, 1, 2),) * 3
    store.freeze(frozen)
    path: ActiveModules = ((3, 4, 5),) * 3
    pulled = store.pull(0, path, frozen)
    assert [len(rows) for rows in pulled.layers] == [len(u) for u in union(path, frozen)]
    network = network_for(store)
    network.load([pulled])
    logits, _ = act(network, observations(grid, STEPS * ENVIRONMENTS, np.random.default_rng(0)))
    assert np.isfinite(logits.numpy()).all()
