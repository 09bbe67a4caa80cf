"""The compiled kernels, written plainly in numpy and torch: what each must come to, and is timed against.

What a compiled function does can be read here in a few lines. The arguments are those of the compiled
ones, as arrays instead of addresses; what they fill, these fill. Vocabulary: compiled/layer_arrays.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.frames import medians_and_scales
from pathnet_rl.module_layer import AffineLayer

Array = NDArray[Any]


def floats_of(bits: Array) -> Array:
    """The float32 numbers of bfloat16 bits: the same, and 16 zeros."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def bits_of(floats: Array) -> Array:
    """The bits of the nearest bfloat16."""
    return torch.from_numpy(floats).bfloat16().view(torch.int16).numpy().view(np.uint16)


# Products and what goes with them -----------------------------------------------------------------


def product(start: Array, left: Array, right: Array, lanes: int, out: Array) -> None:
    """The sum start [pitch] + left [positions, terms] x right [terms, pitch], in the first so many lanes."""
    out[:, :lanes] = start[:lanes] + left @ right[:, :lanes]


def product_of_pairs(start: Array, left: Array, right: Array, lanes: int, out: Array) -> None:
    """The same of pairs of bfloat16 bits: [positions, terms, 2] and [terms, pitch, 2]."""
    both = [floats_of(side) for side in (left, right)]
    out[:, :lanes] = start[:lanes] + np.einsum("ptk,tlk->pl", both[0], both[1][:, :lanes])


def product_of_runs(left: Array, right: Array, runs: Array, length: int, out: Array) -> None:
    """Add to `out` the terms of chosen runs: runs [n, 2], the words to each on the left and on the right."""
    for on_left, on_right in runs:
        row = on_right // right.shape[1]
        out += left[:, on_left : on_left + length] @ right[row : row + length]


def all_zero(stretches: Array, blank: Array) -> None:
    """Fill `blank` [n]: whether a stretch [n, words] is nothing but zeros."""
    blank[:] = (stretches == 0).all(axis=1)


def interleave(left: Array, right: Array, pairs: Array) -> None:
    """Fill as many pairs [n] as there are bfloat16 bits on each side."""
    pairs.view(np.uint16)[:] = np.stack([left, right], axis=1).ravel()


def interleave_rounded(left: Array, right: Array, pairs: Array) -> None:
    """The same of float32, which are rounded."""
    interleave(bits_of(left), bits_of(right), pairs)


def rectify(responses: Array, modules: int, positive: Array, sums: Array) -> None:
    """ReLU and sum over modules: responses and positive [rows, pitch], sums [rows, k]."""
    units = sums.shape[1]
    there = responses[:, : modules * units]
    positive[:, : modules * units] = ~(there <= 0)
    sums[:] = np.where(there <= 0, 0, there).reshape(-1, modules, units).sum(axis=1)


def unrectify(upstream: Array, positive: Array, modules: int, deltas: Array, totals: Array) -> None:
    """The gradient of `rectify`: upstream [rows, k], deltas [rows, pitch]; totals [pitch] are added to."""
    count = modules * upstream.shape[1]
    deltas[:, :count] = np.where(positive[:, :count], np.tile(upstream, modules), 0)
    totals[:count] += deltas[:, :count].sum(axis=0)


# Frames and images --------------------------------------------------------------------------------


def keep_frames(seen: Array, width: int, planes: Array, medians: Array, scales: Array) -> None:
    """Copy bytes [E, C, H x W], and fill what standardises them, [E, C]; lines are `width` long."""
    planes[:] = seen
    pixels = torch.from_numpy(seen).float().view(*seen.shape[:2], -1, width)
    medians[:], scales[:] = (each.numpy() for each in medians_and_scales(pixels))


def expand(planes: Array, medians: Array, scales: Array, image: Array) -> None:
    """Fill an image, flat [H x W x C] float32 or bits of bfloat16, from the frames of a sample [C, H x W]."""
    standardised = (planes - medians[:, None]) * scales[:, None]
    numbers = np.ascontiguousarray(standardised.T.reshape(-1))
    image[: len(numbers)] = bits_of(numbers) if image.dtype == np.uint16 else numbers


# Modules ------------------------------------------------------------------------------------------


def _torch_order(modules: Array, shape: Sequence[int]) -> tuple[Array, Array]:
    """Weights [n, k, C, height, width] and biases [n k], views of modules [n, module size]."""
    units = shape[0]
    return modules[:, :-units].reshape(-1, *shape), modules[:, -units:].reshape(-1)


def lay_out(
    modules: Array, shape: Sequence[int], by_unit: Array, by_input: Array, bias: Array
) -> None:
    """Fill by_unit [n k, height, width x C], by_input and bias; see `compiled.module_layout`."""
    weights, biases = _torch_order(modules, shape)
    units, (_, channels, height, width) = len(biases), shape
    last = weights.transpose(0, 1, 3, 4, 2).reshape(units, height, width * channels)
    by_unit[:units, :, : width * channels] = last
    columns = np.ascontiguousarray(last.reshape(units, -1).T)
    if by_input.dtype == np.uint16:
        by_input[:, :units] = bits_of(columns).reshape(-1, 2, units).transpose(0, 2, 1)
    else:
        by_input[:, :units] = columns
    bias[:units] = biases


def take_back(by_unit: Array, bias: Array, shape: Sequence[int], modules: Array) -> None:
    """The way back: fill modules [n, module size]."""
    (units, channels, height, width), n = shape, len(modules)
    last = by_unit[: n * units, :, : width * channels]
    weights = last.reshape(n, units, height, width, channels).transpose(0, 1, 4, 2, 3)
    modules[:, :-units] = weights.reshape(n, -1)
    modules[:, -units:] = bias[: n * units].reshape(n, units)


# Layers -------------------------------------------------------------------------------------------


def layer(shape: AffineLayer, modules: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """A layer's outputs [samples, places, k]: each module's affine map and ReLU, summed.

    Args:
        modules: [n, module size]. inputs: [samples, H, W, C] or [samples, features].
    """
    weights = modules[:, : shape.weights].reshape(-1, *shape.weight_shape[1:])
    biases = modules[:, shape.weights :].reshape(-1)
    if shape.convolutional:
        images = inputs.permute(0, 3, 1, 2)
        responses = torch.conv2d(images, weights, biases, stride=shape.stride).flatten(2)
    else:
        responses = torch.nn.functional.linear(inputs, weights, biases)[..., None]
    by_module = responses.relu().view(len(inputs), len(modules), shape.outputs, -1)
    return by_module.sum(1).transpose(1, 2)


def layer_gradients(
    shape: AffineLayer,
    modules: torch.Tensor,
    inputs: torch.Tensor,
    upstream: torch.Tensor,
    wants_inputs: bool,
) -> tuple[torch.Tensor, ...]:
    """What `layer` hands down of upstream [samples, places, k]: to the modules, and to inputs if wanted."""
    leaves = [each.detach().requires_grad_() for each in (modules, inputs)[: 1 + wants_inputs]]
    outputs = layer(shape, leaves[0], leaves[-1] if wants_inputs else inputs)
    return torch.autograd.grad(outputs, leaves, upstream)


def head(inputs: Array, weights: Array, bias: Array, outputs: Array) -> None:
    """The product inputs [samples, F] x weights [F, pitch] + bias [pitch]."""
    outputs[:] = inputs @ weights + bias


# Gradient descent ---------------------------------------------------------------------------------


def train(
    grid: Sequence[Array],
    head: Array,
    learned: Sequence[NDArray[np.int64]],
    used: Sequence[NDArray[np.int64]],
    images: Array,
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    learning_rate: float,
    mean: bool,
) -> int:
    """`descent.PathwayDescent.train`, differentiated by torch."""
    correct, k = 0, head.shape[1] - 1
    for minibatch in order:
        mine = [torch.tensor(rows, requires_grad=True) for rows in grid]
        matrix = torch.tensor(head, requires_grad=True)
        current, wanted = torch.from_numpy(images[minibatch]), torch.from_numpy(labels[minibatch])
        for depth, rows in enumerate(mine):
            modules = rows[np.concatenate([learned[depth], used[depth]])]
            weights = modules[:, :-k].reshape(len(modules) * k, -1)
            responses = torch.nn.functional.linear(current, weights, modules[:, -k:].reshape(-1))
            current = responses.relu().view(len(minibatch), len(modules), k).sum(1)
        logits = (current / len(modules) if mean else current) @ matrix[:, :-1].t() + matrix[:, -1]
        correct += int((logits.argmax(1) == wanted).sum())
        loss = torch.nn.functional.cross_entropy(logits, wanted)
        *gradients, of_head = torch.autograd.grad(loss, [*mine, matrix])
        for numbers, gradient, places in zip(grid, gradients, learned, strict=True):
            numbers[places] -= learning_rate * gradient.numpy()[places]
        head -= learning_rate * of_head.numpy()
    return correct
