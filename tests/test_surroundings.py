"""Closed streams, folders that are no text or are gone, settings of libraries: a run, or one line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT, read_rows

LAYER = "linear(units=4)"
COMMAND = (
    sys.executable, "-m", "launch.train", "cartpole", "--serial", "--tasks", "CartPole-v1",
    "--arms", "pathnet", "--grid.layers", LAYER, "--grid.modules", "3", "--grid.width", "2",
    "--evolution.population", "4", "--evolution.episodes", "1", "--agent-steps", "600",
    "--replay.episodes", "2", "--replay.most-steps", "50",
)  # fmt: skip


def run(
    *options: str, shell: str = "exec {}", cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A small run in a shell; `shell` says what is done with its command."""
    return subprocess.run(
        ["bash", "-c", shell.format(shlex.join([*COMMAND, *options]))],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=200,
        errors="surrogateescape",
    )  # fmt: skip


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_obstacle(closed: str, tmp_path: Path) -> None:
    """As of what cron, a daemon or a careless script starts."""
    process = run("--folder", str(tmp_path), shell=f"exec {{}} {closed}")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert len(read_rows(tmp_path / "cartpole" / "returns.csv")) > 10


def test_an_error_is_told_where_only_stdout_is_closed(tmp_path: Path) -> None:
    process = run("--folder", str(tmp_path), "--seed", "x", shell="exec {} >&-")
    assert process.returncode != 0
    assert "seed" in process.stderr
    assert "Traceback" not in process.stderr


def test_an_empty_folder_option_is_refused(tmp_path: Path) -> None:
    """As of `--folder "$NOT_SET"`: results lay wherever the command was given."""
    process = run("--folder", "", cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert process.returncode == 1
    assert "--folder is empty" in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_width_of_nothing_is_none(tmp_path: Path) -> None:
    """As containers say it without a terminal; everything was printed into no columns."""
    process = run("--folder", str(tmp_path), COLUMNS="0")
    assert process.returncode == 0
    assert "over the task" in process.stdout
    assert str(tmp_path / "cartpole" / "summary.json") in process.stdout


def test_warnings_that_are_errors_find_none(tmp_path: Path) -> None:
    """What a program leaves open is told under -X dev and PYTHONWARNINGS=error."""
    process = run("--folder", str(tmp_path), PYTHONWARNINGS="error")
    assert (process.returncode, process.stderr) == (0, "")


def test_a_folder_whose_name_is_no_text_is_one_line(tmp_path: Path) -> None:
    here = tmp_path / os.fsdecode(b"J\xf6rg")  # As Latin-1 had it.
    here.mkdir()
    process = run("--folder", str(here))
    assert process.returncode == 1
    assert "is no text in UTF-8" in process.stderr
    assert process.stderr.count("\n") == 1
    assert not list(here.iterdir())
    below = run("--folder", "runs", cwd=here, PYTHONPATH=str(ROOT))
    assert (below.returncode, below.stderr.count("\n")) == (1, 1)
    assert "is no text in UTF-8" in below.stderr


def test_a_working_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    process = run(shell=f"rmdir {gone}; exec {{}}", cwd=gone, PYTHONPATH=str(ROOT))
    assert process.returncode == 1
    assert process.stderr.startswith("error: the folder in which this command was given")
    assert process.stderr.count("\n") == 1


def test_numba_that_is_told_not_to_compile_is_one_line(tmp_path: Path) -> None:
    process = run("--folder", str(tmp_path), NUMBA_DISABLE_JIT="1")
    assert process.returncode == 1
    assert "NUMBA_DISABLE_JIT" in process.stderr
    assert "--engine torch" in process.stderr
    assert process.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert (
        run("--folder", str(tmp_path), "--engine", "torch", NUMBA_DISABLE_JIT="1").returncode == 0
    )


def test_a_limit_on_addresses_that_libraries_wait_at_for_ever_is_one_line(tmp_path: Path) -> None:
    process = run("--folder", str(tmp_path), shell="ulimit -v 1000000; exec {}")
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: a process may have 1,000,000 KiB of addresses here (ulimit -v)")
    assert not list(tmp_path.iterdir())
