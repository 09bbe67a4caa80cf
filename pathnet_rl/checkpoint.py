"""Checkpoints: safetensors for numbers, JSON for the rest, written whole or not at all.

A checkpoint is a folder `<parent>/<name>/` with `block.safetensors` and `state.json`. It is written
under another name, flushed to disk and renamed, so a kill or a full disk leaves the last one intact.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pathnet_rl.errors import UserError
from pathnet_rl.reading import read_json

_UNFINISHED = ".unfinished"
DIGEST = "block_sha256"
"""In state.json: what block.safetensors is known by. Numbers that a disk has changed look like any others."""


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
    unfinished = path.with_name(path.name + _UNFINISHED)
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    """The one line for a path that cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return UserError(
        f"cannot write {path}: {error.strerror or error};"
        f" {'free space there or ' if full else ''}choose another --folder"
    )


def save(
    parent: Path, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any], keep: int
) -> Path:
    """Save a checkpoint and delete all but the newest `keep` of the same parent.

    Names must sort in the order in which they are saved.

    Raises:
        UserError: it cannot be written; earlier checkpoints are as they were.
    """
    final, unfinished = parent / name, parent / (name + _UNFINISHED)
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save_file(tensors, unfinished / "block.safetensors")
        _flush(unfinished / "block.safetensors")
        digest = _digest(unfinished / "block.safetensors")
        write_json(unfinished / "state.json", {**state, DIGEST: digest})
        if final.exists():  # Saved again at the same agent step: the later one knows more.
            earlier = parent / f"{name}-earlier{_UNFINISHED}"
            shutil.rmtree(earlier, ignore_errors=True)
            final.rename(earlier)
            unfinished.rename(final)
            shutil.rmtree(earlier, ignore_errors=True)
        else:
            unfinished.rename(final)
        _flush(parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError):
            raise cannot_write(final, error) from error
        raise UserError(f"cannot write {final}: {error}; free space there") from error
    for old in list_checkpoints(parent)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot do this with a folder, or at all; what was written is there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def list_checkpoints(parent: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and path.suffix != _UNFINISHED)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save` was given.

    Raises:
        UserError: the checkpoint is damaged.
    """
    state = _read_state(path)
    try:
        if not (path / "block.safetensors").is_file():
            raise ValueError("there is no ordinary file block.safetensors")
        if DIGEST in state and state[DIGEST] != _digest(path / "block.safetensors"):
            raise ValueError("block.safetensors is not what was saved")
        state.pop(DIGEST, None)
        return load_file(path / "block.safetensors"), state
    except (OSError, ValueError, SafetensorError) as error:
        raise damaged(path, error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_state(path: Path) -> dict[str, Any]:
    """What `save` was given, without the numbers.

    Raises:
        UserError: the checkpoint is damaged.
    """
    state = _read_state(path)
    state.pop(DIGEST, None)
    return state


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = read_json(path / "state.json")
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    if not isinstance(state, dict):
        raise damaged(path, "state.json is no object")
    return state


def damaged(path: Path, reason: Exception | str) -> UserError:
    """The one line for a checkpoint that cannot be used."""
    return UserError(
        f"the checkpoint {path} is damaged ({reason}); delete that folder to go on from the one before"
    )
