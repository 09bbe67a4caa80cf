"""A folder for the temporary files of a simulator, which is gone however its owner ends.

Its owner holds a lock on a file in it. Where there is this file and nobody holds it, the owner was killed:
the next one on this machine deletes the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "pathnet-rl-"
MARK = ".pathnet-rl-scratch"
"""Whose lock the owner holds."""


class Scratch:
    """A new folder at `path`. Use `close`, or it as a context."""

    def __init__(self, kind: str = "") -> None:
        _remove_leftovers(tempfile.gettempdir())
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"{PREFIX}{kind}", ignore_cleanup_errors=True
        )
        self.path = Path(self._folder.name)
        unmarked = self.path / f"{MARK}.new"
        self._mark = unmarked.open("w")
        with contextlib.suppress(
            OSError
        ):  # Where there are no locks, nothing is anybody's leftover.
            fcntl.flock(self._mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unmarked.rename(self.path / MARK)  # Not before it is held.

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete it, with everything in it."""
        self._folder.cleanup()
        self._mark.close()


@functools.cache
def _remove_leftovers(parent: str) -> None:
    """Delete folders whose owners are no more, once in a process."""
    for folder in Path(parent).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            # What others own cannot be opened to be written, and what is held cannot be locked.
            descriptor = os.open(folder / MARK, os.O_RDWR | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "w") as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
