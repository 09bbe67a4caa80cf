"""How far a run is, as its block says, seen from another process."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import blocks_of
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.store import GridStore


def store_of(path: Path, made_after: float = 0.0) -> GridStore | None:
    """The block of the run at `path` that was made after a time; None while there is none."""
    with contextlib.suppress(UserError, OSError, ValueError):
        config = RunFolder.existing(path).config
        (block,) = [
            block for block in blocks_of(config, Arm.PATHNET) if block.stat().st_mtime > made_after
        ]
        return GridStore.open(block, build_grid(config), config.learning)
    return None
