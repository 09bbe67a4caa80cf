"""Whole runs in a bucket of a real S3 server, by the real commands: killed, gone on with, looked at, read."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pathnet_rl.watching import Interrupted
from tests.bucket import Bucket, s3_server, wait_for
from tests.support import ROOT, read_rows, run_experiment, tiny_config

STEPS = 90_000
IN_A_HURRY = (
    "import sys, pathnet_rl.mirror as mirror; mirror.RENEW_SECONDS, mirror.SILENT_SECONDS = 0.5, 4.0;"
    "sys.argv[0] = 'launch.train'; from launch.train import main; main()"
)
SHOWN = """
import sys
if sys.argv[2] == "fsspec":
    sys.modules["boto3"] = None
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.tensorflow_stub.io.gfile import get_filesystem
print(type(get_filesystem(sys.argv[1])).__name__, flush=True)
shown = EventMultiplexer()
while True:
    shown.AddRunsFromDirectory(sys.argv[1])
    shown.Reload()
    runs = {r: [e.step for e in shown.Tensors(r, "learning/rate")] for r in shown.Runs()}
    print(__import__("json").dumps(runs), flush=True)
    if not sys.stdin.readline():
        break
"""
"""TensorBoard's own loader: what it shows of a tag, and again after each line that it is given."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as bucket:
        yield bucket


def command(bucket: Bucket, name: str, checkpoint_seconds: float) -> list[str]:
    return [
        sys.executable, "-c", IN_A_HURRY, "cartpole", "--serial", "--folder", bucket.url, "--name", name,
        "--agent-steps", str(STEPS), "--arms", "pathnet", "--report-seconds", "0.3",
        "--checkpoint-seconds", str(checkpoint_seconds),
    ]  # fmt: skip


@dataclass
class Story:
    killed: dict[str, bytes]
    finished: subprocess.CompletedProcess[str]
    after: dict[str, bytes]
    again: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def story(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A run that is killed after some checkpoints and gone on with on what might be another machine."""
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("one"))}
    process = subprocess.Popen(
        command(bucket, "killed", 0.6), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: len(list(states(bucket.names("killed")))) >= 3, 120.0)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    killed = bucket.files("killed")
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("other"))}
    finished, again = (
        subprocess.run(
            command(bucket, "killed", 1000.0),
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240,
        )
        for _ in range(2)
    )  # fmt: skip
    return Story(killed, finished, bucket.files("killed"), again)


def states(names: Sequence[str]) -> Iterator[str]:
    return (name for name in names if name.endswith("/state.json"))


@pytest.mark.slow
def test_a_killed_run_goes_on_from_what_was_uploaded(story: Story) -> None:
    assert story.finished.returncode == 0, story.finished.stderr
    last = json.loads(story.killed[max(states(list(story.killed)))])
    said = story.finished.stdout
    assert "s3://pathnet/runs/killed is locked by process" in said
    assert f"going on from {last['store']['agent_steps']:,} agent steps" in said
    assert "  s3://pathnet/runs/killed/summary.json" in said
    assert ".lock" in story.killed
    assert ".lock" not in story.after
    assert json.loads(story.after["summary.json"])["tasks"][1]["forgetting"] == 0.0
    assert "s3://pathnet/runs/killed is finished: nothing is left to do." in story.again.stdout
    assert len(json.loads(story.after["provenance.json"])) == 2


@pytest.mark.slow
def test_its_rows_have_no_seam(story: Story, tmp_path: Path) -> None:
    (tmp_path / "returns.csv").write_bytes(story.after["returns.csv"])
    last = json.loads(story.killed[max(states(list(story.killed)))])
    kept = last["hub"]["returns_bytes"]
    assert story.after["returns.csv"][:kept] == story.killed["returns.csv"][:kept]
    for task in ("0", "1"):
        rows = [row for row in read_rows(tmp_path / "returns.csv") if row["task"] == task]
        steps = [int(row["agent_steps"]) for row in rows]
        assert steps == sorted(steps)
        assert sum(int(row["length"]) for row in rows) <= steps[-1]
        assert max(b - a for a, b in itertools.pairwise([0, *steps])) < STEPS / 2


@pytest.mark.slow
def test_other_commands_read_from_there(story: Story, bucket: Bucket, tmp_path: Path) -> None:
    def read(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert read("launch.picture", f"{bucket.url}/killed") == "grid_pathnet.png\n"
    assert (tmp_path / "grid_pathnet.png").read_bytes().startswith(b"\x89PNG")
    greedy = json.loads(story.after["summary.json"])["tasks"][0]["greedy_return_after_task"]
    assert "CartPole-v1: mean" in read("launch.replay", f"{bucket.url}/killed", "--task", "1")
    assert greedy > 0
    read("launch.report", bucket.url, "--output", "report", "--random-episodes", "2")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "s3://pathnet/runs/killed" in page
    assert "/tmp" not in (tmp_path / "report" / "measures.csv").read_text()
    assert bucket.files("killed") == story.after, "reading changed something"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("through", "system"), [("boto3", "S3FileSystem"), ("fsspec", "FSSpecFileSystem")]
)
def test_tensorboard_shows_it_and_what_is_added(through: str, system: str, bucket: Bucket) -> None:
    config = tiny_config(Path(), name=f"shown-{through}", report_seconds=0.05, agent_steps=(8_000,))
    config = config.model_copy(update={"folder": bucket.url})
    run = f"{config.name}/tensorboard/pathnet/1-CartPole"
    calls = itertools.count()
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: next(calls) > 5)
    shown = subprocess.Popen(
        [sys.executable, "-c", SHOWN, bucket.url, through],
        # As `make tensorboard` sets it.
        env={**os.environ, "FSSPEC_S3": '{"use_listings_cache": false}'},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shown.stdin is not None
    assert shown.stdout is not None
    try:
        assert shown.stdout.readline().strip() == system
        first = json.loads(shown.stdout.readline())[run]
        assert first == sorted(set(first))
        assert first
        run_experiment(config)
        shown.stdin.write("again\n")
        shown.stdin.flush()
        both = json.loads(shown.stdout.readline())
        assert both[run][: len(first)] == first
        assert both[run] == sorted(set(both[run]))
        assert both[run][-1] >= 8_000
        assert f"{config.name}/tensorboard/pathnet/2-CartPole" in both
    finally:
        shown.kill()
        shown.communicate()


@pytest.mark.slow
def test_seeds_of_an_experiment_on_images_lie_there_too(bucket: Bucket, tmp_path: Path) -> None:
    def run(seeds: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "launch.supervised", "mnist", "--folder", bucket.url, "--name", "images",
             "--arms", "pathnet", "--sequences", "5-6>6-7", "--seeds", str(seeds), "--together", "1",
             "--learning.generations", "3", "--processes", "1"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "s3://pathnet/runs/images/summary.json" in run(1)
    first = bucket.files("images")
    run(2)
    both = bucket.files("images")
    lines = [files["results/5-6_to_6-7/pathnet.jsonl"].splitlines() for files in (first, both)]
    assert len(lines[0]) == 1
    assert len(lines[1]) == 2
    assert lines[1][0] == lines[0][0]
    assert "nothing is left to do" in run(2)
