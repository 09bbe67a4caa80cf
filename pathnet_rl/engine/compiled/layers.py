"""The layers of one pathway at work: forward a step at a time, backward over a rollout. By hand, for speed.

Axes: T steps, E environments, B = T x E samples; n active modules of k units in a layer. Arrays are
channels-last throughout: a line of a window is contiguous, and the compiled loops (layer_loops.py) take
windows where they lie. Vocabulary: layer_arrays.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.images import ImageInputs
from pathnet_rl.engine.compiled.input_gradient import columns_of
from pathnet_rl.engine.compiled.layer_arrays import (
    Gradients,
    Inputs,
    Outputs,
    PairRoom,
    Room,
    Upstream,
    Weights,
    Windows,
)
from pathnet_rl.engine.compiled.layer_loops import (
    backward_kernel,
    backward_pairs_kernel,
    forward_kernel,
)
from pathnet_rl.engine.compiled.module_layout import lay_out_kernel, take_back
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.engine.compiled.room import padded, zeros
from pathnet_rl.engine.compiled.tiles import tile_positions
from pathnet_rl.module_layer import AffineLayer

Floats = NDArray[np.float32]


def pairs_fit(shape: AffineLayer) -> bool:
    """Lines of windows and steps between them consist of whole pairs of numbers."""
    if not shape.convolutional:
        return False
    counts = shape.weight_shape[3], shape.stride, shape.input_shape[1]
    return all(count * shape.weight_shape[1] % 2 == 0 for count in counts)


def windows_of(
    shape: AffineLayer, samples: int, numbers_a_word: int, framed: bool
) -> tuple[int, Windows]:
    """How many images so many samples are, and where their windows lie.

    A linear layer's samples lie side by side on the one line of one image, and each is a window. But when
    they are made of frames, each is an image: only one is there at a time.
    """
    if not shape.convolutional:
        features = shape.fan_in
        images, width = (samples, 1) if framed else (1, samples)
        line = width * features
        return images, Windows(1, width, line, line, line, features, 1, features, slices=1)
    height, width, _ = shape.output_shape
    pixel = shape.weight_shape[1]
    line = shape.input_shape[1] * pixel
    distances = math.prod(shape.input_shape), line, shape.stride * line, shape.stride * pixel
    image, line, down, across = (distance // numbers_a_word for distance in distances)
    lines, words = shape.weight_shape[2], shape.weight_shape[3] * pixel // numbers_a_word
    slices = -(-words // across)
    return samples, Windows(height, width, image, line, down, across, lines, words, slices)


class Layer:
    """One layer at work: room for T + 1 steps of E samples, and the prepared weights of the current path.

    Args:
        inputs: [samples x input numbers], flat, and LANE spare numbers; or frames, whose images are made when
            they are needed.
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
        self._framed = inputs if isinstance(inputs, ImageInputs) else None
        self._channels = 0 if self._framed is None else self._framed.channels
        self._numbers = inputs.numbers if isinstance(inputs, ImageInputs) else inputs
        self._pairs = self._numbers.dtype == np.uint16
        self._images, self._windows = self._windows_of(environments)
        self._places = self._windows.height * self._windows.width * self._images // environments
        rows = steps * environments * self._places
        self.outputs: Floats = zeros(rows * shape.outputs + LANE)
        self.summed = self.outputs[: rows * shape.outputs].reshape(rows, shape.outputs)
        """Outputs of all steps, [samples x places, k]."""
        self._make_room(most_modules, rows)

    def _make_room(self, most_modules: int, rows: int) -> None:
        shape, windows = self.shape, self._windows
        widest = padded(most_modules * shape.outputs, VECTOR)
        self._positive_bytes = zeros(rows * widest, dtype=torch.uint8)
        positions = tile_positions(windows.width)
        self._responses: Floats = zeros(positions * widest)
        self._forward = forward_kernel(windows, shape.outputs, self._pairs, self._channels)
        self._line_numbers = shape.fan_in // windows.lines
        across = windows.across * (2 if self._pairs else 1)
        line = (windows.slices - 1) * across + padded(across)
        self._by_unit: Floats = zeros(most_modules * shape.outputs, windows.lines, line)
        self._below: Floats = zeros(0)

    def _windows_of(self, samples: int) -> tuple[int, Windows]:
        numbers_a_word = 2 if self._pairs else 1
        return windows_of(self.shape, samples, numbers_a_word, self._framed is not None)

    @property
    def _inputs(self) -> Inputs | NDArray[Any]:
        return self._numbers if self._framed is None else Inputs(self._framed.frames, self._numbers)

    @property
    def _module_shape(self) -> tuple[int, ...]:
        """(k, C, height, width) of a module's weights; a linear layer's inputs are one line."""
        if self.shape.convolutional:
            return self.shape.weight_shape
        return self.shape.outputs, 1, 1, self.shape.fan_in

    def load(self, modules: torch.Tensor, trainable: int) -> None:
        """Prepare the numbers of the active modules, [n, module_size], trainable ones first."""
        self.trainable = trainable
        pitch = padded(len(modules) * self.shape.outputs, VECTOR)
        if self._pairs:
            pairs = zeros(self.shape.fan_in // 2, pitch, 2, dtype=torch.int16)
            by_input: NDArray[Any] = pairs.view(np.uint16)
        else:
            by_input = zeros(self.shape.fan_in, pitch)
        self._weights = Weights(by_input, zeros(pitch), self._by_unit, len(modules))
        lay_out_kernel(self._pairs)(
            *(modules.numpy(), self._module_shape, self._by_unit, by_input, self._weights.bias)
        )
        positive = self._positive_bytes[: len(self.summed) * pitch].reshape(-1, pitch)
        self._outputs = Outputs(positive, self.summed, self._responses)

    def forward(self, step: int) -> None:
        """Take in one step's inputs; the outputs and what `backward` needs are kept."""
        first, images = step * self._images, self._images
        self._forward(self._inputs, self._weights, self._outputs, first, images)

    def dead_units(self, samples: int) -> float:
        """The share of units that were 0 in the first so many samples; a convolution's are its kernels."""
        units = self._weights.modules * self.shape.outputs
        positive = self._outputs.positive[: samples * self._places, :units]
        return float(1.0 - positive.any(axis=0).mean())

    def backward(
        self, samples: int, upstream: Floats, need_inputs: bool
    ) -> tuple[torch.Tensor, Floats | None]:
        """Gradients of the trainable modules [trainable, module_size] and of the inputs, flat.

        Args:
            upstream: gradient of the outputs of the first so many samples, [samples x places, k].
        """
        images, windows = self._windows_of(samples)
        units, pitch = self.trainable * self.shape.outputs, len(self._weights.bias)
        weights = zeros(padded(units), windows.lines, padded(self._line_numbers))
        gradients = Gradients(weights, zeros(pitch), units)
        given = Upstream(upstream, self._outputs.positive, self._weights.modules)
        if need_inputs and not len(self._below):
            most_samples = len(self.summed) // self._places
            self._below = zeros(most_samples * math.prod(self.shape.input_shape) + windows.across)
        below = self._below[: None if need_inputs else 0]
        if self._pairs:
            self._backward_pairs(images, windows, given, gradients)
        else:
            self._backward_floats(images, windows, given, gradients, below)
        modules = torch.empty(self.trainable, self.shape.module_size)
        take_back(weights, gradients.biases, self._module_shape, modules.numpy())
        numbers = samples * math.prod(self.shape.input_shape)
        return modules, below[:numbers] if need_inputs else None

    def _backward_floats(
        self, images: int, windows: Windows, given: Upstream, gradients: Gradients, below: Floats
    ) -> None:
        margin, pitch = windows.slices - 1, len(gradients.biases)
        deltas = zeros(windows.height, windows.width + 2 * margin, pitch)
        room = Room(deltas, zeros(columns_of(windows) + 1, padded(windows.across)))
        kernel = backward_kernel(windows, self.shape.outputs, self._channels)
        kernel(self._inputs, self._weights, given, gradients, below, room, images)

    def _backward_pairs(
        self, images: int, windows: Windows, given: Upstream, gradients: Gradients
    ) -> None:
        height, half, pitch = windows.height, -(-windows.width // 2), len(gradients.biases)
        seen = (height - 1) * self.shape.stride + windows.lines
        line = gradients.weights.shape[2]
        room = PairRoom(
            zeros(height * windows.width + 1, pitch),
            zeros(height, half, pitch, dtype=torch.uint32),
            zeros(seen, half, line, dtype=torch.uint32),
        )
        kernel = backward_pairs_kernel(windows, self.shape.outputs, self._channels)
        kernel(self._inputs, given, gradients, room, images)
