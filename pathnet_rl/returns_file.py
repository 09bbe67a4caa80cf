"""returns.csv as the metrics hub writes it: a row an episode, and how far a checkpoint counts on it.

A run that goes on cuts off what came after its checkpoint, since those episodes are played again; and it
must find what came before as it was written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pathnet_rl.checkpoint import cannot_write, write_whole
from pathnet_rl.errors import UserError
from pathnet_rl.reading import MOST_TABLE_BYTES, read_bytes, read_table

COLUMNS = ("task", "arm", "agent_steps", "episode_return", "length")
HEADER = f"{','.join(COLUMNS)}\n".encode()


class ReturnsFile:
    """The file at `path`, buffered; a new one if there is none.

    Raises:
        UserError: it cannot be written; from `flush`, `state` and `close` as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.exists() and path.stat().st_nlink > 1:
                # Of a copy by links (`cp -al`): rows of one run are not to be in the other's file.
                write_whole(path, path.read_bytes())
            self._file = path.open("a+b", buffering=0)
            if _not_begun(path):
                self._file.truncate(0)
            self._digest = hashlib.sha256(path.read_bytes())
        except OSError as error:
            raise cannot_write(path, error) from error
        self._buffer = io.StringIO()
        self._rows = csv.writer(self._buffer, lineterminator="\n")
        if self._file.seek(0, os.SEEK_END) == 0:
            self._rows.writerow(COLUMNS)

    def add(
        self, task: int, arm: str, agent_steps: int, episode_return: float, length: int
    ) -> None:
        """One episode, as `COLUMNS` has it."""
        self._rows.writerow((task, arm, agent_steps, episode_return, length))

    def flush(self) -> int:
        """Write what is buffered; the size of the file in bytes."""
        data = self._buffer.getvalue().encode()
        end = self._file.seek(0, os.SEEK_END)
        left = data
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._file.truncate(end)  # Never half a row.
            raise cannot_write(self._path, error) from error
        self._digest.update(data)
        self._forget()
        return self._file.tell()

    def _forget(self) -> None:
        """Have nothing in the buffer any more."""
        self._buffer.seek(0)
        self._buffer.truncate()

    def state(self) -> dict[str, Any]:
        """How far the file reaches now, and what it holds so far, as JSON values."""
        return {"returns_bytes": self.flush(), "returns_sha256": self._digest.hexdigest()}

    def go_on(self, state: Mapping[str, Any]) -> int:
        """Cut off what came after `state`; how many rows, a broken one with them.

        Raises:
            UserError: what came before is not there as it was.
        """
        try:
            kept = check_returns(self._path, state)
        except UserError:
            self._forget()  # Nothing is added to what is refused.
            raise
        self._file.seek(len(kept))
        cut = self._file.readall()
        self._file.truncate(len(kept))
        self._digest = hashlib.sha256(kept)
        return cut.count(b"\n") + bool(cut and not cut.endswith(b"\n"))

    def close(self) -> None:
        """Write what is left."""
        self.flush()
        self._file.close()


def _not_begun(path: Path) -> bool:
    """The file ends inside its header, as a kill leaves it that comes before the first checkpoint."""
    return path.stat().st_size < len(HEADER) and HEADER.startswith(path.read_bytes())


def check_no_rows(path: Path, arm: str) -> None:
    """Find out that an arm without a checkpoint has no rows: it is to begin, and they would be there twice.

    Raises:
        UserError: there are some.
    """
    try:
        if not path.exists() or _not_begun(path):
            return
        rows = sum(found == arm for (found,) in read_table(path, ("arm",)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); choose another --name") from error
    if rows:
        raise UserError(
            f"{path} has {rows:,} episodes of the arm {arm}, of which this run has no checkpoint; put its"
            " checkpoints back, or choose another --name"
        )


def check_returns(path: Path, state: Mapping[str, Any]) -> bytes:
    """What returns.csv holds of the time before a checkpoint, which says `ReturnsFile.state` of that moment.

    Raises:
        UserError: it is missing, too short, or not what the run wrote.
    """
    size, digest = int(state["returns_bytes"]), state.get("returns_sha256")
    remedy = "put it back as the run left it, or choose another --name"
    try:
        found = read_bytes(path, MOST_TABLE_BYTES)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing, of which the last checkpoint has {size:,} bytes; {remedy}"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read: {reason}; {remedy}") from error
    if len(found) < size:
        raise UserError(
            f"{path} has {len(found):,} bytes where the last checkpoint has {size:,}: rows of episodes are"
            f" missing; {remedy}"
        )
    kept = found[:size]
    # A run of an older version has no digest.
    if digest is not None and hashlib.sha256(kept).hexdigest() != digest:
        what = "has other ends of lines (CRLF) than" if b"\r\n" in kept else "is not what"
        raise UserError(f"{path} {what} the run wrote before its last checkpoint; {remedy}")
    return kept
