"""Locks on a block, between processes and threads: whoever changes a row holds it meanwhile.

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

_USE = 1 << 40
"""A byte that is no row's."""


class RowLocks:
    """Those of the file at `path`. Each instance excludes all others, also of its own process.

    As long as there is one the file is in use.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        _set(self._file.fileno(), fcntl.F_RDLCK, _USE, 1)

    @contextmanager
    def held(self, first: int, count: int = 1) -> Iterator[None]:
        """Hold rows `first` to `first + count - 1`; waits until nobody else holds one of them."""
        descriptor = self._file.fileno()
        _set(descriptor, fcntl.F_WRLCK, first, count)
        try:
            yield
        finally:
            _set(descriptor, fcntl.F_UNLCK, first, count)


def in_use(path: Path) -> bool:
    """Whether a process that lives has opened the file's locks."""
    with path.open("r+b", buffering=0) as file:
        try:
            _set(file.fileno(), fcntl.F_WRLCK, _USE, 1, fcntl.F_OFD_SETLK)
        except BlockingIOError:
            return True
    return False


def _set(
    descriptor: int, kind: int, first: int, count: int, command: int = fcntl.F_OFD_SETLKW
) -> None:
    # C's struct flock: kind, whence, start, length, process.
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, first, count, 0)
    fcntl.fcntl(descriptor, command, lock)
