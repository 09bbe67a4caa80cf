"""Nothing depends on talking: no reader, no terminal, no room, no sign for a letter; and no codes in logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from tests.support import ROOT, read_rows

COMMAND = (
    sys.executable, "-m", "launch.train", "cartpole", "--serial", "--tasks", "CartPole-v1",
    "--arms", "pathnet", "--agent-steps", "40000", "--report-seconds", "0.2",
)  # fmt: skip


def start(folder: Path, output: int | IO[bytes], **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--folder", str(folder)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=output,
        stderr=subprocess.PIPE,
    )


def steps_done(folder: Path) -> int:
    rows = read_rows(folder / "cartpole" / "returns.csv")
    return max((int(row["agent_steps"]) for row in rows), default=0)


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    """As with `| head -1`."""
    process = start(tmp_path, subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0
    assert steps_done(tmp_path) > 39_000
    assert (tmp_path / "cartpole" / "summary.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_log_without_room_does_not_end_the_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start(tmp_path, full)
        _, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert steps_done(tmp_path) > 39_000


def test_a_folder_that_the_encoding_cannot_print_is_no_obstacle(tmp_path: Path) -> None:
    process = start(tmp_path / "Läufe", subprocess.PIPE, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    printed, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert b"L\\xe4ufe" in printed


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_terminal_that_is_closed_lets_the_run_save(tmp_path: Path, number: int) -> None:
    process = start(tmp_path, subprocess.PIPE)
    until = time.monotonic() + 120
    while not (tmp_path / "cartpole" / "returns.csv").exists() or not steps_done(tmp_path):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(number)
    printed, said = process.communicate()
    assert process.returncode not in (0, -number)
    assert b"Stopped and saved" in printed
    assert said == b""
    assert list((tmp_path / "cartpole" / "checkpoints").rglob("block.safetensors"))


@pytest.mark.parametrize(
    "environment",
    [{"FORCE_COLOR": "1", "TERM": "xterm-256color"}, {"TERM": "dumb", "MPLBACKEND": "module://x"}],
)
def test_logs_have_no_codes_for_terminals(tmp_path: Path, environment: dict[str, str]) -> None:
    process = start(tmp_path, subprocess.PIPE, **environment)
    printed, said = process.communicate()
    assert (process.returncode, said) == (0, b"")
    assert b"\x1b" not in printed
    assert b"40,000/40,000 agent steps" in printed
