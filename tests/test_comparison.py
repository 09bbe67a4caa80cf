"""Comparisons: what their members are, what is refused, and that an arm can be added to a member."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from launch.compare import compare, plain_line
from launch.display import terminal
from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.comparison import experiment
from pathnet_rl.comparison.experiment import Comparison, ComparisonFolder, Member, MemberFolder
from pathnet_rl.comparison.progress import ProgressFile, Tally, read_progress
from pathnet_rl.comparison.results import Line, Row, lines_of
from pathnet_rl.crew import Progress
from pathnet_rl.errors import UserError
from pathnet_rl.intervals import Interval
from pathnet_rl.random_policy import random_episodes
from tests.small_comparison import ONE_TASK, TWO_TASKS, instructions, small_comparison
from workers.one_run import learn

PAIRS = ("ALE/Riverraid-v5>ALE/KungFuMaster-v5", "ALE/Pong-v5")
SWEEP = ("learning.learning-rate=1e-3,5e-3",)


def test_every_member_is_a_run_of_its_own_folder_with_all_arms(tmp_path: Path) -> None:
    given = small_comparison(tmp_path, pairs=PAIRS, sweep=SWEEP, seeds=2, first_seed=5)
    members = list(given.members())
    assert len(members) == len({member.path for member in members}) == 8
    first, last = members[0], members[-1]
    assert first.path == (
        tmp_path / "small" / "Riverraid_to_KungFuMaster" / "learning_rate=0.001" / "seed-5"
    )
    assert first.config.tasks == ("ALE/Riverraid-v5", "ALE/KungFuMaster-v5")
    assert first.config.serial
    assert (last.pair, last.setting, last.seed) == ("Pong", "learning_rate=0.005", 6)
    assert last.config.learning.learning_rate == 5e-3
    assert {member.config.arms for member in members} == {given.base.arms}
    assert first.name == "Riverraid>KungFuMaster learning_rate=0.001 seed 5"


def test_every_pair_and_seed_has_every_setting_and_the_first_seeds_come_first(
    tmp_path: Path,
) -> None:
    given = small_comparison(tmp_path, pairs=PAIRS, sweep=SWEEP, seeds=3)
    found: dict[tuple[str, int], list[str]] = {}
    for member in given.members():
        found.setdefault((member.pair, member.seed), []).append(member.setting)
    assert len(found) == 6
    assert set(map(tuple, found.values())) == {("learning_rate=0.001", "learning_rate=0.005")}
    assert [member.seed for member in given.members()] == sorted([0, 1, 2] * 4)


def test_without_pairs_the_tasks_of_the_preset_are_one(tmp_path: Path) -> None:
    (member,) = small_comparison(tmp_path, pairs=()).members()
    assert member.config.tasks == ("CartPole-v1", "CartPole-v1")
    assert (member.pair, member.setting) == ("CartPole>CartPole", "default")


def test_a_control_that_does_not_transfer_has_no_budget_for_the_first_task(tmp_path: Path) -> None:
    (member,) = small_comparison(tmp_path).members()
    assert member.budget == 3 * 600
    (member,) = small_comparison(tmp_path, pairs=(ONE_TASK,)).members()
    assert member.budget == 2 * 600


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pairs": (TWO_TASKS, TWO_TASKS)}, "is named twice"),
        ({"pairs": ("CartPole-v0", "CartPole-v1")}, "compare them under two names"),
        ({"pairs": ("CartPole-v1>",)}, "lacks a task"),
        ({"pairs": ("",)}, "lacks a task"),
        ({"seeds": 0}, "seeds: Input should be greater"),
        ({"draws": 2}, "nothing to draw from"),
        ({"sweep": ("learning.learning-rate=0",)}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says) as refused:
        small_comparison(tmp_path, **changes)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 3}, "--first-seed and --seeds"),
        ({"device": "cuda"}, "leave out --device"),
        ({"agent_steps": (1, 2, 3)}, "agent_steps has 3 numbers"),
    ],
)
def test_options_of_a_run_that_a_comparison_cannot_have_are_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    base = small_comparison(tmp_path).base.model_copy(update=changes)
    with pytest.raises(UserError, match=says):
        Comparison(base=base, pairs=(TWO_TASKS,))


def test_an_unknown_task_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean .*CartPole-v1"):
        compare(small_comparison(tmp_path, pairs=("CartPole-v1>CartPol-v1",)), terminal())
    assert list(tmp_path.iterdir()) == []


def test_on_a_cluster_the_folder_must_be_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="absolute path"):
        compare(small_comparison(Path("somewhere")), terminal())


def test_members_may_be_added_but_what_they_have_in_common_may_not_change(tmp_path: Path) -> None:
    first = ComparisonFolder(small_comparison(tmp_path))
    first.open()
    first.close()
    checkpoint.save(
        tmp_path / "small/CartPole/default/seed-0/checkpoints/pathnet", "one", {}, {}, 1
    )
    more = ComparisonFolder(small_comparison(tmp_path, pairs=PAIRS, seeds=9, sweep=SWEEP))
    assert more.open()
    with pytest.raises(UserError, match="another process is working"):
        first.open()
    more.close()
    with pytest.raises(UserError, match=r"base\.agent_steps: was \[600\], is now \[700\]"):
        ComparisonFolder(small_comparison(tmp_path, agent_steps=700)).open()


def test_an_arm_that_is_added_is_learned_and_the_others_are_not_again(tmp_path: Path) -> None:
    both = small_comparison(tmp_path, pairs=(ONE_TASK,))
    alone = both.model_copy(update={"base": both.base.model_copy(update={"arms": (Arm.PATHNET,)})})
    (member,) = alone.members()
    assert learn(member, instructions(alone)).error is None
    assert member.finished()
    learned = {path: path.stat().st_mtime_ns for path in member.path.glob("checkpoints/pathnet/*")}
    (wider,) = both.members()
    assert not wider.finished()
    assert learn(wider, instructions(both)).error is None
    assert wider.finished()
    assert {p: p.stat().st_mtime_ns for p in member.path.glob("checkpoints/pathnet/*")} == learned
    assert json.loads((member.path / "config.json").read_text())["arms"] == [
        "pathnet",
        "independent",
    ]
    # Asked for one arm again, the folder still says that it has both.
    assert learn(member, instructions(alone)).error is None
    assert len(MemberFolder.existing(member.path).config.arms) == 2


def test_a_member_is_never_learned_twice_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "PATIENCE", 0.3)
    given = small_comparison(tmp_path)
    (member,) = given.members()
    folder = MemberFolder(member.config)
    folder.open()
    error = learn(member, instructions(given)).error
    folder.close()
    assert error is not None
    assert "another process is working in" in error
    assert not list(member.path.glob("checkpoints/*"))


def test_a_member_that_is_told_to_stop_saves_and_goes_on_from_there(tmp_path: Path) -> None:
    given = small_comparison(tmp_path, agent_steps=10**9)
    (member,) = given.members()
    done = [0]
    for _ in range(2):
        looks = iter((False, False))
        assert learn(member, instructions(given), functools.partial(next, looks, True)).stopped
        assert not member.finished()
        done.append(read_progress(member.path)[0])
    assert done == sorted(set(done))
    assert len(json.loads((member.path / "provenance.json").read_text())) == 2


def test_who_is_given_the_stop_file_begins_nothing(tmp_path: Path) -> None:
    given = small_comparison(tmp_path)
    (member,) = given.members()
    instructions(given).stop.touch()
    assert learn(member, instructions(given)).stopped
    assert not member.path.exists()


def _progress(member: Member, arm: Arm, task: int, agent_steps: int) -> Progress:
    return Progress(arm, task, "CartPole-v1", agent_steps, 600, 0.0, None, None, 0, 0)


def test_progress_counts_the_agent_steps_of_all_members(tmp_path: Path) -> None:
    given = small_comparison(tmp_path, seeds=4)
    members = list(given.members())
    for member in members:
        member.path.mkdir(parents=True)
    tally = Tally(members, members[:1], "now")
    ProgressFile(members[1], "now").update(_progress(members[1], Arm.INDEPENDENT, 1, 200))
    ProgressFile(members[2], "before").update(_progress(members[2], Arm.PATHNET, 1, 100))
    standing = tally.look()
    assert (standing.done, standing.running, standing.waiting) == (1, 1, 2)
    assert standing.agent_steps == 1800 + (1200 + 200) + (600 + 100)
    assert standing.budget == 4 * 1800
    tally.end(members[1], failed=False)
    tally.end(members[2], failed=True)
    standing = tally.look()
    assert (standing.done, standing.failed, standing.running, standing.waiting) == (2, 1, 0, 1)
    assert standing.agent_steps == 1800 + 1800 + 700
    assert plain_line(standing).startswith(
        "2/4 runs done, 0 running, 1 waiting, 1 failed: 4,300/7,200 agent steps"
    )


def test_the_table_pairs_seeds_and_leaves_out_what_says_nothing() -> None:
    def row(arm: str, seed: int, task: int, area: float, random: float | None = 1.0) -> Row:
        return Row("A>B", arm, "s", seed, task, "B", 9, 5, area, random, None, 2 * area, 0.0, None)

    pathnet, independent = lines_of(
        [
            row("pathnet", 0, 0, 99.0, None),
            row("pathnet", 0, 1, 3.0),
            row("pathnet", 1, 1, 8.0),
            row("pathnet", 2, 1, 4.0),  # No control of this seed.
            row("independent", 0, 1, 2.0),
            row("independent", 1, 1, 3.0),
        ]
    )
    # (2 + 7) / (1 + 2): with one seed drawn twice it is 2 / 1 or 7 / 2.
    assert pathnet == Line("A>B", "pathnet", "s", 3, 5.0, Interval(3.0, 2.0, 3.5, 2), 10.0)
    assert independent == Line("A>B", "independent", "s", 2, 2.5, Interval(1.0, 1.0, 1.0, 2), 5.0)
    alone, chance = lines_of([row("pathnet", 0, 1, 3.0), row("independent", 0, 1, 1.0)])
    assert alone.relative_area is None
    assert chance.relative_area is None


def test_random_episodes_are_the_same_again_and_long_ones_count(tmp_path: Path) -> None:
    episodes = random_episodes("CartPole-v1", "dqn", 8)
    assert episodes == random_episodes("CartPole-v1", "dqn", 8)
    steps = [episode.agent_steps for episode in episodes]
    assert steps == sorted(set(steps))
    # A CartPole pays 1 a step, so an episode's return is its length.
    assert [e.episode_return for e in episodes] == [
        float(end - begin) for begin, end in zip([0, *steps], steps, strict=False)
    ]
