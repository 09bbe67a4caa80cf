"""Any command, any signal: it ends with a line, its children with it, and nothing is left in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import SHARED_MEMORY
from tests.made_runs import make_run
from tests.misbehaving import ENDLESS
from tests.small_experiment import SEQUENCE, write_digits
from tests.support import ROOT, run_experiment, tiny_config

PATIENCE = 120.0
CPU_SECONDS_TO_BEGIN = 7.0
"""After so many a command that says nothing has loaded its libraries, and is at work."""
COMPARE = (
    "launch.compare", "cartpole", "--processes", "1", "--agent-steps", "1000000000", "--engine", "torch",
    "--checkpoint-seconds", "1000",
)  # fmt: skip
TRAIN = (
    "launch.train", "cartpole", "--serial", "--agent-steps", "1000000000", "--engine", "torch",
    "--checkpoint-seconds", "1000",
)  # fmt: skip


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_a_file(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    until = time.monotonic() + PATIENCE
    while not list(folder.rglob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def blocks_of_processes(processes: Sequence[psutil.Process]) -> set[str]:
    """The shared memory that they have mapped."""
    return {
        mapped.path
        for process in processes
        for mapped in process.memory_maps()
        if mapped.path.startswith(f"{SHARED_MEMORY}/pathnet-rl-")
    }


def signalled(process: subprocess.Popen[str], *numbers: int) -> tuple[str, str]:
    """Send the signals one after the other; what it said until its end, with nobody and nothing left."""
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    mapped = blocks_of_processes(everybody)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.3)
    said = process.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(everybody, timeout=20)
    assert alive == []
    assert [path for path in mapped if Path(path).exists()] == []
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_seeds_that_are_finished_are_kept_whatever_ends_the_command(
    tmp_path: Path, number: int
) -> None:
    process = start(
        "launch.supervised", "mnist", "--data", str(write_digits(tmp_path)), "--folder", str(tmp_path),
        "--seeds", "4000", "--together", "1", "--arms", "pathnet", "--processes", "1",
        "--sequences", SEQUENCE, "--grid.units", "4", "--evolution.population", "4",
        "--learning.minibatches", "5", "--learning.generations", "4", "--learning.threshold", "None",
    )  # fmt: skip
    wait_for_a_file(process, tmp_path, "pathnet.jsonl")
    output, errors = signalled(process, number)
    assert process.returncode == 128 + number
    assert "Stopped; finished seeds are kept. To go on:" in output
    assert errors == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_the_runs_of_a_comparison_save(tmp_path: Path, number: int) -> None:
    process = start(*COMPARE, "--folder", str(tmp_path))
    wait_for_a_file(process, tmp_path, "returns.csv")
    output, errors = signalled(process, number)
    assert process.returncode == 130
    assert "Stopped and saved. To go on:" in output
    assert errors == ""
    assert len(list(tmp_path.rglob("state.json"))) == 2, "the beginning, and what it saved"


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGXCPU])
def test_what_batch_systems_send_before_the_end_lets_a_run_save(
    tmp_path: Path, number: int
) -> None:
    process = start(*TRAIN, "--folder", str(tmp_path))
    wait_for_a_file(process, tmp_path, "returns.csv")
    output, errors = signalled(process, number)
    assert process.returncode == 130
    assert "Stopped and saved. To go on:" in output
    assert errors == ""


@pytest.mark.parametrize("command", [COMPARE, TRAIN], ids=["compare", "train"])
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, command: tuple[str, ...]) -> None:
    process = start(*command, "--folder", str(tmp_path))
    wait_for_a_file(process, tmp_path, "returns.csv")
    # Both may come before the command looks.
    output, errors = signalled(process, signal.SIGINT, signal.SIGINT)
    assert process.returncode == 130
    assert "To go on" in output or "to go on from the last checkpoint" in output
    assert errors == ""


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("replay", signal.SIGINT),
        ("replay", signal.SIGHUP),
        ("report", signal.SIGTERM),
    ],
)
def test_commands_that_have_nothing_to_save_end_with_a_line(
    tmp_path: Path, command: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "replay":
        config = tiny_config(
            tmp_path, agent_steps=(300,), tasks=("tests.misbehaving:tests/EndlessIfAsked-v0",)
        )
        run_experiment(config)
        monkeypatch.setenv(ENDLESS, "1")
        process = start(
            "launch.replay",
            str(tmp_path / config.name),
            "--imports",
            "tests.misbehaving",
            "--most-steps",
            "100000000",
        )
    else:
        run, output = make_run(tmp_path, "run", {Arm.PATHNET: (1.0, 2.0)}), str(tmp_path / "report")
        process = start(
            "launch.report", str(run), "--random-episodes", "10000000", "--output", output
        )
    while psutil.Process(process.pid).cpu_times().user < CPU_SECONDS_TO_BEGIN:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    _, errors = signalled(process, number)
    assert process.returncode == 128 + number
    assert errors == f"{signal.Signals(number).name} ended it\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("cpu_seconds", [0.1, 0.2, 0.35])
def test_it_is_a_line_while_libraries_are_loaded_too(
    tmp_path: Path, cpu_seconds: float, number: int
) -> None:
    process = start("launch.train", "cartpole", "--serial", "--folder", str(tmp_path))
    while psutil.Process(process.pid).cpu_times().user < cpu_seconds:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE) == (
        "",
        f"{signal.Signals(number).name} ended it\n",
    )
    assert process.returncode == 128 + number


def test_a_process_that_does_not_clear_up_is_killed_with_all_it_has_started() -> None:
    script = (
        "import subprocess, time; from launch.signals import *\n"
        "@ends_with_one_line\n"
        "def main():\n"
        "    child = subprocess.Popen(['sleep', '1000'])\n"
        "    stop = StopSignal(); stop.listen(); print('ready', flush=True)\n"
        "    while True:\n"
        "        try: time.sleep(1000)\n"
        "        except KeyboardInterrupt: pass\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children()
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_under_nohup_a_closed_terminal_concerns_nobody() -> None:
    script = (
        "import os, signal; from launch.signals import *\n"
        "@ends_with_one_line\n"
        "def main():\n"
        "    stop = StopSignal(); stop.listen(); os.kill(os.getpid(), signal.SIGHUP)\n"
        "    assert not stop.requested\n"
        "main()\n"
    )
    command = ["env", "--ignore-signal=HUP", sys.executable, "-c", script]
    assert subprocess.run(command, cwd=ROOT, env=dict(os.environ), check=False).returncode == 0
