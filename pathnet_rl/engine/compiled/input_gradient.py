"""The gradient of a layer's inputs, gathered. Vocabulary: layer_arrays.py.

A *column* is as many inputs side by side as windows are across from each other. A tile of columns sums up all
windows that see it, in registers, and is written once; to scatter what each window adds would read and
write an input as many times as windows see it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pathnet_rl.engine.compiled.layer_arrays import Listed, Room, Weights, Windows
from pathnet_rl.engine.compiled.room import padded
from pathnet_rl.engine.compiled.tiles import Rows, Runs, Vectors, Words, multiply, tile_positions
from pathnet_rl.engine.compiler import part


def columns_of(windows: Windows) -> int:
    """How many columns are a tile."""
    return tile_positions(windows.width + windows.slices - 1, padded(windows.across))


@part
def list_windows_that_see(windows: Windows, pitch: int, weights_pitch: int) -> Listed:
    """Of each line of an image: the words to the deltas of a line of places, and to the weights that meet it.

    Once for each slice. The weights' pitch is that of lines in `Weights.by_unit`.
    """
    stride, margin = windows.down // windows.line_pitch, windows.slices - 1
    lines = windows.image_pitch // windows.line_pitch
    runs = np.empty((lines, windows.lines * windows.slices, 2), np.int64)
    counts = np.zeros(lines, np.int64)
    for y in range(windows.height):
        for line in range(windows.lines):
            for slice_ in range(windows.slices):
                seen = y * stride + line
                place = y * (windows.width + 2 * margin) + margin - slice_
                runs[seen, counts[seen], 0] = place * pitch
                runs[seen, counts[seen], 1] = line * weights_pitch + slice_ * windows.across
                counts[seen] += 1
    return Listed(runs, counts)


@part
def gather(
    room: Room, windows: Windows, weights: Weights, seen: Listed, below: Any, tile: int, units: int
) -> None:
    """Fill the gradient of one image's inputs.

    Args:
        below: from the image on, with `across` spare numbers. tile: its columns, a literal.
    """
    pitch, lanes = room.deltas.shape[2], room.columns.shape[1]
    columns, whole = windows.width + windows.slices - 1, lanes == windows.across
    weights_pitch = weights.by_unit.shape[1] * weights.by_unit.shape[2]
    zeros = Rows(room.columns[tile].ctypes.data, 0)
    right = Vectors(weights.by_unit.ctypes.data, weights_pitch)
    # In order: what is written past the end of a line is overwritten by the next.
    for line in range(len(seen.counts)):
        begin = line * windows.line_pitch
        terms = Runs(seen.runs[line].ctypes.data, seen.counts[line], weights.modules * units)
        for n in range(-(-columns // tile)):
            x = min(n * tile, columns - tile)
            first = begin + x * windows.across
            out = below[first:].ctypes.data if whole else room.columns.ctypes.data
            left = Words(room.deltas[0, x:].ctypes.data, pitch, 1)
            multiply(Rows(out, lanes), zeros, left, right, terms, lanes, tile, False)
            if not whole:
                copy_columns(room.columns, tile, below[first:], windows.across)
        for number in range(begin + columns * windows.across, begin + windows.line_pitch):
            below[number] = 0.0


@part
def copy_columns(columns: Any, count: int, numbers: Any, across: int) -> None:
    """The first `across` numbers of each column, side by side."""
    for column in range(count):
        for number in range(across):
            numbers[column * across + number] = columns[column, number]
