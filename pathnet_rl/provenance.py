"""Where a run comes from: of each start, when, by which command and commit, with what, on which machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.reading import read_json
from pathnet_rl.redaction import redacted

PACKAGES = ("pathnet-rl", "ray", "torch", "numpy", "gymnasium", "ale-py", "tensorboard")


def read_starts(path: Path) -> list[dict[str, Any]]:
    """The starts that a provenance.json names, none if there is no such file.

    Raises:
        UserError: the file is there and is not a list of starts.
    """
    try:
        starts = read_json(path) if path.exists() else []
    except (OSError, ValueError):
        starts = None
    if isinstance(starts, dict) and "started" in starts:
        return [starts]  # Experiments on images kept their last start alone, and not in a list.
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise UserError(f"{path} is half-written; delete it or choose another --name")
    return starts


def provenance() -> dict[str, Any]:
    """Where a run comes from: time, command, commit, versions, machine."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [redacted(word) for word in sys.argv],
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpus": usable_cpus(),
    }


def _commit() -> str:
    """The commit of this checkout, `-dirty` if files differ from it, or `unknown`."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()
