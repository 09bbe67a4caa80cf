"""The layers of one pathway at work: forward a step at a time, backward over a rollout. By hand, for speed.

Axes: T steps, E environments, B = T x E samples; n active modules of k outputs in a layer. Arrays are
channels-last throughout: a line of a window is contiguous, and the compiled loops (kernels.py) take
windows where they lie. What is read or written as vectors is padded to `lanes`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.grid import ModuleLayer
from pathnet_rl.kernels import (
    Windows,
    backward_kernel,
    backward_pairs_kernel,
    forward_kernel,
    tile_positions,
)
from pathnet_rl.tiles import LANE, VECTOR

Floats = NDArray[np.float32]


def padded(count: int, multiple: int = LANE) -> int:
    """The next multiple of LANE, or of another number."""
    return -(-count // multiple) * multiple


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes, as torch's do and numpy's do not.

    A vector of 64 bytes that lies across two lines of the cache takes twice as long or worse.
    """
    return torch.zeros(shape, dtype=dtype).numpy()


def pairs_fit(shape: ModuleLayer) -> bool:
    """Lines of windows and steps between them consist of whole pairs of numbers."""
    if not shape.convolutional:
        return False
    counts = shape.weight_shape[3], shape.stride, shape.input_shape[1]
    return all(count * shape.weight_shape[1] % 2 == 0 for count in counts)


def windows_of(shape: ModuleLayer, samples: int, numbers_a_word: int) -> tuple[int, Windows]:
    """How many images so many samples are, and where their windows lie.

    A linear layer's samples are the outputs of one image, side by side: each sees all of a sample.
    """
    if not shape.convolutional:
        features = shape.fan_in
        return 1, Windows(1, samples, 0, 0, features, features, 1, features)
    height, width, _ = shape.output_shape
    pixel = shape.weight_shape[1]
    line = shape.input_shape[1] * pixel
    steps = (
        math.prod(shape.input_shape),
        shape.stride * line,
        shape.stride * pixel,
        line,
    )
    image, down, across, line = (step // numbers_a_word for step in steps)
    row = shape.weight_shape[3] * pixel // numbers_a_word
    return samples, Windows(height, width, image, down, across, line, shape.weight_shape[2], row)


class Layer:
    """One layer at work: buffers for T + 1 steps of E samples, and the prepared weights of the current path.

    Args:
        inputs: [samples x input numbers], flat, and LANE spare numbers: float32, or bfloat16 as uint16.
        most_modules: the largest number of active modules. steps: T + 1. environments: E.
        images: the inputs are images, much of which is 0.
    """

    def __init__(
        self,
        shape: ModuleLayer,
        inputs: NDArray[Any],
        most_modules: int,
        steps: int,
        environments: int,
        images: bool,
    ) -> None:
        self.shape = shape
        self._sparse = images and shape.convolutional
        self._inputs = inputs
        self._numbers_a_word = 2 if inputs.dtype == np.uint16 else 1
        outputs = shape.outputs
        self._positions = math.prod(shape.output_shape) // outputs
        rows = steps * environments * self._positions
        self.outputs: Floats = zeros(rows * outputs + LANE)
        self.summed = self.outputs[: rows * outputs].reshape(rows, outputs)
        """Outputs of all steps, [samples x positions, k]."""
        widest = padded(most_modules * outputs, VECTOR)
        self._kept_bytes = zeros(rows * widest, dtype=torch.uint8)
        self._lines = shape.weight_shape[2] if shape.convolutional else 1
        self._row = shape.fan_in // self._lines
        self._step_words = environments * math.prod(shape.input_shape) // self._numbers_a_word
        self._step_rows = environments * self._positions
        self._samples, self._windows = windows_of(shape, environments, self._numbers_a_word)
        positions = tile_positions(self._windows.width)
        self._forward = forward_kernel(positions, outputs, self._numbers_a_word == 2, self._sparse)
        self._responses: Floats = zeros(positions * widest)
        # By module, as the gradient of the inputs takes them.
        self._weights_by_module = torch.zeros(
            most_modules * outputs, self._lines, padded(self._row)
        )

    def load(self, rows: torch.Tensor, trainable: int) -> None:
        """Prepare the numbers of the active modules, [n, module_size], trainable ones first."""
        shape = self.shape
        self._modules, self.trainable = len(rows), trainable
        columns = len(rows) * shape.outputs
        step = padded(columns, VECTOR)
        by_module = self._weights_by_module[:columns, :, : self._row]
        by_module.copy_(self._by_line(rows[:, : shape.weights]))
        words = shape.fan_in // self._numbers_a_word
        weights = torch.zeros(words, step, self._numbers_a_word)
        weights[:, :columns] = by_module.reshape(columns, words, -1).transpose(0, 1)
        if self._numbers_a_word == 2:
            weights = weights.bfloat16().view(torch.int16)
        self._weights = weights.numpy()
        bias: Floats = zeros(step)
        bias[:columns] = rows[:, shape.weights :].flatten()
        self._bias = bias
        self._kept = self._kept_bytes[: len(self.summed) * step].reshape(-1, step)

    def _by_line(self, weights: torch.Tensor) -> torch.Tensor:
        """[n k, lines, row] of [n, weights] in torch's order."""
        shape = self.shape
        if not shape.convolutional:
            return weights.reshape(-1, 1, shape.fan_in)
        torch_order = weights.reshape(-1, *shape.weight_shape[1:])
        return torch_order.permute(0, 2, 3, 1).reshape(-1, self._lines, self._row)

    def forward(self, step: int) -> None:
        """Take in one step's inputs; the outputs and what `backward` needs are kept."""
        self._forward(
            self._inputs,
            step * self._step_words,
            self._samples,
            self._windows,
            self._weights,
            self._bias,
            self._modules,
            self._responses,
            self._kept,
            self.summed,
            step * self._step_rows,
        )

    def dead_units(self, samples: int) -> float:
        """The share of units that were 0 in the first so many samples; a convolution's are its kernels."""
        kept = self._kept[: samples * self._positions, : self._modules * self.shape.outputs]
        return float(1.0 - kept.any(axis=0).mean())

    def backward(
        self, samples: int, upstream: Floats, need_inputs: bool
    ) -> tuple[torch.Tensor, Floats | None]:
        """Gradients of the trainable rows [trainable, module_size] and of the inputs, flat.

        Args:
            upstream: gradient of the outputs of the first so many samples, [samples x positions, k].
        """
        shape = self.shape
        learned = self.trainable * shape.outputs
        images, windows = windows_of(shape, samples, self._numbers_a_word)
        row, step = padded(self._row), self._kept.shape[1]
        weights, biases = zeros(padded(learned), self._lines, row), zeros(step)
        below = zeros(samples * math.prod(shape.input_shape) if need_inputs else 0)
        counts = self._modules, learned
        results = upstream, self._kept, weights, biases
        outputs = windows.height * windows.width
        if self._numbers_a_word == 2:
            half = -(-windows.width // 2)
            lines = (windows.height - 1) * shape.stride + windows.lines
            backward_pairs_kernel(shape.outputs)(
                *(self._inputs, images, windows, *counts, *results),
                zeros(outputs + 1, step),
                zeros(windows.height, half, step, dtype=torch.uint32),
                zeros(lines, half, row, dtype=torch.uint32),
            )
        else:
            positions = tile_positions(windows.width)
            backward_kernel(positions, shape.outputs, self._sparse)(
                *(self._inputs, images, windows, self._weights_by_module.numpy(), *counts),
                *(*results, below, zeros(outputs, step), zeros(positions + 1, row)),
            )
        gradient = torch.empty(self.trainable, shape.module_size)
        by_line = torch.from_numpy(weights[:learned, :, : self._row])
        if shape.convolutional:
            _, channels, height, width = shape.weight_shape
            by_line = by_line.reshape(learned, height, width, channels).permute(0, 3, 1, 2)
        gradient[:, : shape.weights] = by_line.reshape(self.trainable, shape.weights)
        gradient[:, shape.weights :] = torch.from_numpy(biases[:learned]).view(
            self.trainable, shape.outputs
        )
        return gradient, below if need_inputs else None
