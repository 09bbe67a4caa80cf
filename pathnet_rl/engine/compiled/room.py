"""Arrays as vectors want them: padded to whole vectors, which do not lie across two lines of the cache."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.registers import LANE


def padded(count: int, multiple: int = LANE) -> int:
    """The next multiple of LANE, or of another number."""
    return -(-count // multiple) * multiple


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> NDArray[Any]:
    """Zeros that begin at a multiple of 64 bytes, as torch's do and numpy's do not.

    A vector of 64 bytes that lies across two lines of the cache takes twice as long or worse.
    """
    return torch.zeros(shape, dtype=dtype).numpy()
