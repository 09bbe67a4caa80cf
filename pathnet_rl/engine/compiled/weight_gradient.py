"""The gradient of a layer's weights, from an image's deltas, image after image. Words: layer_arrays.py."""

from __future__ import annotations

from typing import Any

from pathnet_rl.engine.compiled.elementwise import unrectify
from pathnet_rl.engine.compiled.layer_arrays import Gradients, Upstream, Windows
from pathnet_rl.engine.compiled.tiles import (
    GRADIENT_POSITIONS,
    Rows,
    Runs,
    Vectors,
    Words,
    multiply,
)
from pathnet_rl.engine.compiler import part


@part  # type: ignore[untyped-decorator]
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


@part  # type: ignore[untyped-decorator]
def list_lines_of_places(windows: Windows, pitch: int, runs: Any) -> None:
    """Fill `runs` [height, 2]: the words to the deltas of each line of places, and to its first window."""
    margin = windows.slices - 1
    for y in range(windows.height):
        runs[y, 0] = (y * (windows.width + 2 * margin) + margin) * pitch
        runs[y, 1] = y * windows.down


@part  # type: ignore[untyped-decorator]
def add_products(
    numbers: int, windows: Windows, deltas: Any, places: Runs, gradients: Gradients, line: int
) -> None:
    """Add up the deltas of places times what their windows have on one line.

    Args:
        numbers: address of that line of the image's first window. places: the words to the deltas and to
            the window of each.
    """
    pitch, (_, lines, padded) = deltas.shape[2], gradients.weights.shape
    for unit in range(0, gradients.units, GRADIENT_POSITIONS):
        out = Rows(gradients.weights[unit:, line:].ctypes.data, lines * padded)
        left, right = Words(deltas.ctypes.data + 4 * unit, 1, pitch), Vectors(numbers, windows.across)
        multiply(out, out, left, right, places, padded, GRADIENT_POSITIONS, False)
