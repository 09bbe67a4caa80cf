"""Where the shared block of a run lies on its node."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig

SHARED_MEMORY = Path("/dev/shm")


def block_path(config: RunConfig, arm: Arm) -> Path:
    """One file a run folder and arm, in memory where the system has a place for that."""
    folder = (Path(config.folder) / config.name).resolve()
    digest = hashlib.sha256(f"{folder}/{arm.value}".encode()).hexdigest()[:16]
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    return parent / f"pathnet-rl-{digest}.block"
