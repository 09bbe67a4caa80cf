"""What may not be read is not damaged, half-written or missing: it is said, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.presets import PRESETS
from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted
from tests.support import ROOT, command, run_experiment, tiny_config

COMMAND = ("cartpole", "--serial", "--tasks", "CartPole-v1", "--agent-steps", "40000")
WITHOUT_PRIVILEGES = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
"""Root may read whatever its capabilities let it."""

pytestmark = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything"
)


def as_anybody(*words: str) -> subprocess.CompletedProcess[str]:
    prefix = WITHOUT_PRIVILEGES if os.geteuid() == 0 else ()
    return subprocess.run(
        [*prefix, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    """One that was stopped after its first moments, with two checkpoints."""
    changes = {"tasks": ("CartPole-v1",), "agent_steps": (40_000,), "report_seconds": 0.05}
    config = PRESETS["cartpole"][1].model_copy(update={**changes, "folder": str(tmp_path)})
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: True)
    yield RunFolder(config)
    for path in tmp_path.rglob("*"):
        path.chmod(0o700)


@pytest.mark.parametrize(
    "name", ["config.json", "provenance.json", "returns.csv", "state.json", "block.safetensors"]
)
def test_a_file_of_somebody_elses_is_named_and_nothing_is_done(name: str, run: RunFolder) -> None:
    """A newest checkpoint that may not be read was passed over, and rows after the one before cut off."""
    newest = checkpoint.list_checkpoints(run.checkpoints(Arm.PATHNET))[-1]
    path = next(file for file in (run.path / name, newest / name) if file.exists())
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    path.chmod(0)
    process = as_anybody(*command(*COMMAND, "--folder", str(run.path.parent)))
    assert process.returncode == 1
    assert process.stderr == f"error: cannot read {path}: Permission denied\n"
    path.chmod(0o600)
    before.pop(run.path / "provenance.json")  # Each start is noted.
    assert {file: file.read_bytes() for file in before} == before


def test_a_lock_of_somebody_elses_is_named(run: RunFolder) -> None:
    """The folder itself may be everybody's."""
    lock = run.path / ".lock"
    lock.chmod(0)
    process = as_anybody(*command(*COMMAND, "--folder", str(run.path.parent)))
    assert process.returncode == 1
    assert process.stderr.startswith(f"error: cannot write {lock}: Permission denied")


def test_a_report_says_which_folders_it_may_not_look_into(tmp_path: Path) -> None:
    """One that it cannot read was left out without a word."""
    run_experiment(tiny_config(tmp_path, name="mine", tasks=("CartPole-v1",), agent_steps=(400,)))
    closed = tmp_path / "theirs"
    (closed / "checkpoints").mkdir(parents=True)
    (tmp_path / "lost+found").mkdir(mode=0)
    closed.chmod(0)
    output = tmp_path / "report"
    process = as_anybody(
        sys.executable, "-m", "launch.report", str(tmp_path), "--output", str(output)
    )
    assert (
        f"{closed}: cannot read {closed / 'config.json'}: Permission denied"
        in process.stderr + process.stdout
    )
    assert "lost+found" not in process.stderr + process.stdout
    assert "Traceback" not in process.stderr
