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

from pathnet_rl.engine.compiled.images import NO_FRAMES, Frames, ImageInputs
from pathnet_rl.engine.compiled.layer_loops import (
    Windows,
    backward_kernel,
    backward_pairs_kernel,
    forward_kernel,
    tile_positions,
)
from pathnet_rl.engine.compiled.module_layout import lay_out_kernel, take_back
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.module_layer import AffineLayer

Floats = NDArray[np.float32]


def padded(count: int, multiple: int = LANE) -> int:
    """The next multiple of LANE, or of another number."""
    return -(-count // multiple) * multiple


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes, as torch's do and numpy's do not.

    A vector of 64 bytes that lies across two lines of the cache takes twice as long or worse.
    """
    return torch.zeros(shape, dtype=dtype).numpy()


def pairs_fit(shape: AffineLayer) -> bool:
    """Lines of windows and steps between them consist of whole pairs of numbers."""
    if not shape.convolutional:
        return False
    counts = shape.weight_shape[3], shape.stride, shape.input_shape[1]
    return all(count * shape.weight_shape[1] % 2 == 0 for count in counts)


def windows_of(
    shape: AffineLayer, samples: int, numbers_a_word: int, images: bool
) -> tuple[int, Windows]:
    """How many images so many samples are, and where their windows lie.

    A linear layer's samples are the outputs of one image, side by side: each sees all of a sample. But
    when they are images, which are expanded one at a time.
    """
    if not shape.convolutional:
        features = shape.fan_in
        count, width = (samples, 1) if images else (1, samples)
        steps = (features,) * 4
        return count, Windows(1, width, *steps, lines=1, row=features, slices=1)
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
    lines, slices = shape.weight_shape[2], -(-row // across)
    return samples, Windows(height, width, image, down, across, line, lines, row, slices)


class Layer:
    """One layer at work: buffers for T + 1 steps of E samples, and the prepared weights of the current path.

    Args:
        inputs: [samples x input numbers], flat, and LANE spare numbers; or images, made when they are needed.
        most_modules: the largest number of active modules. steps: T + 1. environments: E.
    """

    def __init__(
        self,
        shape: AffineLayer,
        inputs: NDArray[Any] | ImageInputs,
        most_modules: int,
        steps: int,
        environments: int,
    ) -> None:
        self.shape = shape
        self._images = inputs if isinstance(inputs, ImageInputs) else None
        self._channels = 0 if self._images is None else self._images.channels
        self._inputs = inputs.words if isinstance(inputs, ImageInputs) else inputs
        self._numbers_a_word = 2 if self._inputs.dtype == np.uint16 else 1
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
        self._module_shape = (
            shape.weight_shape if shape.convolutional else (outputs, 1, 1, shape.fan_in)
        )
        self._step_words = environments * math.prod(shape.input_shape) // self._numbers_a_word
        self._step_rows = environments * self._positions
        self._below: Floats = zeros(0)
        self._samples, self._windows = self._windows_of(environments)
        positions = tile_positions(self._windows.width)
        pairs = self._numbers_a_word == 2
        self._forward = forward_kernel(positions, outputs, pairs, self._channels)
        self._responses: Floats = zeros(positions * widest)
        # By module, as the gradient of the inputs takes them.
        across = self._windows.across * self._numbers_a_word
        room = (self._windows.slices - 1) * across + padded(across)
        self._weights_by_module: Floats = zeros(most_modules * outputs, self._lines, room)

    def _windows_of(self, samples: int) -> tuple[int, Windows]:
        return windows_of(self.shape, samples, self._numbers_a_word, self._images is not None)

    @property
    def _frames(self) -> Frames:
        return NO_FRAMES if self._images is None else self._images.frames

    def load(self, rows: torch.Tensor, trainable: int) -> None:
        """Prepare the numbers of the active modules, [n, module_size], trainable ones first."""
        shape, pairs = self.shape, self._numbers_a_word == 2
        self._modules, self.trainable = len(rows), trainable
        step = padded(len(rows) * shape.outputs, VECTOR)
        if pairs:
            halves = zeros(shape.fan_in // 2, step, 2, dtype=torch.int16)
            self._weights: NDArray[Any] = halves.view(np.uint16)
        else:
            self._weights = zeros(shape.fan_in, step)
        self._bias: Floats = zeros(step)
        lay_out_kernel(pairs)(
            *(rows.numpy(), self._module_shape, self._weights_by_module, self._weights, self._bias)
        )
        self._kept = self._kept_bytes[: len(self.summed) * step].reshape(-1, step)

    def forward(self, step: int) -> None:
        """Take in one step's inputs; the outputs and what `backward` needs are kept."""
        self._forward(
            self._frames,
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
        learned, numbers = self.trainable * shape.outputs, math.prod(shape.input_shape)
        images, windows = self._windows_of(samples)
        row, step = padded(self._row), self._kept.shape[1]
        weights, biases = zeros(padded(learned), self._lines, row), zeros(step)
        if need_inputs and not len(self._below):
            most_samples = len(self.summed) // self._positions
            self._below = zeros(most_samples * numbers + windows.across)
        below = self._below[: None if need_inputs else 0]
        inputs = self._frames, self._inputs, images, windows
        counts = self._modules, learned
        results = upstream, self._kept, weights, biases
        if self._numbers_a_word == 2:
            half = -(-windows.width // 2)
            lines = (windows.height - 1) * shape.stride + windows.lines
            raw = zeros(windows.height * windows.width + 1, step)
            gradients = zeros(windows.height, half, step, dtype=torch.uint32)
            side_by_side = zeros(lines, half, row, dtype=torch.uint32)
            backward_pairs_kernel(shape.outputs, self._channels)(
                *inputs, *counts, *results, raw, gradients, side_by_side
            )
        else:
            margin = windows.slices - 1
            lanes = padded(windows.across)
            positions = tile_positions(windows.width + margin, lanes)
            raw = zeros(windows.height, windows.width + 2 * margin, step)
            columns = zeros(positions + 1, lanes)
            backward_kernel(positions, shape.outputs, self._channels)(
                *inputs, self._weights_by_module, *counts, *results, below, raw, columns
            )
        gradient = torch.empty(self.trainable, shape.module_size)
        take_back(weights, biases, self._module_shape, gradient.numpy())
        return gradient, below[: samples * numbers] if need_inputs else None
