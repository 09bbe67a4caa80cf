"""Talking that nothing depends on: a stream that goes silent when nobody listens any more."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_closed() -> None:
    """Open what a shell has closed (`>&-`) of the three streams, as nothing.

    Their numbers would be those of the next files that are opened, into which all would be written that a
    library prints.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


class Forgiving:
    """A text stream for people. Once it cannot be written it is silent.

    So it is after `| head -1`, in a closed terminal and on a full disk. What its encoding has no sign for is
    written as it would be in Python's source.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.silent = False

    def write(self, text: str) -> int:
        if not self.silent:
            try:
                encoding = self._stream.encoding or "utf-8"
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except (OSError, ValueError):
                self._fall_silent()
        return len(text)

    def flush(self) -> None:
        if not self.silent:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._fall_silent()

    def isatty(self) -> bool:
        return not self.silent and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"

    def _fall_silent(self) -> None:
        self.silent = True
        try:
            # What is buffered is written when the program ends, and must not fail there.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            pass
