"""Kill it, run the same command again: it goes on from its checkpoint and its curves have no seam.

One run of the real command line, killed three times, each time somewhere else.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted
from tests.events import read_steps
from tests.support import (
    ROOT,
    TapeDisplay,
    command,
    read_rows,
    run_command,
    run_experiment,
    serial_crew,
)

STEPS = 60_000
CHECKPOINT_SECONDS = 0.6
PATIENCE = 120.0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"it ended: {process.communicate()}"
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> str:
    """SIGKILL; what it had printed."""
    process.kill()
    output, errors = process.communicate()
    assert errors == ""
    assert process.returncode == -signal.SIGKILL
    return output


@dataclass
class Story:
    """What was found on the way."""

    folder: RunFolder
    first_checkpoint: Path
    seconds_since_checkpoint: float
    outputs: list[str]
    finished: subprocess.CompletedProcess[str]
    once_more: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    runs = tmp_path_factory.mktemp("runs")
    arguments = (
        "cartpole", "--serial", "--name", "twice", "--folder", str(runs),
        "--agent-steps", str(STEPS), "--arms", "pathnet", "independent",
        "--report-seconds", "0.3",
    )  # fmt: skip
    often = (*arguments, "--checkpoint-seconds", str(CHECKPOINT_SECONDS))
    never = (*arguments, "--checkpoint-seconds", "1000")
    folder = RunFolder(RunConfig(name="twice", folder=str(runs)))

    def found(arm: Arm, pattern: str) -> list[Path]:
        return sorted(folder.checkpoints(arm).glob(pattern))

    def rows_of(task: int, arm: Arm) -> bool:
        return folder.returns.exists() and any(
            line.startswith(f"{task},{arm.value},") for line in folder.returns.read_text().split()
        )

    def evaluated() -> bool:
        """The last checkpoint, in the first task, has a pathway's fitness in it."""
        saved = checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET))
        if not saved or not saved[-1].match("task-00-*-learning"):
            return False
        state = json.loads((saved[-1] / "state.json").read_text())
        return any(fitness is not None for fitness in state["coordinator"]["fitness"])

    outputs = []
    # In the first task, with reports that came after the last checkpoint.
    process = start(*often)
    wait_until(process, evaluated)
    time.sleep(0.5)
    outputs.append(kill(process))
    killed_at = time.time()
    first = checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET))[-1]
    age = killed_at - first.stat().st_mtime
    shutil.copytree(folder.path, runs / "copy")

    # In the second task, before it has a checkpoint.
    process = start(*never)
    wait_until(process, lambda: rows_of(1, Arm.PATHNET))
    outputs.append(kill(process))
    # In the first task of another arm, before the arm has saved anything but its beginning.
    process = start(*never)
    wait_until(process, lambda: rows_of(1, Arm.INDEPENDENT))
    outputs.append(kill(process))
    (beginning,) = found(Arm.INDEPENDENT, "*/state.json")
    assert json.loads(beginning.read_text())["store"]["agent_steps"] == 0

    finished = run_command(*often)
    outputs.append(finished.stdout)
    return Story(
        folder, runs / "copy" / "checkpoints" / "pathnet" / first.name, age, outputs, finished,
        run_command(*often),
    )  # fmt: skip


def going_on(output: str) -> list[tuple[str, str]]:
    """Agent steps and task, each time that the output says where it goes on."""
    return re.findall(r"going on from ([\d,]+) agent steps of task (\d)", output)


def test_a_kill_loses_at_most_one_interval_between_checkpoints(story: Story) -> None:
    # The worker looks at the clock once a report, and saving takes its time as well.
    assert story.seconds_since_checkpoint < CHECKPOINT_SECONDS + 2.0


def test_each_start_says_where_it_goes_on(story: Story) -> None:
    state: dict[str, Any] = json.loads((story.first_checkpoint / "state.json").read_text())
    assert going_on(story.outputs[0]) == []
    assert going_on(story.outputs[1]) == [(f"{state['store']['agent_steps']:,}", "1")]
    # The first task had been learned by then, so the next start goes on from its end.
    (third,) = going_on(story.outputs[2])
    assert third[1] == "1"
    assert int(third[0].replace(",", "")) >= STEPS
    assert going_on(story.outputs[3]) == [("0", "2")]  # The other arm, from its beginning.


def test_the_same_numbers_population_and_fitness_are_taken_up(story: Story) -> None:
    """The run as the first kill left it, resumed in this process and looked at."""
    copy = story.first_checkpoint.parent.parent.parent
    config = RunFolder.existing(copy).config.model_copy(
        update={"folder": str(copy.parent), "name": "copy"}
    )
    tensors, state = checkpoint.load(story.first_checkpoint)
    looked: list[bool] = []

    class Looking(TapeDisplay):
        def note(self, line: str) -> None:
            super().note(line)
            if not looked:
                numbers, header = crew.server.state()
                assert torch.equal(numbers["parameters"], tensors["parameters"])
                assert torch.equal(numbers["squares"], tensors["squares"])
                assert header == state["store"]
                assert crew.coordinator.state() == state["coordinator"]
                looked.append(True)

    crew = serial_crew(config)
    with pytest.raises(Interrupted):
        run_experiment(config, lambda arm: crew, lambda: True, Looking())
    assert looked
    assert any(fitness is not None for fitness in state["coordinator"]["fitness"])


def test_it_finishes_with_a_summary_of_every_task(story: Story) -> None:
    assert story.finished.returncode == 0, story.finished.stderr
    assert story.finished.stderr == ""
    assert "speedup" in story.finished.stdout
    summary = json.loads(story.folder.summary.read_text())["tasks"]
    assert [(s["task"], s["arm"]) for s in summary] == [
        (0, "pathnet"), (1, "pathnet"), (1, "independent"),
    ]  # fmt: skip
    assert all(s["agent_steps"] >= STEPS for s in summary)
    assert [s["forgetting"] for s in summary[:2]] == [0.0, 0.0]


def test_a_finished_run_says_so_and_changes_nothing(story: Story) -> None:
    assert story.once_more.returncode == 0
    assert "finished" in story.once_more.stdout
    assert "summary.json" in story.once_more.stdout
    assert len(json.loads((story.folder.path / "provenance.json").read_text())) == 4


def test_no_episode_is_written_twice_or_out_of_order(story: Story) -> None:
    """An agent step belongs to one episode, so lengths cannot add up to more than there were."""
    rows = read_rows(story.folder.returns)
    keys = [(int(row["task"]), row["arm"]) for row in rows]
    assert list(dict.fromkeys(keys)) == [(0, "pathnet"), (1, "pathnet"), (1, "independent")]
    for key in dict.fromkeys(keys):
        mine = [row for row, of in zip(rows, keys, strict=True) if of == key]
        steps = [int(row["agent_steps"]) for row in mine]
        assert steps == sorted(steps), f"{key} jumps back"
        played = sum(int(row["length"]) for row in mine)
        assert played <= steps[-1], f"{key} has episodes twice"
        # Lost are episodes that were under way at a kill, and those of the second before the checkpoint
        # of which the worker had not told yet; never a whole stretch of the task.
        gaps = [later - sooner for sooner, later in itertools.pairwise([0, *steps])]
        assert max(gaps) < STEPS / 2
        assert steps[-1] <= STEPS + 128


@pytest.mark.parametrize(
    ("arm", "task"),
    [("pathnet", "1-CartPole"), ("pathnet", "2-CartPole"), ("independent", "2-CartPole")],
)
def test_curves_continue_without_a_gap_or_a_double_point(arm: str, task: str, story: Story) -> None:
    tags = read_steps(story.folder.path / "tensorboard" / arm / task)
    assert len(tags) > 10
    for tag, steps in tags.items():
        assert steps == sorted(set(steps)), f"{tag} has a double point or goes back"
        assert steps[-1] >= STEPS
    every_report = [0, *tags["learning/rate"]]
    gaps = [later - sooner for sooner, later in itertools.pairwise(every_report)]
    # A report is due every 0.3 s. A machine that stumbles may leave out some, not half a task.
    assert max(gaps) < STEPS / 2


def test_nothing_is_left_unfinished_and_only_the_last_checkpoints_are_kept(story: Story) -> None:
    assert list(story.folder.path.rglob("*.unfinished")) == []
    for arm in (Arm.PATHNET, Arm.INDEPENDENT):
        kept = sorted(story.folder.checkpoints(arm).iterdir())
        assert 1 <= len(kept) <= 3
        assert kept == checkpoint.list_checkpoints(story.folder.checkpoints(arm))


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = (
        "cartpole", "--serial", "--name", "stopped", "--folder", str(tmp_path),
        "--agent-steps", "1000000", "--arms", "pathnet", "--report-seconds", "0.3",
    )  # fmt: skip
    folder = RunFolder(RunConfig(name="stopped", folder=str(tmp_path)))
    process = start(*arguments)
    wait_until(process, lambda: folder.returns.exists() and folder.returns.stat().st_size > 1000)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors == ""
    said = re.search(r"To go on: (.*)", output)
    assert said is not None
    assert shlex.split(said[1]) == [sys.executable, "-m", "launch.train", *arguments]
    latest = RunFolder.existing(folder.path).latest(Arm.PATHNET)
    assert latest is not None
    stopped_at = latest[1]["store"]["agent_steps"]
    assert 0 < stopped_at < 1_000_000
    assert int(read_rows(folder.returns)[-1]["agent_steps"]) > stopped_at - 2000
