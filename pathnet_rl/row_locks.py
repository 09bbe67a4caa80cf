"""Locks on a block, between processes and threads: whoever changes a row holds it meanwhile.

A row is a byte of the block's file, locked by an open file description (fcntl(2)): a lock costs a
microsecond, and a process that dies holds none. Who reads waits for nobody but those who put something else
in place of a row.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USE = 1 << 40
"""A byte that is no row's."""
_READ = _USE + 1
"""Another: held by those who read, all together, or by one who replaces rows."""


class RowLocks:
    """Those of the file at `path`. Each instance excludes all others, also of its own process.

    As long as there is one the file is in use.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b", buffering=0)
        # With the last that knows of it; said to be unclosed, it would be a warning.
        weakref.finalize(self, self._file.close)
        _set(self._file.fileno(), fcntl.F_RDLCK, _USE, 1)

    @contextmanager
    def held(self, first: int, count: int = 1) -> Iterator[None]:
        """Hold rows `first` to `first + count - 1`; waits until nobody else holds one of them."""
        with self._held(fcntl.F_WRLCK, first, count):
            yield

    @contextmanager
    def replacing(self, first: int, count: int = 1) -> Iterator[None]:
        """Hold rows, and keep out who reads: they become something else, of which half would be nothing."""
        with self.held(first, count), self._held(fcntl.F_WRLCK, _READ, 1):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Meanwhile no row is replaced, though rows may be pushed."""
        with self._held(fcntl.F_RDLCK, _READ, 1):
            yield

    @contextmanager
    def _held(self, kind: int, first: int, count: int) -> Iterator[None]:
        descriptor = self._file.fileno()
        _set(descriptor, kind, first, count)
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
