"""Locks on rows of a block, between processes and threads: whoever changes a row holds it meanwhile.

A row is a byte of the block's file, locked by an open file description (fcntl(2)): a lock costs a
microsecond, and a process that dies holds none. Readers need none.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RowLocks:
    """Those of the file at `path`. Each instance excludes all others, also of its own process."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)

    @contextmanager
    def held(self, first: int, count: int = 1) -> Iterator[None]:
        """Hold rows `first` to `first + count - 1`; waits until nobody else holds one of them."""
        descriptor = self._file.fileno()
        _set(descriptor, fcntl.F_WRLCK, first, count)
        try:
            yield
        finally:
            _set(descriptor, fcntl.F_UNLCK, first, count)


def _set(descriptor: int, kind: int, first: int, count: int) -> None:
    # C's struct flock: kind, whence, start, length, process.
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, first, count, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, lock)
