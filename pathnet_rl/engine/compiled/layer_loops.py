"""The layers' loops, compiled when first called: from inputs to outputs in one pass over memory, and back."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from pathnet_rl.engine.compiled.elementwise import (
    all_zero,
    interleave,
    interleave_rounded,
    rectify,
    unrectify,
)
from pathnet_rl.engine.compiled.images import Frames, expand
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.tiles import (
    GRADIENT_POSITIONS,
    MOST_LANES,
    MOST_POSITIONS,
    multiply,
    multiply_listed,
    registers_of,
)
from pathnet_rl.engine.compiler import compiled


class Windows(NamedTuple):
    """Where a layer's windows lie in its inputs. Steps count words of 4 bytes (registers.py).

    Attributes:
        height, width: outputs of one sample. image: step to the next sample. down, across: steps to the
            window of the next output. line: step to the next line of a window. lines: how many.
        row: words of a line. slices: how many times a window moves on until it has left a line behind.
    """

    height: int
    width: int
    image: int
    down: int
    across: int
    line: int
    lines: int
    row: int
    slices: int


def tile_positions(width: int, lanes: int = MOST_LANES) -> int:
    """How many of `width` positions side by side are one tile; the last tile may overlap the one before.

    Args:
        lanes: of a position. Fewer vectors than the largest tile has leave registers for more positions.
    """
    most = MOST_POSITIONS * registers_of(MOST_LANES) // registers_of(min(lanes, MOST_LANES))
    return -(-width // -(-width // most))


@functools.cache
def forward_kernel(positions: int, outputs: int, pairs: bool, channels: int) -> Any:
    """The forward pass of a layer whose outputs come in tiles of `positions`, compiled when first called.

    Args:
        outputs: of a module, k. pairs: inputs and weights are pairs of bfloat16. channels: of images, if
            the inputs are that, else 0. Images are expanded from their frames one at a time. Their
            background is 0; lines that are 0 all along a tile's windows are left out, which changes
            nothing in the sums.
    """

    def forward(
        frames: Frames,
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
            inputs: flat, float32 or the bits of bfloat16; of images, room for one, and `begin` counts not.
            weights: [words, step] (of pairs: [words, step, 2]), bias: [step], where step is at least
                modules x k, padded.
            responses: room for [positions, step], for this function's own use.
        """
        lanes, step = -(-modules * outputs // LANE) * LANE, len(bias)
        tiles = -(-windows.width // positions)
        source, target = inputs.ctypes.data, responses.ctypes.data
        terms, count = np.empty((windows.lines, 2), np.int64), windows.lines
        for line in range(windows.lines):
            terms[line, 0], terms[line, 1] = line * windows.line, line * windows.row * step
        if channels:
            steps = windows.down // windows.line
            blank = np.empty((tiles, (windows.height - 1) * steps + windows.lines), np.bool_)
            stretch = (positions - 1) * windows.across + windows.row
        for sample in range(samples):
            image = 0 if channels else begin + sample * windows.image
            if channels:
                first = row // (windows.height * windows.width)
                expand(frames, first + sample, inputs, channels, pairs)
                for tile in range(tiles):
                    x = min(tile * positions, windows.width - positions)
                    for line in range(blank.shape[1]):
                        at = image + line * windows.line + x * windows.across
                        blank[tile, line] = all_zero(source + 4 * at, stretch)
            for y in range(windows.height):
                for tile in range(tiles):
                    x = min(tile * positions, windows.width - positions)
                    at = image + y * windows.down + x * windows.across
                    if channels:
                        count = 0
                        for line in range(windows.lines):
                            # Written in any case, overwritten if it does not count: no branch to guess.
                            terms[count, 0] = line * windows.line
                            terms[count, 1] = line * windows.row * step
                            count += not blank[tile, y * steps + line]
                    multiply_listed(
                        target, step, bias.ctypes.data, 0,
                        source + 4 * at, windows.across, 1,
                        weights.ctypes.data, step,
                        terms.ctypes.data, count, windows.row, lanes, positions, pairs,
                    )  # fmt: skip
                    at = row + (sample * windows.height + y) * windows.width + x
                    rectify(
                        target, step, kept.ctypes.data + at * step,
                        sums.ctypes.data + 4 * at * outputs, positions, modules, outputs,
                    )  # fmt: skip

    return compiled(forward, positions, outputs, pairs, channels)


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
def backward_kernel(positions: int, outputs: int, channels: int) -> Any:
    """The backward pass of a layer of float32 inputs; see `forward_kernel`.

    The gradient of the inputs is gathered: a tile of `positions` inputs side by side, each as many words as a
    window moves on by, sums up all windows that see it in registers, and is written once.
    """

    def backward(
        frames: Frames,
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
        """Add to the gradients of weights and biases; fill that of the inputs.

        Args:
            inputs: as in `forward_kernel`, with LANE spare numbers: up to LANE - 1 past a window's line are
                read.
            weights: [at least n k, lines, at least slices x across, padded], zeros past a row.
            trainable: outputs, k a module, of the modules that learn, which come first. upstream: [rows, k].
            gradient: [padded trainable, lines, padded row]. totals: [step]. below: [numbers of the
                samples' inputs, and `across` spare ones], or empty if their gradient is not wanted.
            raw: [height, slices - 1 + width + slices - 1, step], zeros, and columns: [positions + 1, padded
                across], of which the last row is zeros, for this function's own use.
        """
        step = kept.shape[1]
        padded, lanes = gradient.shape[2], columns.shape[1]
        height, width = windows.height, windows.width
        margin = windows.slices - 1
        wide = width + 2 * margin
        steps = windows.down // windows.line
        # Terms of the weights' gradient are rows of outputs, or, of images, single ones.
        terms, chosen = np.empty((height * width, 2), np.int64), height
        for y in range(height):
            terms[y, 0], terms[y, 1] = (y * wide + margin) * step, y * windows.down
        if channels:
            blank = np.empty(((height - 1) * steps + windows.lines, width), np.bool_)
        # Terms of a line of inputs are the outputs' lines that see it, each `slices` times.
        input_lines = windows.image // windows.line
        seen = np.empty((input_lines, windows.lines * windows.slices, 2), np.int64)
        counts = np.zeros(input_lines, np.int64)
        for y in range(height):
            for line in range(windows.lines):
                for part in range(windows.slices):
                    place = y * steps + line
                    term = seen[place, counts[place]]
                    term[0] = (y * wide + margin - part) * step
                    term[1] = line * weights.shape[2] + part * windows.across
                    counts[place] += 1
        zeros = columns[positions].ctypes.data
        whole = lanes == windows.across
        reached = width + margin
        for sample in range(samples):
            for y in range(height):
                at = (sample * height + y) * width
                unrectify(
                    upstream.ctypes.data + 4 * at * outputs, kept.ctypes.data + at * step,
                    raw[y, margin:].ctypes.data, step, totals.ctypes.data, width, modules, outputs,
                )  # fmt: skip
            image = 0 if channels else sample * windows.image
            if channels:
                expand(frames, sample, inputs, channels, False)
                for line in range(len(blank)):
                    for x in range(width):
                        at = image + line * windows.line + x * windows.across
                        blank[line, x] = all_zero(inputs.ctypes.data + 4 * at, windows.row)
            for line in range(windows.lines):
                if channels:
                    chosen = 0
                    for y in range(height):
                        for x in range(width):
                            terms[chosen, 0] = (y * wide + margin + x) * step
                            terms[chosen, 1] = y * windows.down + x * windows.across
                            chosen += not blank[y * steps + line, x]
                for first in range(0, trainable, GRADIENT_POSITIONS):
                    target = gradient[first:, line:].ctypes.data
                    multiply_listed(
                        target, windows.lines * padded, target, windows.lines * padded,
                        raw.ctypes.data + 4 * first, 1, step,
                        inputs.ctypes.data + 4 * (image + line * windows.line), windows.across,
                        terms.ctypes.data, chosen, 1 if channels else width,
                        padded, GRADIENT_POSITIONS, False,
                    )  # fmt: skip
            # In order: what is written past the end of a line is overwritten by the next.
            for line in range(input_lines if len(below) else 0):
                begin = image + line * windows.line
                for tile in range(-(-reached // positions)):
                    x = min(tile * positions, reached - positions)
                    at = begin + x * windows.across
                    target = below[at:].ctypes.data if whole else columns.ctypes.data
                    multiply_listed(
                        target, lanes, zeros, 0,
                        raw[0, x:].ctypes.data, step, 1,
                        weights.ctypes.data, windows.lines * weights.shape[2],
                        seen[line].ctypes.data, counts[line], modules * outputs,
                        lanes, positions, False,
                    )  # fmt: skip
                    for p in range(0 if whole else positions):
                        row = below[at + p * windows.across : at + (p + 1) * windows.across]
                        for number in range(len(row)):
                            row[number] = columns[p, number]
                for number in range(begin + reached * windows.across, begin + windows.line):
                    below[number] = 0.0

    return compiled(backward, positions, outputs, channels)


@functools.cache
def backward_pairs_kernel(outputs: int, channels: int) -> Any:
    """The backward pass of a first layer on bfloat16 images: the gradients of its weights and biases.

    A product of pairs adds up two positions, so two windows side by side are interleaved, and so are
    their gradients, which are rounded to bfloat16. Lines of them that are 0 are left out.
    """

    def backward_pairs(
        frames: Frames,
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
            inputs: room for an image as uint16. windows: in pairs. trainable, upstream: as in
                `backward_kernel`.
            raw: [height x width + 1, step], zeros; gradients: [height, half, step] and
                windows_side_by_side: [lines of an image, half, padded row], uint32, where half are the
                pairs of outputs side by side. For this function's own use.
        """
        step = kept.shape[1]
        padded = gradient.shape[2]
        height, width = windows.height, windows.width
        half = gradients.shape[1]
        steps = windows.down // windows.line
        # Of windows side by side: which have any bits, line by line; which outputs' gradients are needed.
        there = np.empty((len(windows_side_by_side), half), np.uint8)
        needed = np.empty((height, half), np.uint8)
        terms = np.empty((windows.lines, height * half, 2), np.int64)
        counts = np.empty(windows.lines, np.int64)
        for sample in range(samples):
            expand(frames, sample, inputs, channels, True)
            at = sample * height * width
            unrectify(
                upstream.ctypes.data + 4 * at * outputs, kept.ctypes.data + at * step,
                raw.ctypes.data, step, totals.ctypes.data, height * width, modules, outputs,
            )  # fmt: skip
            for line in range(len(windows_side_by_side)):
                for pair in range(half):
                    at = line * windows.line + 2 * pair * windows.across
                    # The window of a last output without a neighbour is its own neighbour's.
                    apart = windows.across if 2 * pair + 1 < width else 0
                    blank = all_zero(inputs.ctypes.data + 4 * at, apart + windows.row)
                    there[line, pair] = not blank
                    if not blank:
                        interleave(
                            inputs.ctypes.data + 4 * at, inputs.ctypes.data + 4 * (at + apart),
                            2 * windows.row, windows_side_by_side[line, pair:].ctypes.data,
                        )  # fmt: skip
            needed[:] = 0
            for line in range(windows.lines):
                count = 0
                for y in range(height):
                    for pair in range(half):
                        terms[line, count, 0] = (y * half + pair) * step
                        terms[line, count, 1] = ((y * steps + line) * half + pair) * padded
                        count += there[y * steps + line, pair]
                        needed[y, pair] |= there[y * steps + line, pair]
                counts[line] = count
            for y in range(height):
                for pair in range(half):
                    if needed[y, pair]:
                        # The last row is zeros: a last output without a neighbour.
                        neighbour = y * width + 2 * pair + 1
                        neighbour = neighbour if 2 * pair + 1 < width else height * width
                        interleave_rounded(
                            raw[y * width + 2 * pair :].ctypes.data, raw[neighbour:].ctypes.data,
                            step, gradients[y, pair:].ctypes.data,
                        )  # fmt: skip
            for first in range(0, trainable, GRADIENT_POSITIONS):
                for line in range(windows.lines):
                    target = gradient[first:, line:].ctypes.data
                    multiply_listed(
                        target, windows.lines * padded, target, windows.lines * padded,
                        gradients.ctypes.data + 4 * first, 1, 0,
                        windows_side_by_side.ctypes.data, 0,
                        terms[line].ctypes.data, counts[line], 1, padded, GRADIENT_POSITIONS, True,
                    )  # fmt: skip

    return compiled(backward_pairs, outputs, channels)
