"""The layers' loops, compiled when first called: from inputs to outputs in one pass over memory, and back."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from pathnet_rl.tiles import (
    GRADIENT_POSITIONS,
    LANE,
    MOST_POSITIONS,
    compiled,
    multiply,
    rectify,
    unrectify,
)


class Windows(NamedTuple):
    """Where a layer's windows lie in its inputs. Steps count words of 4 bytes (tiles.py).

    Attributes:
        height, width: outputs of one sample. image: step to the next sample. down, across: steps to the
            window of the next output. line: step to the next line of a window. lines: how many.
        row: words of a line.
    """

    height: int
    width: int
    image: int
    down: int
    across: int
    line: int
    lines: int
    row: int


def tile_positions(width: int) -> int:
    """How many of `width` outputs side by side are one tile; the last tile may overlap the one before."""
    return -(-width // -(-width // MOST_POSITIONS))


@functools.cache
def forward_kernel(positions: int, outputs: int, pairs: bool) -> Any:
    """The forward pass of a layer whose outputs come in tiles of `positions`, compiled when first called.

    Args:
        outputs: of a module, k. pairs: inputs and weights are pairs of bfloat16.
    """

    def forward(
        inputs: Any,
        begin: int,
        samples: int,
        windows: Windows,
        weights: Any,
        bias: Any,
        modules: int,
        responses: Any,
        kept: Any,
        sums: Any,
        row: int,
    ) -> None:
        """Fill rows of `kept` [rows, step] and `sums` [rows, k], from `row` on, from `begin` words on.

        Args:
            inputs: flat, float32 or the bits of bfloat16. weights: [words, step] (of pairs: [words, step,
                2]), bias: [step], where step is at least modules x k, padded.
            responses: room for [positions, step], for this function's own use.
        """
        lanes, step = -(-modules * outputs // LANE) * LANE, len(bias)
        tiles = -(-windows.width // positions)
        source, target = inputs.ctypes.data, responses.ctypes.data
        for sample in range(samples):
            for y in range(windows.height):
                for tile in range(tiles):
                    x = min(tile * positions, windows.width - positions)
                    at = begin + sample * windows.image + y * windows.down + x * windows.across
                    multiply(
                        target, step, bias.ctypes.data, 0,
                        source + 4 * at, windows.across, windows.line, 1,
                        weights.ctypes.data, windows.row * step, step,
                        windows.lines, windows.row, lanes, positions, pairs,
                    )  # fmt: skip
                    at = row + (sample * windows.height + y) * windows.width + x
                    rectify(
                        target, step, kept.ctypes.data + at * step,
                        sums.ctypes.data + 4 * at * outputs, positions, modules, outputs,
                    )  # fmt: skip

    return compiled(forward, positions, outputs, pairs)


@functools.cache
def head_kernel(positions: int) -> Any:
    """The forward pass of a head on tiles of `positions` samples: a product and a bias."""

    def head(
        inputs: Any, weights: Any, bias: Any, outputs: Any, row: int, samples: int, lanes: int
    ) -> None:
        """Fill so many rows of `outputs` [samples, step], from `row` on.

        Args:
            inputs: [samples, F]. weights: [F, step]. bias: [step]. lanes: padded outputs.
        """
        features, step = weights.shape
        for tile in range(-(-samples // positions)):
            first = row + min(tile * positions, samples - positions)
            multiply(
                outputs[first:].ctypes.data, step, bias.ctypes.data, 0,
                inputs[first:].ctypes.data, features, 0, 1,
                weights.ctypes.data, 0, step,
                1, features, lanes, positions, False,
            )  # fmt: skip

    return compiled(head, positions)


@functools.cache
def backward_kernel(positions: int, outputs: int) -> Any:
    """The backward pass of a layer of float32 inputs; see `forward_kernel`."""

    def backward(
        inputs: Any,
        samples: int,
        windows: Windows,
        weights: Any,
        modules: int,
        trainable: int,
        upstream: Any,
        kept: Any,
        gradient: Any,
        totals: Any,
        below: Any,
        raw: Any,
        columns: Any,
    ) -> None:
        """Add to the gradients of weights, biases and inputs.

        Args:
            inputs: flat, with LANE spare numbers: up to LANE - 1 past a window's line are read.
            weights: [at least n k, lines, padded row]. trainable: outputs, k a module, of the modules that
                learn, which come first. upstream: [rows, k].
            gradient: [padded trainable, lines, padded row]. totals: [step]. below: [numbers of the
                samples' inputs], or empty if their gradient is not wanted.
            raw: [height x width, step], zeros, and columns: [positions + 1, padded row], of which the
                last row is zeros, for this function's own use.
        """
        step = kept.shape[1]
        padded = gradient.shape[2]
        count = windows.height * windows.width
        zeros = columns[positions].ctypes.data
        tiles = -(-windows.width // positions)
        for sample in range(samples):
            at = sample * count
            unrectify(
                upstream.ctypes.data + 4 * at * outputs, kept.ctypes.data + at * step,
                raw.ctypes.data, step, totals.ctypes.data, count, modules, outputs,
            )  # fmt: skip
            for first in range(0, trainable, GRADIENT_POSITIONS):
                for line in range(windows.lines):
                    target = gradient[first:, line:].ctypes.data
                    multiply(
                        target, windows.lines * padded, target, windows.lines * padded,
                        raw.ctypes.data + 4 * first, 1, windows.width * step, step,
                        inputs.ctypes.data + 4 * (sample * windows.image + line * windows.line),
                        windows.down, windows.across,
                        windows.height, windows.width, padded, GRADIENT_POSITIONS, False,
                    )  # fmt: skip
            for y in range(windows.height if len(below) else 0):
                for tile in range(tiles):
                    x = min(tile * positions, windows.width - positions)
                    for line in range(windows.lines):
                        multiply(
                            columns.ctypes.data, padded, zeros, 0,
                            raw[y * windows.width + x :].ctypes.data, step, 0, 1,
                            weights[0, line:].ctypes.data, 0, windows.lines * padded,
                            1, modules * outputs, padded, positions, False,
                        )  # fmt: skip
                        for p in range(tile * positions - x, positions):
                            at = sample * windows.image + y * windows.down + line * windows.line
                            at += (x + p) * windows.across
                            target_row = below[at : at + windows.row]
                            column = columns[p]
                            for number in range(windows.row):
                                target_row[number] += column[number]

    return compiled(backward, positions, outputs)


@functools.cache
def backward_pairs_kernel(outputs: int) -> Any:
    """The backward pass of a first layer on bfloat16 images: the gradients of its weights and biases.

    A product of pairs adds up two positions, so two windows side by side are interleaved, and so are
    their gradients, which are rounded to bfloat16.
    """

    def backward_pairs(
        inputs: Any,
        samples: int,
        windows: Windows,
        modules: int,
        trainable: int,
        upstream: Any,
        kept: Any,
        gradient: Any,
        totals: Any,
        raw: Any,
        gradients: Any,
        windows_side_by_side: Any,
    ) -> None:
        """Add to `gradient` [padded trainable, lines, padded row] and `totals` [step].

        Args:
            inputs: the images as uint16. windows: in pairs. trainable, upstream: as in `backward_kernel`.
            raw: [height x width + 1, step], zeros; gradients: [height, half, step] and
                windows_side_by_side: [lines of an image, half, padded row], uint32, where half are the
                pairs of outputs side by side. For this function's own use.
        """
        step = kept.shape[1]
        padded = gradient.shape[2]
        height, width = windows.height, windows.width
        half = gradients.shape[1]
        row, across, line_step = 2 * windows.row, 2 * windows.across, 2 * windows.line
        steps = windows.down // windows.line
        bits = raw.view(np.uint32)
        for sample in range(samples):
            at = sample * height * width
            unrectify(
                upstream.ctypes.data + 4 * at * outputs, kept.ctypes.data + at * step,
                raw.ctypes.data, step, totals.ctypes.data, height * width, modules, outputs,
            )  # fmt: skip
            for y in range(height):
                for pair in range(half):
                    left = bits[y * width + 2 * pair]
                    # The last row is zeros: a last output without a neighbour.
                    right = bits[y * width + 2 * pair + 1 if 2 * pair + 1 < width else -1]
                    both = gradients[y, pair]
                    for o in range(step):
                        low = (left[o] + ((left[o] >> 16) & 1) + 0x7FFF) >> 16
                        high = (right[o] + ((right[o] >> 16) & 1) + 0x7FFF) & 0xFFFF0000
                        both[o] = low | high
            for line in range(len(windows_side_by_side)):
                for pair in range(half):
                    at = sample * 2 * windows.image + line * line_step + 2 * pair * across
                    left_words = inputs[at : at + row]
                    at += across if 2 * pair + 1 < width else 0
                    right_words = inputs[at : at + row]
                    words = windows_side_by_side[line, pair]
                    for number in range(row):
                        words[number] = np.uint32(left_words[number]) | (
                            np.uint32(right_words[number]) << np.uint32(16)
                        )
            for first in range(0, trainable, GRADIENT_POSITIONS):
                for line in range(windows.lines):
                    target = gradient[first:, line:].ctypes.data
                    multiply(
                        target, windows.lines * padded, target, windows.lines * padded,
                        gradients.ctypes.data + 4 * first, 1, half * step, step,
                        windows_side_by_side[line:].ctypes.data, steps * half * padded, padded,
                        height, half, padded, GRADIENT_POSITIONS, True,
                    )  # fmt: skip

    return compiled(backward_pairs, outputs)
