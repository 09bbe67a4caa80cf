"""Reading files that anybody may have written: ordinary files of a size that makes sense, and data alone.

Every function raises OSError where there is no such file, and ValueError where it holds something else; and
`NotReadable` where that cannot be known, since this process may not look, or cannot just now.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pathnet_rl.errors import UserError

MOST_BYTES = 2**28
"""Of a file of text; the largest state.json so far has 2 MB."""
MOST_TABLE_BYTES = 2**34
"""Of a table, which is read row by row."""


_SAYS_NOTHING = (
    errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT,
    errno.ENOTCONN, errno.EHOSTDOWN, errno.ENOLCK,
)  # fmt: skip


class NotReadable(UserError):
    """A file cannot be read here and now, which says nothing of what is in it: it may be whole."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"cannot read {path}: {error.strerror or error}")


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of an ordinary file, no more than so many."""
    with _opened(path, most) as file:
        return file.read()


def _opened(path: Path, most: int) -> BinaryIO:
    try:
        # Else opening a named pipe waits for somebody who writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _SAYS_NOTHING:
            raise NotReadable(path, error) from error
        raise
    file = os.fdopen(descriptor, "rb")
    found = os.fstat(file.fileno())
    fault = None
    if not stat.S_ISREG(found.st_mode):
        fault = "it is no ordinary file"
    elif found.st_size > most:
        fault = f"it has {found.st_size:,} bytes, more than {most:,}"
    if fault is not None:
        file.close()
        raise ValueError(fault)
    return file


def parse_json(text: bytes | str) -> Any:
    """A JSON value; ValueError for whatever is none, however deep it is."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its values lie too deep in one another") from error


def read_json(path: Path) -> Any:
    """The JSON value in a file."""
    return parse_json(read_bytes(path))


def read_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The rows of a CSV file with these columns, in whichever order and beside whichever others."""
    with io.TextIOWrapper(_opened(path, MOST_TABLE_BYTES), "utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            yield from _chosen(rows, columns)
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _chosen(rows: Any, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    header: list[str] = next(rows, [])
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise ValueError(f"it has no column {lacking[0]}, but {','.join(header)[:80]!r}")
    places = [header.index(name) for name in columns]
    for row in rows:
        if row and len(row) != len(header):
            raise ValueError(f"row {rows.line_num} has {len(row)} values for {len(header)} columns")
        if row:
            yield tuple(row[place] for place in places)


def whole_number(text: str, most: int = 2**53) -> int:
    """A number from 0 to `most`."""
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(f"a number is not between 0 and {most}")
    return number
