"""Which parts of an image are 0: its background is, and what is multiplied by it is left out of the sums.

Only the first layer's images are looked at, which are expanded from frames. Vocabulary: layer_arrays.py.
"""

from __future__ import annotations

from typing import Any

from pathnet_rl.engine.compiled.elementwise import all_zero
from pathnet_rl.engine.compiled.layer_arrays import Windows
from pathnet_rl.engine.compiler import part


@part
def lines_with_windows(windows: Windows) -> int:
    """Lines of an image that any window sees."""
    return (windows.height - 1) * (windows.down // windows.line_pitch) + windows.lines


@part
def mark_blank(image: Any, windows: Windows, positions: int, blank: Any) -> None:
    """Fill `blank` [lines, tiles]: whether a line is 0 all along the windows of a tile.

    Args:
        image: flat. positions: windows side by side in a tile; the last tile may overlap the one before.
    """
    words = (positions - 1) * windows.across + windows.words
    for line in range(blank.shape[0]):
        for tile in range(blank.shape[1]):
            x = min(tile * positions, windows.width - positions)
            first = line * windows.line_pitch + x * windows.across
            blank[line, tile] = all_zero(image.ctypes.data + 4 * first, words)


@part
def list_lines(windows: Windows, pitch: int, runs: Any) -> None:
    """Fill `runs` [lines, 2]: the words to each line of a window, and to the weights that it meets."""
    for line in range(windows.lines):
        runs[line, 0], runs[line, 1] = line * windows.line_pitch, line * windows.words * pitch


@part
def list_lines_there(blank: Any, y: int, tile: int, windows: Windows, pitch: int, runs: Any) -> int:
    """`list_lines` of those that are not blank in a tile of windows; how many these are."""
    stride = windows.down // windows.line_pitch
    count = 0
    for line in range(windows.lines):
        # Written in any case, overwritten if it does not count: no branch to guess.
        runs[count, 0], runs[count, 1] = line * windows.line_pitch, line * windows.words * pitch
        count += not blank[y * stride + line, tile]
    return count
