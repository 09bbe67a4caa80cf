"""The run folder: `runs/<name>/`, what lies where in it, and whether it can be gone on with.

config.json  provenance.json  summary.json  learning_curves_<n>_<task>.png
returns.csv               task, arm, agent_steps, episode_return, length: one row an episode
checkpoints/<arm>/...     the last few of each arm
tensorboard/<arm>/<task>/ events
"""

from __future__ import annotations

import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import torch
from pydantic import ValidationError

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.settings import differences

STATE_KEYS = frozenset({"finished", "store", "coordinator", "hub", "results"})
"""What a checkpoint of a run says, beside its numbers."""
PACKAGES = ("pathnet-rl", "ray", "torch", "numpy", "gymnasium", "ale-py", "tensorboard")


class RunFolder:
    """One run's files. Hold it open while the run is at work: it keeps a second process out."""

    def __init__(self, config: RunConfig) -> None:
        self.path = Path(config.folder) / config.name
        self.returns = self.path / "returns.csv"
        self.summary = self.path / "summary.json"
        self.config = config
        self._lock: IO[str] | None = None

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The run folder at `path`, with the configuration that lies in it; to look at, not to work in.

        Raises:
            UserError: there is none.
        """
        config_file = path / "config.json"
        try:
            config = RunConfig.model_validate_json(config_file.read_text())
        except (OSError, ValidationError, UserError) as error:
            raise UserError(f"{path} is no run folder: {config_file} cannot be read") from error
        # It may have been moved or renamed since.
        here = {"folder": str(path.resolve().parent), "name": path.resolve().name}
        return cls(config.model_copy(update=here))

    def open(self) -> bool:
        """Create the folder, or find that it holds the same run; True if there is one to resume.

        Raises:
            UserError: it cannot be written, is in use, half-written, or holds another run.
        """
        config_file = self.path / "config.json"
        try:
            existed = self.path.is_dir() and any(
                entry.name != ".lock" for entry in self.path.iterdir()
            )
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise checkpoint.cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"another process is working in {self.path}; wait for it or choose another --name"
            ) from error
        if not existed:
            return self._begin()
        try:
            old = RunConfig.model_validate_json(config_file.read_text())
        except (OSError, ValidationError, UserError) as error:
            raise UserError(
                f"{self.path} is not empty and has no readable config.json: it is half-written or no"
                " run; delete it or choose another --name"
            ) from error
        changed = differences(old, self.config, MAY_CHANGE)
        if changed and not any(self.path.glob("checkpoints/*/*")):
            # An earlier start came to nothing before it had learned anything: there is nothing to lose.
            return self._begin()
        if changed:
            raise UserError(
                f"{self.path} holds a run with another configuration ({'; '.join(changed)});"
                " use the same options to go on with it, or choose another --name"
            )
        return True

    def _begin(self) -> bool:
        """Write what the run is and where it comes from; there is nothing to resume."""
        checkpoint.write_json(self.path / "config.json", self.config.model_dump(mode="json"))
        checkpoint.write_json(self.path / "provenance.json", [provenance()])
        return False

    def note_resumption(self) -> None:
        """Add this start to provenance.json.

        Raises:
            UserError: the file is there and is not a list of starts.
        """
        path = self.path / "provenance.json"
        try:
            starts = json.loads(path.read_text()) if path.exists() else []
        except ValueError:
            starts = None
        if not isinstance(starts, list):
            raise UserError(f"{path} is half-written; delete it or choose another --name")
        checkpoint.write_json(path, [*starts, provenance()])

    def close(self) -> None:
        """Let another process in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def checkpoints(self, arm: Arm) -> Path:
        """Where an arm's checkpoints lie."""
        return self.path / "checkpoints" / arm.value

    def save(
        self, arm: Arm, name: str, tensors: dict[str, torch.Tensor], state: dict[str, Any]
    ) -> Path:
        """Save an arm's checkpoint; later names must sort after earlier ones."""
        keep = self.config.checkpoints_kept
        return checkpoint.save(self.checkpoints(arm), name, tensors, state, keep)

    def latest(self, arm: Arm) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """An arm's newest checkpoint, or None before the first."""
        found = checkpoint.list_checkpoints(self.checkpoints(arm))
        if not found:
            return None
        tensors, state = checkpoint.load(found[-1])
        if not state.keys() >= STATE_KEYS:
            raise UserError(
                f"the checkpoint {found[-1]} is damaged (state.json lacks"
                f" {', '.join(sorted(STATE_KEYS - state.keys()))}); delete that folder to go on from the"
                " one before"
            )
        return tensors, state

    def saved(self, arm: Arm) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """An arm's newest checkpoint.

        Raises:
            UserError: it has none.
        """
        latest = self.latest(arm)
        if latest is None:
            raise UserError(f"{self.path} has no checkpoint of the arm {arm.value}")
        return latest

    def events(self, arm: Arm, task: int) -> Path:
        """Where the TensorBoard events of one task of one arm lie."""
        name = f"{task + 1}-{short_name(self.config.tasks[task])}"
        return self.path / "tensorboard" / arm.value / name


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
        "command": sys.argv,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": versions,
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
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
