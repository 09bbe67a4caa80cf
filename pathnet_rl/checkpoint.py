"""Checkpoints: safetensors for numbers, JSON for the rest, written whole or not at all.

A checkpoint is a folder `<parent>/<name>/` with `block.safetensors` and `state.json`. It is written
under another name, flushed to disk and renamed, so a kill or a full disk leaves the last one intact.

Where a folder lies and what it is called says nothing: people copy, rename and keep. `state.json` says
whose checkpoint it is, which one, under what name it was saved, and what its numbers' digest is. Only what
says there that it is ours is believed or deleted.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from pathnet_rl.errors import UserError
from pathnet_rl.reading import NotReadable
from pathnet_rl.saved import (
    BLOCK,
    MARK,
    RUN,
    STATE,
    UNFINISHED,
    Check,
    Checkpoint,
    Numbers,
    beside_a_run,
    find,
    read,
)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all.

    Raises:
        UserError: the file cannot be written (no permission, disk full).
    """
    write_whole(path, f"{json.dumps(value, indent=1)}\n".encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: it cannot be written (no permission, disk full).
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            _flush(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """The one line for a path that cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    gone = error.errno == errno.ENOENT
    return UserError(
        f"cannot write {path}: {error.strerror or error};"
        f" {'free space there or ' if full else ''}"
        f"{'put its folder back, if it was moved or deleted, or ' if gone else ''}choose another --folder"
    )


def save(
    parent: Path,
    name: str,
    tensors: Numbers,
    state: dict[str, Any],
    keep: int,
    run: str | None = None,
) -> Path:
    """Save a checkpoint of a run, and delete all but the newest `keep` that the run saved in that folder.

    One of the same name is superseded. What is not the run's is left alone, and so are copies.

    Raises:
        UserError: it cannot be written; earlier checkpoints are as they were.
    """
    import safetensors.torch  # Slow to import, so late.

    before = _of(parent, run)
    final, unfinished = _free(parent, name)
    try:
        numbers = safetensors.torch.save(tensors, None if run is None else {RUN: run})
        mark = {
            RUN: run,
            "name": final.name,
            "number": 1 + max((one.number for one in before), default=0),
            "digest": hashlib.sha256(numbers).hexdigest(),
        }
        unfinished.mkdir(parents=True)
        # First, so that whatever a kill leaves says whose it is.
        write_json(unfinished / STATE, {MARK: mark, **state})
        with (unfinished / BLOCK).open("wb") as file:
            file.write(numbers)
            file.flush()
            _flush(file.fileno())
        unfinished.rename(final)
        _flush_folder(parent)
    except (OSError, UserError) as error:
        _delete(unfinished)
        if isinstance(error, OSError):
            raise cannot_write(final, error) from error
        raise
    superseded = re.compile(re.escape(name) + r"(-\d+)?").fullmatch
    left = [one for one in before if one.original]
    for one in left:
        if superseded(str(one.name)):
            _retire(one.path)
    left = [one for one in left if not superseded(str(one.name))]
    for one in left[: max(0, len(left) + 1 - keep)]:
        _retire(one.path)
    _delete_unfinished(parent, run)
    return final


def _free(parent: Path, name: str) -> tuple[Path, Path]:
    """A folder that is not there yet, and the one to write in first; nobody else's is in the way."""
    for number in itertools.count(1):
        final = parent / (name if number == 1 else f"{name}-{number}")
        unfinished = final.with_name(final.name + UNFINISHED)
        _delete(unfinished)
        if not os.path.lexists(final) and not os.path.lexists(unfinished):
            return final, unfinished
    raise AssertionError


def _retire(path: Path) -> None:
    """Delete a finished checkpoint: who reads meanwhile finds all of it or, under its name, none."""
    unfinished = path.with_name(path.name + UNFINISHED)
    with suppress(OSError):
        path.rename(unfinished)
        _delete(unfinished)
        if unfinished.exists():  # Somebody keeps something in it.
            unfinished.rename(path)


def _delete(path: Path) -> None:
    """Delete the files of a checkpoint, and its folder unless something else lies in it."""
    with suppress(OSError):
        # Whose it is goes last, so that what a kill leaves is known.
        for name in (BLOCK, f"{STATE}{UNFINISHED}", STATE):
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def _delete_unfinished(parent: Path, run: str | None) -> None:
    """Delete what kills have left of a run's checkpoints."""
    for path in parent.glob(f"*{UNFINISHED}"):
        with suppress(UserError):
            left = read(path)
            if left.run == run and f"{left.name}{UNFINISHED}" == path.name:
                _delete(path)


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do this with a folder, or at all; what was written is there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):
            raise


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def list_checkpoints(parent: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    return [one.path for one in find(parent)[0]]


def anything_in(parent: Path) -> bool:
    """There are checkpoints in a folder, whoever saved them, even if they are damaged."""
    return beside_a_run(parent, lambda: any(find(parent)))


def _of(parent: Path, run: str | None) -> list[Checkpoint]:
    return [one for one in find(parent)[0] if one.run == run]


def newest(
    parent: Path, run: str | None, makes_sense: Check = dict
) -> tuple[Numbers, dict[str, Any]] | None:
    """What a run saved last of what can be read, or None if it has saved nothing.

    The run may be at work.

    Args:
        makes_sense: of a state; raises ValueError if it does not.

    Raises:
        UserError: there are only damaged ones.
    """
    return beside_a_run(parent, lambda: _newest(parent, run, makes_sense))


def _newest(
    parent: Path, run: str | None, makes_sense: Check
) -> tuple[Numbers, dict[str, Any]] | None:
    found, damaged = find(parent)
    of_run: list[UserError] = []
    for one in reversed([one for one in found if one.run == run]):
        try:
            one.check(makes_sense)
            return one.numbers(), one.state
        except NotReadable:
            raise
        except UserError as error:
            of_run.append(error)
    if of_run or damaged:
        raise UserError(
            f"{[*of_run, *damaged][0]}; no other can be read: put one back, or learn it all again"
            " under another --name"
        )
    return None


def not_believed(parent: Path, run: str | None, makes_sense: Check = dict) -> list[str]:
    """A line for each checkpoint that a run does not go on from and does not touch, and why."""
    found, damaged = find(parent)
    lines = [
        f"left alone: {one.path} is a checkpoint of another run" for one in found if one.run != run
    ]
    for one in reversed([one for one in found if one.run == run]):
        try:
            one.check(makes_sense)
            one.numbers()
        except NotReadable:
            raise
        except UserError as error:
            damaged.append(error)
        else:
            break
    return [*lines, *(f"left alone: {error}" for error in damaged)]


def load(path: Path) -> tuple[Numbers, dict[str, Any]]:
    """What `save` was given.

    Raises:
        UserError: the checkpoint is damaged.
    """
    found = read(path)
    return found.numbers(), found.state


def load_state(path: Path) -> dict[str, Any]:
    """What `save` was given, without the numbers.

    Raises:
        UserError: the checkpoint is damaged.
    """
    return read(path).state
