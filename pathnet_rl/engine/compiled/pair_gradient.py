"""The gradient of a first layer's weights on images of bfloat16. Vocabulary: layer_arrays.py.

A product of pairs adds up two terms, and the terms of this gradient are places. So two windows side by side
are interleaved, and so are their deltas, which are rounded to bfloat16. Pairs of windows' lines that are 0
are left out.
"""

from __future__ import annotations

from typing import Any

from pathnet_rl.engine.compiled.elementwise import all_zero, interleave, interleave_rounded
from pathnet_rl.engine.compiled.layer_arrays import Gradients, Listed, PairRoom, Windows
from pathnet_rl.engine.compiled.tiles import (
    GRADIENT_POSITIONS,
    Rows,
    Runs,
    Vectors,
    Words,
    multiply,
)
from pathnet_rl.engine.compiler import part


@part
def pair_windows(image: Any, windows: Windows, window_pairs: Any, there: Any) -> None:
    """Interleave windows side by side, line by line of an image.

    Args:
        there: [lines of an image, half], filled: 1 where a pair of windows is not 0, and was interleaved.
    """
    for line in range(there.shape[0]):
        for pair in range(there.shape[1]):
            left = image.ctypes.data + 4 * (line * windows.line_pitch + 2 * pair * windows.across)
            # The window of a last place without a neighbour is its own neighbour's.
            apart = windows.across if 2 * pair + 1 < windows.width else 0
            blank = all_zero(left, apart + windows.words)
            there[line, pair] = not blank
            if not blank:
                filled = window_pairs[line, pair:].ctypes.data
                interleave(left, left + 4 * apart, 2 * windows.words, filled)


@part
def list_pairs_there(
    there: Any, windows: Windows, room: PairRoom, places: Listed, needed: Any
) -> None:
    """Of each line of a window, pairs of places where it is not 0: the words to deltas and to windows.

    Args:
        needed: [height, half], filled: whether a pair is in any line's list.
    """
    (height, half, pitch), padded = room.delta_pairs.shape, room.window_pairs.shape[2]
    stride = windows.down // windows.line_pitch
    needed[:] = 0
    for line in range(windows.lines):
        count = 0
        for y in range(height):
            for pair in range(half):
                places.runs[line, count, 0] = (y * half + pair) * pitch
                places.runs[line, count, 1] = ((y * stride + line) * half + pair) * padded
                count += there[y * stride + line, pair]
                needed[y, pair] |= there[y * stride + line, pair]
        places.counts[line] = count


@part
def pair_deltas(needed: Any, windows: Windows, room: PairRoom) -> None:
    """Interleave the deltas of places side by side, rounded, where they are needed."""
    height, half, pitch = room.delta_pairs.shape
    for y in range(height):
        for pair in range(half):
            if needed[y, pair]:
                place = y * windows.width + 2 * pair
                # The last row is zeros: a last place without a neighbour.
                lonely = 2 * pair + 1 == windows.width
                neighbour = height * windows.width if lonely else place + 1
                left, right = room.deltas[place:], room.deltas[neighbour:]
                filled = room.delta_pairs[y, pair:].ctypes.data
                interleave_rounded(left.ctypes.data, right.ctypes.data, pitch, filled)


@part
def add_products_of_pairs(places: Listed, room: PairRoom, gradients: Gradients) -> None:
    """Add up the pairs of deltas times the pairs of windows, line by line of the windows."""
    _, lines, padded = gradients.weights.shape
    pitch = room.delta_pairs.shape[2]
    right = Vectors(room.window_pairs.ctypes.data, 0)
    for unit in range(0, gradients.units, GRADIENT_POSITIONS):
        left = Words(room.delta_pairs.ctypes.data + 4 * unit, 1, pitch)
        for line in range(lines):
            out = Rows(gradients.weights[unit:, line:].ctypes.data, lines * padded)
            terms = Runs(places.runs[line].ctypes.data, places.counts[line], 1)
            multiply(out, out, left, right, terms, padded, GRADIENT_POSITIONS, True)
