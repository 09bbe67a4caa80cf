"""What a local ray is made of dies: the run saves what can be saved, and says why in one line."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.support import ROOT, command, last_moment


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(
            "cartpole", "--workers", "1", "--folder", str(folder), "--arms", "pathnet", "--agent-steps",
            "1000000000", "--checkpoint-seconds", "1000", "--engine", "torch",
        ),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "30"},
    )  # fmt: skip


def wait_for_work(process: subprocess.Popen[str], folder: Path) -> None:
    returns = folder / "cartpole" / "returns.csv"
    until = time.monotonic() + 200.0
    while not returns.exists() or returns.stat().st_size < 200:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.parametrize(
    ("dies", "said"),
    [
        ("gcs_server", "error: the head of the ray cluster gave no answer in 15 seconds"),
        ("raylet", "error: "),
    ],
)
def test_a_process_of_rays_own_dies(tmp_path: Path, dies: str, said: str) -> None:
    process = start(tmp_path)
    wait_for_work(process, tmp_path)
    everybody = psutil.Process(process.pid).children(recursive=True)
    (victim,) = [one for one in everybody if one.name() == dies]
    victim.kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert line.startswith(said)
    assert "died" in line or "the same command goes on" in line
    assert "Traceback" not in errors
    if dies == "gcs_server":  # The coordinator is alive.
        assert last_moment(tmp_path / "cartpole")[1]["store"]["agent_steps"] > 0
    _, alive = psutil.wait_procs(everybody, timeout=60)
    assert alive == []
