"""The files that blocks lie in: their names, how they are made, and what becomes of those left behind."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.places import path_of
from pathnet_rl.row_locks import in_use

MAGIC = 0x5061_7468_4E65_74  # "PathNet"
SIGNS = (MAGIC.to_bytes(8, sys.byteorder), bytes(8))
"""How a block begins, and what was reserved for one and never signed."""
SHARED_MEMORY = Path("/dev/shm")
NEW_SECONDS = 60.0
"""A block may lie there so long before the process that made it has opened it."""
BLOCK_SUFFIX = ".block"
COURIER_SUFFIX = ".courier"
"""Of the file beside another node's block (replica.py)."""
COORDINATOR_SUFFIX, UNFINISHED_SUFFIX = ".coordinator", ".coordinator-unfinished"
"""Of what the coordinator knows, beside the block of the driver's node (workers/kept_state.py)."""
KEPT = b'{"deaths"'
"""How that begins."""


def new_block_path(config: RunConfig, arm: Arm) -> Path:
    """A file for one start of one arm, in memory where the system has a place for that.

    Its name is a name that nothing else ever has: a run folder's path is none, since paths repeat.
    """
    return block_folder() / f"{_stem(config, arm)}-{os.urandom(8).hex()}{BLOCK_SUFFIX}"


def blocks_of(config: RunConfig, arm: Arm) -> list[Path]:
    """The blocks on this machine of all starts of one arm of a run."""
    return sorted(block_folder().glob(f"{_stem(config, arm)}-*{BLOCK_SUFFIX}"))


def remove_blocks_of(config: RunConfig, arm: Arm) -> None:
    """Delete those of starts that were killed. Whoever calls has the run's folder, so no start is at work."""
    _delete_unused(block_folder(), _stem(config, arm))


def _stem(config: RunConfig, arm: Arm) -> str:
    folder = path_of(config.folder, config.name).resolve()
    # A path may have bytes that are no text.
    return f"pathnet-rl-{hashlib.sha256(os.fsencode(folder / arm.value)).hexdigest()[:16]}"


def _delete_unused(parent: Path, stem: str, least_age: float = -math.inf) -> None:
    """Delete blocks of more than so many seconds that nobody has open, and what lies beside them.

    So is what a coordinator kept that was killed after its block was gone.
    """
    for path in parent.glob(f"{stem}-*"):
        with contextlib.suppress(OSError):  # Of others, or gone just now.
            if time.time() - path.stat().st_mtime <= least_age:
                continue
            if path.suffix == BLOCK_SUFFIX and _begins(path, *SIGNS) and not in_use(path):
                remove_block(path)
            if (
                path.suffix in (COORDINATOR_SUFFIX, UNFINISHED_SUFFIX)
                and not path.with_suffix(BLOCK_SUFFIX).exists()
                and _begins(path, KEPT)
            ):
                path.unlink()


def remove_block(path: Path) -> None:
    """Delete a block and what lies beside it; mappings that are still open stay valid."""
    for suffix in (path.suffix, COURIER_SUFFIX, COORDINATOR_SUFFIX, UNFINISHED_SUFFIX):
        path.with_suffix(suffix).unlink(missing_ok=True)


def _begins(path: Path, *signs: bytes) -> bool:
    """A file begins with one of these, all of one length."""
    with path.open("rb") as file:
        return file.read(len(signs[0])) in signs


def block_folder() -> Path:
    """Where blocks lie on this machine."""
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())


def reserve_file(path: Path, size: int) -> NDArray[np.uint8]:
    """So many bytes of a new file, all 0, in place of whatever lay at `path`.

    Raises:
        UserError: it cannot be made, or there is no room for it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            # Reserve the pages now: a full /dev/shm is an error here and a SIGBUS later.
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UserError(
            f"cannot reserve {size / 2**20:.1f} MiB for the grid at {path}: {error.strerror};"
            " free space there"
        ) from error
    return np.memmap(path, dtype=np.uint8, mode="r+").view(np.ndarray)


def remove_leftovers(parent: Path) -> None:
    """Delete blocks that nobody has open: of runs or nodes that were killed. A new one is left alone."""
    _delete_unused(parent, "pathnet-rl", NEW_SECONDS)
