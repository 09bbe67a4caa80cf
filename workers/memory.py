"""How glibc treats memory that a process frees."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)."""
_ARRAYS = 32 * 2**20
"""Bytes; glibc takes no larger threshold of arrays that are mapped one by one."""
_KEPT = 2**30


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next arrays of the same size.

    Exchanges free some megabytes each. Given back to the system, and taken anew as pages that must be
    cleared, they were more than half of a server's CPU time (docs/scaling.md). Another C library does as it
    likes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _ARRAYS)
