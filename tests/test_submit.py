"""Runs as jobs of a real ray head that wants a token: submitted by HTTP, followed, stopped, gone on with."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.run_folder import RunFolder
from tests.bucket import wait_for
from tests.support import ROOT, free_port, read_rows, run_module

TOKEN = "a-token-of-these-tests-0123456789abcdef"
PATIENCE = 240.0


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command line of this project, with other environment variables."""
    kept = {name: value for name, value in os.environ.items() if name != "PATHNET_RL_FOLDER"}
    environment = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return run_module(*command, environment=environment, timeout=PATIENCE)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed said: one line."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Mapping[str, str]]:
    """A head with two CPUs; the environment of whoever may use it."""
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="pn-"))
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    # The head's `python`, as a job's entry point finds it, is this one.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2",
        "--port", str(free_port()), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port),
        "--node-ip-address", "127.0.0.1", "--temp-dir", str(folder),
        "--dashboard-agent-listen-port", str(free_port()),
    ]  # fmt: skip
    head = subprocess.Popen(
        command,
        env={**os.environ, **known, "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    there = {**known, "RAY_API_SERVER_ADDRESS": address}
    try:
        wait_for(lambda: run("launch.jobs", "list", **there).returncode == 0, PATIENCE)
        yield there
    finally:
        head.terminate()  # It ends all that it has started.
        with contextlib.suppress(subprocess.TimeoutExpired):
            head.wait(timeout=30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def submitted(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert re.search(r"uploading [01]\.\d MB of code", done.stdout)
    found = re.search(r"submitted (\S+)", done.stdout)
    assert found is not None
    return found[1]


def finished(folder: Path, name: str) -> bool:
    return (folder / name / "summary.json").exists()


@pytest.mark.slow
def test_no_token_and_a_wrong_one_are_one_line_each(
    cluster: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)  # Of a local ray, under --ray-defaults.
    nobody = {**cluster, "HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}
    del nobody["RAY_AUTH_TOKEN"]
    for mode in ("token", "disabled"):
        line = only_line(run("launch.jobs", "list", **{**nobody, "RAY_AUTH_MODE": mode}))
        assert "wants a token and was sent none; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in line
    wrong = {**cluster, "RAY_AUTH_TOKEN": "another-token-0123456789abcdef-012345"}
    run_of = ("launch.submit", "launch.train", "cartpole", "--folder", str(tmp_path))
    assert "refused the token" in only_line(run(*run_of, **wrong))
    assert "there is no job nobody" in only_line(run("launch.jobs", "stop", "nobody", **cluster))
    assert run("launch.jobs", "list", **cluster).stdout == ""


@pytest.mark.slow
def test_a_job_is_stopped_with_everything_saved_and_the_same_command_goes_on(
    cluster: Mapping[str, str], tmp_path: Path
) -> None:
    command = ("launch.submit", "launch.train", "cartpole", "--agent-steps", "300000",
               "--arms", "pathnet", "--checkpoint-seconds", "1000", "--report-seconds", "0.5")  # fmt: skip
    there = {**cluster, "PATHNET_RL_FOLDER": str(tmp_path)}
    job = submitted(run(*command, **there))
    assert re.fullmatch(r"cartpole-\d{8}-\d{6}", job)
    folder = RunFolder(RunConfig(name="cartpole", folder=str(tmp_path)))
    wait_for(lambda: folder.returns.exists() and folder.returns.stat().st_size > 2000, PATIENCE)
    done = run("launch.jobs", "stop", job, **cluster)
    assert f"{job}: STOPPED" in done.stdout, done
    assert f"{job}  STOPPED" in run("launch.jobs", "list", **cluster).stdout
    said = run("launch.jobs", "follow", job, **cluster)
    assert "Stopped and saved." in said.stdout
    latest = RunFolder.existing(folder.path).latest_state(Arm.PATHNET)
    assert latest is not None
    stopped_at = latest["store"]["agent_steps"]
    assert (
        0 < stopped_at < 300_000
    )  # Without a checkpoint in between: it saved when it was told to stop.

    job = submitted(run(*command, **there))
    follower = subprocess.Popen(
        [sys.executable, "-m", "launch.jobs", "follow", job],
        cwd=ROOT, env={**os.environ, **cluster}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stdout is not None
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    output, errors = follower.communicate(timeout=PATIENCE)
    assert "No longer looking; the job goes on." in output
    assert (follower.returncode, errors) == (130, "")
    followed = run("launch.jobs", "follow", job, **cluster)
    assert followed.returncode == 0, followed
    assert f"going on from {stopped_at:,} agent steps" in followed.stdout
    assert f"{job}: SUCCEEDED" in followed.stdout
    assert finished(tmp_path, "cartpole")
    assert {row["task"] for row in read_rows(folder.returns)} == {"0", "1"}
    assert "had ended: SUCCEEDED" in run("launch.jobs", "stop", job, **cluster).stdout


@pytest.mark.slow
def test_a_relative_folder_is_refused_by_the_job_itself_which_fails(
    cluster: Mapping[str, str],
) -> None:
    plain = ("ray.scripts.scripts", "job", "submit", "--working-dir", str(ROOT), "--")
    done = run(*plain, "python", "-m", "launch.train", "cartpole", "--serial", **cluster)
    assert done.returncode == 1
    assert "error: results in --folder runs would be lost with the job" in done.stdout
    assert "FAILED" in run("launch.jobs", "list", **cluster).stdout.splitlines()[-1]


NOBODY = {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("launch.train", "cartpole"), "results in --folder runs would be lost with the job"),
        (("launch.train", "cartpole", "--folder", "/x", "--tasks", "No-v1"), "unknown task 'No-v1'"),
        (("launch.train", "cartpole", "--folder", "memory://x"), "would be gone with this process"),
        (("launch.train", "cartpole", "--folder", "file://x"), "no absolute path"),
        (("launch.train", "cartpole", "--folder", "s4://b/x"), "is no place that is known"),
        (("launch.train", "cartpole", "--folder", "/x", "--agent-steps", "0"), "at least 1"),
        (("launch.compare", "cartpole", "--folder", "s3://b/x"), "give --folder as a path"),
        (("launch.supervised", "mnist", "--folder", "/x", "--sequences", "5-6"), "two tasks or more"),
        (("launch.train", "cartpole", "--folder", "/x"), "no ray cluster answers at http://127.0.0.1:9"),
        ((), "say what to run"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_uploaded(
    command: tuple[str, ...], answer: str
) -> None:
    assert answer in only_line(run("launch.submit", *command, **NOBODY))


def test_an_unknown_option_is_refused_here() -> None:
    done = run(
        "launch.submit", "launch.train", "cartpole", "--folder", "/x", "--sede", "1", **NOBODY
    )
    assert done.returncode == 2
    assert "Unrecognized options: --sede" in done.stderr + done.stdout


def test_a_port_where_something_else_listens_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"@ @ @ no http here\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        line = only_line(run("launch.jobs", "list", RAY_API_SERVER_ADDRESS=address))
        assert f"no ray cluster answers at {address}" in line


def test_an_address_without_http_is_refused() -> None:
    line = only_line(run("launch.jobs", "list", RAY_API_SERVER_ADDRESS="head:8265"))
    assert "write it as http://head:8265" in line


def test_a_head_that_takes_calls_and_says_nothing_is_one_line_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        line = only_line(run("launch.jobs", "list", RAY_API_SERVER_ADDRESS=address))
        assert f"no ray cluster answers at {address}" in line
        assert time.monotonic() - began < 30


def test_train_by_its_path_finds_its_packages_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch" / "train.py"), "cartpole", "--serial", "--name", "by-path",
         "--folder", str(tmp_path), "--agent-steps", "2000", "--arms", "pathnet"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path, "by-path")


@pytest.mark.parametrize(
    "target", ["atari-transfer", "cartpole", "pong", "mnist", "cifar-svhn", "compare"]
)
def test_the_same_target_runs_here_or_is_submitted(target: str) -> None:
    def recipe(*variables: str) -> str:
        kept = (
            "RAY_API_SERVER_ADDRESS",
            "MAKEFLAGS",
            "MAKELEVEL",
        )  # `make test` may be what runs this.
        environment = {k: v for k, v in os.environ.items() if k not in kept}
        done = subprocess.run(
            ["make", "--no-print-directory", "--dry-run", "--old-file=.venv/.set-up", target,
             "ARGS=--seed 1", *variables],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()[-1]

    here, there = recipe(), recipe("ADDRESS=http://head:8265", "SUBMIT=--cpus 1")
    assert "launch.submit" not in here
    command = here.partition(" -m ")[2]
    assert there.startswith("RAY_API_SERVER_ADDRESS='http://head:8265' ")
    assert there.endswith(f" -m launch.submit --cpus 1 {command}")
