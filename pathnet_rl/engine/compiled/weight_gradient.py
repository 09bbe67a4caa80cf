"""The gradient of a layer's weights, from its deltas, image after image. Vocabulary: layer_arrays.py."""

from __future__ import annotations

from typing import Any

from pathnet_rl.engine.compiled.elementwise import unrectify
from pathnet_rl.engine.compiled.layer_arrays import Gradients, Listed, Upstream, Windows
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
def make_deltas(
    upstream: Upstream, windows: Windows, image: int, deltas: Any, biases: Any, units: int
) -> None:
    """Fill the deltas [height, margin + width + margin, pitch] of an image, and add them to the biases'."""
    pitch, margin = deltas.shape[2], windows.slices - 1
    for y in range(windows.height):
        row = (image * windows.height + y) * windows.width
        gradient = upstream.gradient.ctypes.data + 4 * row * units
        positive = upstream.positive.ctypes.data + row * pitch
        filled = Rows(deltas[y, margin:].ctypes.data, pitch)
        totals = biases.ctypes.data
        unrectify(gradient, positive, filled, totals, windows.width, upstream.modules, units)


@part
def list_places(windows: Windows, pitch: int, places: Listed) -> None:
    """Of each line of a window: the words to the deltas of each line of places, and to its first window's."""
    for line in range(windows.lines):
        for y in range(windows.height):
            places.runs[line, y, 0] = _first_delta(windows, y) * pitch
            places.runs[line, y, 1] = y * windows.down + line * windows.line_pitch
        places.counts[line] = windows.height


@part
def list_places_there(windows: Windows, pitch: int, blank: Any, places: Listed) -> None:
    """The same, place by place, of those whose window is not blank on the line.

    Args:
        blank: [lines of an image, width], whether windows are.
    """
    stride = windows.down // windows.line_pitch
    for line in range(windows.lines):
        count = 0
        for y in range(windows.height):
            for x in range(windows.width):
                # Written in any case, overwritten if it does not count: no branch to guess.
                places.runs[line, count, 0] = (_first_delta(windows, y) + x) * pitch
                window = y * windows.down + x * windows.across
                places.runs[line, count, 1] = window + line * windows.line_pitch
                count += not blank[y * stride + line, x]
        places.counts[line] = count


@part
def _first_delta(windows: Windows, y: int) -> int:
    """Rows to the first place of a line, between margins."""
    margin = windows.slices - 1
    return y * (windows.width + 2 * margin) + margin


@part
def add_products(
    numbers: int, windows: Windows, deltas: Any, places: Listed, length: int, gradients: Gradients
) -> None:
    """Add up the deltas of places times what their windows have on each line.

    Args:
        numbers: address of an image. length: how many places side by side are listed as one.
    """
    pitch, (_, lines, padded) = deltas.shape[2], gradients.weights.shape
    right = Vectors(numbers, windows.across)
    for line in range(lines):
        terms = Runs(places.runs[line].ctypes.data, places.counts[line], length)
        for unit in range(0, gradients.units, GRADIENT_POSITIONS):
            out = Rows(gradients.weights[unit:, line:].ctypes.data, lines * padded)
            left = Words(deltas.ctypes.data + 4 * unit, 1, pitch)
            multiply(out, out, left, right, terms, padded, GRADIENT_POSITIONS, False)
