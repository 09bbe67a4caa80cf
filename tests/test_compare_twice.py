"""Compare, and compare again: what is finished is found, what was killed goes on, damage is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from launch import replay
from launch.compare import compare
from launch.display import terminal
from pathnet_rl.comparison.experiment import Comparison
from pathnet_rl.comparison.progress import read_progress
from pathnet_rl.errors import UserError
from tests.small_comparison import ONE_TASK, TWO_TASKS, small_comparison
from tests.support import ROOT, read_rows

SWEEP = ("learning.learning-rate=1e-3,5e-3",)


def times(given: Comparison) -> dict[Path, int]:
    """When each member last learned something."""
    return {m.path: (m.path / "returns.csv").stat().st_mtime_ns for m in given.members()}


def run(given: Comparison) -> str:
    out = io.StringIO()
    compare(given, terminal(out, 120))
    return out.getvalue()


@dataclass
class Story:
    """What was found on the way."""

    given: Comparison
    outputs: list[str]
    learned: list[dict[Path, int]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("runs")
    fewer = small_comparison(folder, agent_steps=400, pairs=(ONE_TASK,), sweep=SWEEP)
    given = small_comparison(
        folder, agent_steps=400, pairs=(ONE_TASK, TWO_TASKS), sweep=SWEEP, seeds=2
    )
    outputs, learned = [run(fewer)], [times(fewer)]
    for _ in range(2):
        outputs.append(run(given))
        learned.append(times(given))
    return Story(given, outputs, learned)


def test_what_is_finished_is_found_by_its_folder_and_not_learned_again(story: Story) -> None:
    first, more, again = story.learned
    assert len(first) == 2
    assert len(more) == 8
    assert {path: more[path] for path in first} == first
    assert again == more
    assert "Going on with" in story.outputs[1]
    assert "2 of 8 runs are done" in story.outputs[1]
    assert "8/8 runs done, 0 running, 0 waiting" in story.outputs[1]
    assert "is finished: nothing is left to do" in story.outputs[2]


def test_every_arm_has_the_same_settings_seeds_and_budget(story: Story) -> None:
    rows = read_rows(story.given.path / "comparison.csv")
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault((row["pair"], row["arm"]), set()).add((row["setting"], row["seed"]))
        assert 400 <= int(row["agent_steps"]) < 400 + 3 * 64
    assert set(found) == {
        (pair, arm)
        for pair in ("CartPole", "CartPole>CartPole")
        for arm in ("pathnet", "independent")
    }
    settings = ("learning_rate=0.001", "learning_rate=0.005")
    assert all(
        of == {(setting, seed) for setting in settings for seed in "01"} for of in found.values()
    )
    # One row for each task that an arm learns: the control leaves out a first task that it has no use for.
    assert len(rows) == 4 * (1 + 1) + 4 * (2 + 1)


def test_the_files_agree_with_the_runs_and_with_one_another(story: Story) -> None:
    said = json.loads((story.given.path / "comparison.json").read_text())
    rows = read_rows(story.given.path / "comparison.csv")
    assert [str(run["area"]) for run in said["runs"]] == [row["area"] for row in rows]
    assert said["settings"]["learning_rate=0.005"] == {"learning.learning_rate": 0.005}
    assert len(said["table"]) == 2 * 2 * 2
    assert all(line["seeds"] == 2 for line in said["table"])
    for member in story.given.members():
        summary = json.loads((member.path / "summary.json").read_text())["tasks"]
        mine = [
            row
            for row in rows
            if (row["pair"], row["setting"], row["seed"])
            == (member.pair, member.setting, str(member.seed))
        ]
        assert {(row["arm"], row["task"], row["area"]) for row in mine} == {
            (task["arm"], str(task["task"]), str(task["area_under_curve"])) for task in summary
        }


def test_every_episode_of_all_runs_is_in_one_file_and_a_random_policys(story: Story) -> None:
    text = gzip.decompress((story.given.path / "returns.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "pair", "arm", "seed", "setting", "task", "agent_steps", "episode_return",
    ]  # fmt: skip
    for member in story.given.members():
        mine = [
            (row["arm"], row["task"], row["agent_steps"], row["episode_return"])
            for row in rows
            if (row["pair"], row["setting"], row["seed"])
            == (member.pair, member.setting, str(member.seed))
        ]
        theirs = read_rows(member.path / "returns.csv")
        assert sorted(mine) == sorted(
            (row["arm"], row["task"], row["agent_steps"], row["episode_return"]) for row in theirs
        )
    random = [row for row in rows if row["arm"] == "random"]
    assert [(row["pair"], row["task"]) for row in random] == [
        *[("CartPole", "0")] * 3, *[("CartPole>CartPole", "0")] * 3, *[("CartPole>CartPole", "1")] * 3,
    ]  # fmt: skip
    assert len({(row["agent_steps"], row["episode_return"]) for row in random}) == 3


def test_a_member_is_a_run_that_other_commands_read(story: Story) -> None:
    out = io.StringIO()
    member = list(story.given.members())[-1]
    replay.replay(replay.Options(run=member.path, task=2, episodes=1), terminal(out))
    assert "CartPole-v1: mean" in out.getvalue()
    assert list(member.path.glob("tensorboard/independent/2-CartPole/events*"))
    assert (member.path / "learning_curves_2_CartPole.png").exists()


def test_a_damaged_member_is_named_and_the_others_are_summed_up(story: Story) -> None:
    # The last test that reads the story: it damages it.
    damaged = next(m for m in story.given.members() if m.pair == "CartPole")
    for state in damaged.path.glob("checkpoints/pathnet/*/state.json"):
        state.write_text("{")
    before = times(story.given)
    out = io.StringIO()
    with pytest.raises(
        UserError, match=r"^1 of 8 runs failed \(CartPole learning_rate=0.001 seed 0\)"
    ):
        compare(story.given, terminal(out, 120))
    said = " ".join(line for line in out.getvalue().splitlines() if "failed:" in line)
    assert said.startswith("CartPole learning_rate=0.001 seed 0: failed: the checkpoint")
    assert "is damaged" in said
    assert times(story.given) == before
    table = json.loads((story.given.path / "comparison.json").read_text())["table"]
    seeds = {(line["pair"], line["setting"]): line["seeds"] for line in table}
    assert sorted(seeds.values()) == [1, 2, 2, 2]
    assert seeds["CartPole", "learning_rate=0.001"] == 1


@pytest.mark.slow
def test_a_killed_command_goes_on_and_ctrl_c_saves_all(tmp_path: Path) -> None:
    arguments = [
        "cartpole", "--folder", str(tmp_path), "--name", "killed", "--seeds", "2", "--processes", "2",
        "--arms", "independent", "--agent-steps", "100000000", "--engine", "torch",
        "--checkpoint-seconds", "1000", "--pairs", ONE_TASK,
    ]  # fmt: skip
    command = [sys.executable, "-m", "launch.compare", *arguments]
    folders = [tmp_path / "killed" / "CartPole" / "default" / f"seed-{seed}" for seed in (0, 1)]

    def steps() -> list[int]:
        return [read_progress(folder)[0] for folder in folders]

    def start_and_wait(until_above: list[int]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + 120
        while not all(now > before for now, before in zip(steps(), until_above, strict=True)):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        return process

    process = start_and_wait([0, 0])
    process.kill()
    process.communicate()
    # Started at once: the members of the one that was killed are still saving.
    killed_at = steps()
    process = start_and_wait(killed_at)
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to every process.
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == ""
    assert f"To go on: python -m launch.compare {' '.join(arguments)}" in output
    for folder in folders:
        assert len(json.loads((folder / "provenance.json").read_text())) == 2
        saved = sorted((folder / "checkpoints" / "independent").iterdir())
        # The beginning, what was saved when the command was killed, and what Ctrl-C saved.
        assert len(saved) == 3
        assert not list(folder.rglob("*.unfinished"))
