"""Whole layers forward and back, and gradient descent, beside torch.

Layers compute with small whole numbers, and biases half-way between two: all sums are exact in any order, in
bfloat16 too, and no response is so near to 0 that rounding could switch it on. So nothing may differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pathnet_rl.config import GridConfig
from pathnet_rl.engine import plain_kernels as plain
from pathnet_rl.engine.check.case import EXACT, ROUNDED, Array, Case, normal
from pathnet_rl.engine.compiled.descent import PathwayDescent
from pathnet_rl.engine.compiled.images import ImageInputs
from pathnet_rl.engine.compiled.layers import Layer
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.room import zeros
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import AffineLayer, affine_layers

STEPS, ENVIRONMENTS = 20, 4
MODULES, LEARNED = 4, 3

LAYERS = affine_layers(Grid(GridConfig(), (4, 84, 84), (6,)).layers)
"""Those of the Atari preset."""


def whole(rng: np.random.Generator, most: int, *shape: int) -> Array:
    """Whole numbers from -most to most, as float32."""
    return rng.integers(-most, most + 1, shape).astype(np.float32)


def modules_of(rng: np.random.Generator, shape: AffineLayer) -> torch.Tensor:
    """[MODULES, module size]."""
    weights = whole(rng, 1, MODULES, shape.weights)
    biases = whole(rng, 3, MODULES, shape.outputs) + 0.5
    return torch.from_numpy(np.concatenate([weights, biases.astype(np.float32)], 1))


def framed(rng: np.random.Generator, shape: AffineLayer, dtype: torch.dtype) -> ImageInputs:
    """Frames whose images are whole numbers in small rectangles, and 0 around them."""
    height, width, channels = shape.input_shape
    images = ImageInputs((channels, height, width), STEPS, ENVIRONMENTS, True, dtype)
    frames = images.frames
    frames.planes[:], frames.medians[:], frames.scales[:] = 1, 1.0, 1.0
    for frame in frames.planes.reshape(-1, height, width):
        for _ in range(3):
            top, left = rng.integers(height), rng.integers(width)
            there = frame[top : top + height // 6, left : left + width // 8]
            there[:] = rng.integers(0, 4, there.shape)
    return images


def prepared(
    shape: AffineLayer, dtype: torch.dtype | None
) -> tuple[Layer, torch.Tensor, torch.Tensor]:
    """A layer that has its modules, these modules, and inputs [samples, ...] for the plain version.

    Args:
        dtype: of images made of frames; None if the inputs are numbers.
    """
    rng, samples = np.random.default_rng(shape.weight_shape), STEPS * ENVIRONMENTS
    modules = modules_of(rng, shape)
    if dtype is None:
        numbers = zeros(samples * int(np.prod(shape.input_shape)) + LANE)
        numbers[:-LANE] = whole(rng, 2, len(numbers) - LANE)
        layer = Layer(shape, numbers, MODULES, STEPS, ENVIRONMENTS)
        inputs = torch.from_numpy(numbers[:-LANE]).view(samples, *shape.input_shape)
    else:
        images = framed(rng, shape, dtype)
        layer = Layer(shape, images, MODULES, STEPS, ENVIRONMENTS)
        planes = torch.from_numpy(images.frames.planes).float() - 1.0
        inputs = planes.transpose(1, 2).reshape(samples, *shape.input_shape)
    layer.load(modules, LEARNED)
    return layer, modules, inputs


def size_of(shape: AffineLayer, dtype: torch.dtype | None, samples: int) -> str:
    """In a few words."""
    module = " x ".join(map(str, shape.weight_shape))
    inputs = "numbers" if dtype is None else f"{str(dtype).removeprefix('torch.')} images"
    return f"{MODULES} modules of {module}, {samples} samples, {inputs}"


def forward_case(shape: AffineLayer, dtype: torch.dtype | None) -> Case:
    """One step, as acting takes it."""
    layer, modules, inputs = prepared(shape, dtype)
    rows = len(layer.summed) // STEPS

    def found() -> Sequence[Array]:
        layer.forward(0)
        return [layer.summed[:rows]]

    def wanted() -> Sequence[Array]:
        outputs = plain.layer(shape, modules, inputs[:ENVIRONMENTS])
        return [outputs.reshape(rows, -1).numpy()]

    return Case("forward", size_of(shape, dtype, ENVIRONMENTS), EXACT, found, wanted)


def backward_case(shape: AffineLayer, dtype: torch.dtype | None) -> Case:
    """A rollout, of whose modules one is frozen."""
    layer, modules, inputs = prepared(shape, dtype)
    for step in range(STEPS):
        layer.forward(step)
    samples, wants_inputs = STEPS * ENVIRONMENTS, dtype is None
    upstream = whole(np.random.default_rng(0), 2, *layer.summed.shape)

    def found() -> Sequence[Array]:
        gradient, below = layer.backward(samples, upstream, wants_inputs)
        return [gradient.numpy()] if below is None else [gradient.numpy(), below]

    def wanted() -> Sequence[Array]:
        by_sample = torch.from_numpy(upstream).view(samples, -1, shape.outputs)
        found = plain.layer_gradients(shape, modules, inputs, by_sample, wants_inputs)
        of_modules, *of_inputs = (gradient.numpy() for gradient in found)
        return [of_modules[:LEARNED], *(gradient.reshape(-1) for gradient in of_inputs)]

    name = "backward_pairs" if dtype == torch.bfloat16 else "backward"
    return Case(name, size_of(shape, dtype, samples), EXACT, found, wanted)


def descent_case(inputs: int, units: int, batch: int, minibatches: int) -> Case:
    """A pathway of three layers on two classes, with a module that is used and not trained."""
    rng, rows = np.random.default_rng(0), 5
    images, labels = np.abs(normal(200, inputs)) * np.float32(0.25), rng.integers(0, 2, 200)
    order = rng.integers(0, 200, (minibatches, batch))
    learned, used = [np.array([3, 0, 2])] * 3, [np.array([1])] * 3
    grid = [normal(rows, units * (n + 1)) / np.sqrt(n) for n in (inputs, units, units)]
    grids = [[layer.astype(np.float32) for layer in grid] for _ in range(2)]
    heads = [normal(2, units + 1) for _ in range(2)]
    descent = PathwayDescent(inputs, units, 3, 2, batch, widest=4)

    def found() -> Sequence[Array]:
        given = grids[0], heads[0], learned, used, images, labels, order, 0.01, True
        return [np.array(descent.train(*given)), *grids[0], heads[0]]

    def wanted() -> Sequence[Array]:
        given = grids[1], heads[1], learned, used, images, labels, order, 0.01, True
        return [np.array(plain.train(*given)), *grids[1], heads[1]]

    size = f"{minibatches} minibatches of {batch} x {inputs}, 4 modules of {units}"
    return Case("descent", size, ROUNDED, found, wanted)
