"""The layers' loops, compiled when first called: begin here. Vocabulary: layer_arrays.py.

Forward, a tile of windows side by side is multiplied by all modules' weights where it lies, and rectified
and summed up before it reaches memory. Backward, an image's deltas are made, and from them, while they are
in the cache, the gradients of weights (weight_gradient.py), and of inputs (input_gradient.py) or, where
images are of bfloat16, none (pair_gradient.py).

All loops go over images, one at a time, because the first layer's are made of frames only when they are
needed. Their background is 0; what is multiplied by it is left out (blanks.py).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from pathnet_rl.engine.compiled.blanks import (
    lines_with_windows,
    list_lines,
    list_lines_there,
    mark_blank,
)
from pathnet_rl.engine.compiled.elementwise import rectify, unrectify
from pathnet_rl.engine.compiled.images import expand
from pathnet_rl.engine.compiled.input_gradient import columns_of, gather, list_windows_that_see
from pathnet_rl.engine.compiled.layer_arrays import (
    Gradients,
    Inputs,
    Listed,
    Outputs,
    PairRoom,
    Room,
    Upstream,
    Weights,
    Windows,
)
from pathnet_rl.engine.compiled.pair_gradient import (
    add_products_of_pairs,
    list_pairs_there,
    pair_deltas,
    pair_windows,
)
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.tiles import Rows, Runs, Vectors, Words, multiply, tile_positions
from pathnet_rl.engine.compiled.weight_gradient import (
    add_products,
    list_places,
    list_places_there,
    make_deltas,
)
from pathnet_rl.engine.compiler import compiled


@functools.cache
def forward_kernel(windows: Windows, units: int, pairs: bool, channels: int) -> Any:
    """The forward pass of a layer, compiled when first called.

    Args:
        units: k. pairs: inputs and weights are bfloat16.
        channels: of the frames that images are expanded from, or 0.
    """
    positions = tile_positions(windows.width)

    def forward(inputs: Any, weights: Weights, outputs: Outputs, first: int, images: int) -> None:
        """Fill the rows of `outputs` for so many images, from the image `first` on."""
        pitch, places = len(weights.bias), windows.height * windows.width
        lanes = -(-weights.modules * units // LANE) * LANE
        tiles, lines = -(-windows.width // positions), windows.lines
        runs = np.empty((windows.lines, 2), np.int64)
        list_lines(windows, pitch, runs)
        if channels:
            blank = np.empty((lines_with_windows(windows), tiles), np.bool_)
        responses = Rows(outputs.responses.ctypes.data, pitch)
        bias = Rows(weights.bias.ctypes.data, 0)
        right = Vectors(weights.by_input.ctypes.data, pitch)
        for image in range(first, first + images):
            if channels:
                begin = inputs.numbers.ctypes.data
                expand(inputs.frames, image, inputs.numbers, channels, pairs)
                mark_blank(inputs.numbers, windows, positions, blank)
            else:
                begin = inputs.ctypes.data + 4 * image * windows.image_pitch
            for y in range(windows.height):
                for tile in range(tiles):
                    x = min(tile * positions, windows.width - positions)
                    if channels:
                        lines = list_lines_there(blank, y, tile, windows, pitch, runs)
                    window = begin + 4 * (y * windows.down + x * windows.across)
                    left = Words(window, windows.across, 1)
                    terms = Runs(runs.ctypes.data, lines, windows.words)
                    multiply(responses, bias, left, right, terms, lanes, positions, pairs)
                    row = image * places + y * windows.width + x
                    positive = outputs.positive.ctypes.data + row * pitch
                    sums = outputs.sums.ctypes.data + 4 * row * units
                    rectify(responses, positive, sums, positions, weights.modules, units)

    return compiled(forward, *windows, units, pairs, channels)


@functools.cache
def head_kernel(positions: int) -> Any:
    """The forward pass of a head on tiles of `positions` samples: a product and a bias."""

    def head(
        inputs: Any, weights: Any, bias: Any, outputs: Any, first: int, samples: int, lanes: int
    ) -> None:
        """Fill so many rows of `outputs` [samples, pitch], from `first` on.

        Args:
            inputs: [samples, F]. weights: [F, pitch]. bias: [pitch]. lanes: padded outputs.
        """
        features, pitch = weights.shape
        for tile in range(-(-samples // positions)):
            sample = first + min(tile * positions, samples - positions)
            out, start = Rows(outputs[sample:].ctypes.data, pitch), Rows(bias.ctypes.data, 0)
            left = Words(inputs[sample:].ctypes.data, features, 1)
            right = Vectors(weights.ctypes.data, pitch)
            multiply(out, start, left, right, features, lanes, positions, False)

    return compiled(head, positions)


@functools.cache
def backward_kernel(windows: Windows, units: int, channels: int) -> Any:
    """The backward pass of a layer of float32 inputs, compiled when first called; see `forward_kernel`."""
    columns = columns_of(windows)

    def backward(
        inputs: Any,
        weights: Weights,
        upstream: Upstream,
        gradients: Gradients,
        below: Any,
        room: Room,
        images: int,
    ) -> None:
        """Add to the gradients of so many images; fill that of the inputs.

        Args:
            below: [numbers of the images, and `across` spare ones], or empty if it is not wanted.
        """
        pitch, all_places = room.deltas.shape[2], windows.height * windows.width
        runs = np.empty((windows.lines, all_places, 2), np.int64)
        places = Listed(runs, np.empty(windows.lines, np.int64))
        list_places(windows, pitch, places)
        if channels:
            blank = np.empty((lines_with_windows(windows), windows.width), np.bool_)
        seen = list_windows_that_see(windows, pitch, weights.by_unit.shape[2])
        for image in range(images):
            make_deltas(upstream, windows, image, room.deltas, gradients.biases, units)
            if channels:
                begin = inputs.numbers.ctypes.data
                expand(inputs.frames, image, inputs.numbers, channels, False)
                mark_blank(inputs.numbers, windows, 1, blank)
                list_places_there(windows, pitch, blank, places)
                add_products(begin, windows, room.deltas, places, 1, gradients)
            else:
                begin = inputs.ctypes.data + 4 * image * windows.image_pitch
                add_products(begin, windows, room.deltas, places, windows.width, gradients)
            if len(below):
                gather(
                    room,
                    windows,
                    weights,
                    seen,
                    below[image * windows.image_pitch :],
                    columns,
                    units,
                )

    return compiled(backward, *windows, units, channels)


@functools.cache
def backward_pairs_kernel(windows: Windows, units: int, channels: int) -> Any:
    """The backward pass of a first layer on images of bfloat16: the gradients of its weights and biases."""

    def backward_pairs(
        inputs: Inputs, upstream: Upstream, gradients: Gradients, room: PairRoom, images: int
    ) -> None:
        """Add to the gradients of so many images."""
        height, half, pitch = room.delta_pairs.shape
        all_places = height * windows.width
        there = np.empty((len(room.window_pairs), half), np.uint8)
        needed = np.empty((height, half), np.uint8)
        runs = np.empty((windows.lines, height * half, 2), np.int64)
        places = Listed(runs, np.empty(windows.lines, np.int64))
        deltas, totals = Rows(room.deltas.ctypes.data, pitch), gradients.biases.ctypes.data
        for image in range(images):
            expand(inputs.frames, image, inputs.numbers, channels, True)
            gradient = upstream.gradient.ctypes.data + 4 * image * all_places * units
            positive = upstream.positive.ctypes.data + image * all_places * pitch
            unrectify(gradient, positive, deltas, totals, all_places, upstream.modules, units)
            pair_windows(inputs.numbers, windows, room.window_pairs, there)
            list_pairs_there(there, windows, room, places, needed)
            pair_deltas(needed, windows, room)
            add_products_of_pairs(places, room, gradients)

    return compiled(backward_pairs, *windows, units, channels)
