"""A compiled kernel and its plain version, on the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.room import zeros

Array = NDArray[Any]

EXACT, ROUNDED = 0.0, 1e-5
"""Tolerances: to the bit, and to the rounding of float32 sums."""


class Case(NamedTuple):
    """One kernel, ready to run on arrays of its own.

    Attributes:
        kernel: its name. size: of what. tolerance: of `error`.
        compiled, plain: compute the same arrays. Some add to what is there, so the first calls are compared.
    """

    kernel: str
    size: str
    tolerance: float
    compiled: Callable[[], Sequence[Array]]
    plain: Callable[[], Sequence[Array]]

    def error(self) -> float:
        """The largest difference of any number, by the largest number of its array."""
        pairs = list(zip(self.compiled(), self.plain(), strict=True))
        return max(difference(found, wanted) for found, wanted in pairs)


def difference(found: Array, wanted: Array) -> float:
    """The largest difference of any number, by the largest number; of whole arrays, spare places too."""
    if found.dtype.kind in "iub" and not np.array_equal(found, wanted):
        return float("inf")
    scale = np.abs(wanted).max(initial=0.0) or 1.0
    distance = np.abs(found.astype(np.float64) - wanted).max(initial=0.0)
    return float(distance / scale)


def aligned(array: Array) -> Array:
    """A copy that begins where vectors like to begin."""
    room = zeros(array.nbytes, dtype=torch.uint8).view(array.dtype).reshape(array.shape)
    room[:] = array
    return room


def case(
    kernel: str,
    size: str,
    tolerance: float,
    function: Callable[..., Any],
    twin: Callable[..., Any],
    given: Sequence[Any],
    filled: Sequence[Array],
) -> Case:
    """Of two functions that take what is given and arrays to fill; each fills copies of its own."""

    def on_copies(of: Callable[..., Any]) -> Callable[[], Sequence[Array]]:
        copies = [aligned(array) for array in filled]

        def run() -> Sequence[Array]:
            of(*given, *copies)
            return copies

        return run

    given = [aligned(one) if isinstance(one, np.ndarray) else one for one in given]
    return Case(kernel, size, tolerance, on_copies(function), on_copies(twin))


def normal(*shape: int) -> Array:
    """Normal float32 numbers, the same for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)
