"""Many runs side by side: which are replicates, what is left out, and measures that are done by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.evidence.measures import ArmMeasures, measure
from pathnet_rl.evidence.replicates import Group, grouped
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.evidence.summary import matrices, measure_all, random_means, wholes
from pathnet_rl.intervals import Interval
from pathnet_rl.run_folder import RunFolder
from tests.made_runs import make_run

LEVELS = {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 30.0)}


def groups_of(*paths: Path) -> list[Group]:
    records, left_out = read_runs(paths)
    groups, repeated = grouped(records)
    assert [*left_out, *repeated] == []
    return groups


def measures_of(group: Group, task: int, random: float | None) -> dict[Arm, ArmMeasures]:
    return {m.arm: m for m in measure(group, task, random)}


def test_runs_that_differ_in_seed_arms_and_place_are_replicates(tmp_path: Path) -> None:
    paths = [
        make_run(tmp_path, "a", LEVELS, seed=0),
        make_run(tmp_path / "elsewhere", "b", LEVELS, seed=1, workers=2, report_seconds=7.0),
        make_run(tmp_path, "c", {Arm.FINE_TUNE: (1.0, 2.0)}, seed=1, agent_steps=(4000, 4000)),
    ]
    (group,) = groups_of(*paths)
    assert group.arms == [Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE]
    assert {arm: sorted(seeds) for arm, seeds in group.records.items()} == {
        Arm.PATHNET: [0, 1], Arm.INDEPENDENT: [0, 1], Arm.FINE_TUNE: [1],
    }  # fmt: skip
    assert group.label == ""
    assert group.title(1) == "CartPole > CartPole"
    assert group.title(0) == "CartPole, then CartPole"


def test_a_label_names_only_the_options_that_differ(tmp_path: Path) -> None:
    rare = EvolutionConfig(population=4, episodes=2, rivals=2, mutation_rate=0.02)
    groups = groups_of(
        make_run(tmp_path, "a", LEVELS),
        make_run(tmp_path, "b", LEVELS, evolution=rare),
        make_run(tmp_path, "c", LEVELS, agent_steps=(4000, 8000)),
    )
    assert [group.label for group in groups] == [
        "agent steps 4,000, mutation rate default",
        "agent steps 4,000, mutation rate 0.02",
        "agent steps 4,000 8,000, mutation rate default",
    ]


def test_settings_are_numbered_where_labels_would_be_long(tmp_path: Path) -> None:
    other = EvolutionConfig(population=8, episodes=3, rivals=3, mutation_rate=0.02)
    groups = groups_of(
        make_run(tmp_path, "a", LEVELS),
        make_run(tmp_path, "b", LEVELS, evolution=other),
        make_run(tmp_path, "c", {Arm.PATHNET: (1.0,)}, tasks=("CartPole-v1",), evolution=other),
    )
    assert [group.label for group in groups] == ["setting 1", "setting 2", "setting 2"]
    assert groups[1].words == "episodes 3, mutation rate 0.02, population 8, rivals 3"
    assert groups[2].title(0) == "CartPole (setting 2)"


def test_a_seed_that_comes_twice_counts_once_and_is_named(tmp_path: Path) -> None:
    records, _ = read_runs([make_run(tmp_path, "a", LEVELS), make_run(tmp_path, "b", LEVELS)])
    (group,), repeated = grouped(records)
    assert [Path(record.folder).name for record in group.records[Arm.PATHNET].values()] == ["a"]
    (line,) = (str(each) for each in repeated)
    assert line.startswith(f"not included: {tmp_path}/b, arms pathnet, independent: seed 0 with")
    assert line.endswith(f" is in {tmp_path}/a already")


def test_a_folder_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = make_run(tmp_path, "a", LEVELS)
    records, left_out = read_runs([path, path / ".." / "a"])
    assert (len(records), left_out) == (2, [])


def test_a_folder_of_run_folders_stands_for_all_of_them(tmp_path: Path) -> None:
    make_run(tmp_path / "pair" / "setting", "seed-0", LEVELS, seed=0)
    make_run(tmp_path / "pair" / "setting", "seed-1", LEVELS, seed=1)
    (tmp_path / "config.json").write_text('{"pairs": 1}')
    records, left_out = read_runs([tmp_path, tmp_path / "pair" / "setting" / "seed-1"])
    assert [(Path(record.folder).name, record.arm) for record in records] == [
        (f"seed-{seed}", arm) for seed in (0, 1) for arm in LEVELS
    ]
    assert left_out == []


def state_of(run: Path) -> Path:
    return run / "checkpoints" / "pathnet" / "task-01-2-finished" / "state.json"


def without_results(run: Path) -> None:
    state_of(run).write_text(json.dumps({**json.loads(state_of(run).read_text()), "results": [3]}))


DAMAGES: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "no configuration": (lambda run: (run / "config.json").unlink(), "is no run folder", 0),
    "a torn configuration": (lambda run: (run / "config.json").write_text("{"), "is no run folder", 0),
    "no returns": (lambda run: (run / "returns.csv").unlink(), "missing or damaged", 0),
    "a torn provenance": (lambda run: (run / "provenance.json").write_text("["), "half-written", 0),
    "returns that lack rows": (
        lambda run: (run / "returns.csv").write_text(
            "\n".join((run / "returns.csv").read_text().splitlines()[:-20])
        ),
        "shorter than its checkpoint says",
        0,
    ),
    "a return that is no number": (
        lambda run: (run / "returns.csv").write_text(
            (run / "returns.csv").read_text().replace("10.0", "nan ", 1)
        ),
        "a return is no number",
        1,
    ),
    "a torn state": (lambda run: state_of(run).write_text('{"finished": tr'), "is damaged", 1),
    "a state that is no object": (lambda run: state_of(run).write_text("3"), "is damaged", 1),
    "results of another shape": (without_results, "is damaged (state.json", 1),
    "no checkpoint": (lambda run: state_of(run).parent.rename(run / "away"), "has not begun", 1),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_with_a_reason_and_the_rest_is_kept(
    damage: str, tmp_path: Path
) -> None:
    harm, reason, arms_left = DAMAGES[damage]
    run = make_run(tmp_path, "a", LEVELS)
    harm(run)
    records, left_out = read_runs([run])
    assert len(records) == arms_left
    assert len(left_out) == (2 if "lack rows" in damage else 1)
    for each in left_out:
        assert str(run) in each.what
        assert reason in each.reason
        assert "\n" not in str(each)


def test_an_unfinished_arm_is_named_with_how_far_it_is(tmp_path: Path) -> None:
    records, left_out = read_runs([make_run(tmp_path, "a", {Arm.PATHNET: (1, 2)}, finished=False)])
    assert records == []
    (line,) = (str(each) for each in left_out)
    assert line.startswith(f"not included: {tmp_path}/a, arm pathnet: it is not finished")
    assert "last saved at 1,234 of 4,000 agent steps of task 2 of 2" in line


def test_a_run_that_finishes_while_it_is_read_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, "a", {Arm.PATHNET: (1.0, 2.0)})
    returns, latest_state = run / "returns.csv", RunFolder.latest_state
    whole = returns.read_bytes()
    returns.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))

    def finish_and_tell(folder: RunFolder, arm: Arm) -> dict[str, Any] | None:
        returns.write_bytes(whole)
        return latest_state(folder, arm)

    monkeypatch.setattr(RunFolder, "latest_state", finish_and_tell)
    ((record,), []) = read_runs([run])
    assert sum(len(table.returns) for table in record.tables.values()) == whole.count(b"\n") - 1


def test_measures_of_two_seeds_done_by_hand(tmp_path: Path) -> None:
    (group,) = groups_of(
        make_run(tmp_path, "a", {Arm.PATHNET: (10, 50), Arm.INDEPENDENT: (0, 30)}, seed=0),
        make_run(tmp_path, "b", {Arm.PATHNET: (10, 30), Arm.INDEPENDENT: (0, 50)}, seed=1),
        make_run(tmp_path, "c", {Arm.PATHNET: (10, 99)}, seed=2),
    )
    found = measures_of(group, 1, random=20.0)
    pathnet, control = found[Arm.PATHNET], found[Arm.INDEPENDENT]
    by_seed = [seed.values for seed in pathnet.seeds]
    assert [values["area"] for values in by_seed] == [50.0, 30.0, 99.0]
    assert [values["relative_area"] for values in by_seed] == [3.0, pytest.approx(1 / 3), None]
    assert [values["jump_start"] for values in by_seed] == [20.0, -20.0, None]
    assert [values["greedy_return"] for values in by_seed] == [100.0, 60.0, 198.0]
    # (30 + 10) / (10 + 30) over the two seeds that both have; drawn again, one of them may come twice.
    assert pathnet.intervals["relative_area"] == Interval(1.0, 10 / 30, 3.0, 2)
    assert pathnet.intervals["speedup"] == Interval(1.0, 0.6, 50 / 30, 2)
    assert pathnet.intervals["jump_start"] == Interval(0.0, -20.0, 20.0, 2)
    area = pathnet.intervals["area"]
    assert area is not None
    assert (area.value, area.seeds) == (179 / 3, 3)
    assert control.intervals["relative_area"] == Interval(1.0, 1.0, 1.0, 2)


def test_the_threshold_is_halfway_to_the_control_and_a_seed_below_it_is_censored(
    tmp_path: Path,
) -> None:
    (group,) = groups_of(
        make_run(tmp_path, "a", {Arm.PATHNET: (0, 29), Arm.INDEPENDENT: (0, 40)}, seed=0),
        make_run(tmp_path, "b", {Arm.PATHNET: (0, 31), Arm.INDEPENDENT: (0, 40)}, seed=1),
    )
    pathnet = measures_of(group, 1, random=20.0)[Arm.PATHNET]
    assert pathnet.threshold == 30.0
    # Fifty episodes of 80 agent steps; the mean of the last twenty is known after the twentieth.
    assert [seed.values["steps_to_threshold"] for seed in pathnet.seeds] == [4000, 1600]
    assert [seed.censored for seed in pathnet.seeds] == [True, False]
    assert pathnet.censored == 1


def test_what_later_tasks_cost_is_measured_on_all_tasks_but_the_last(tmp_path: Path) -> None:
    levels = {Arm.PATHNET: (10.0, 50.0), Arm.FINE_TUNE: (10.0, 50.0)}
    (group,) = groups_of(make_run(tmp_path, "a", levels))
    first, last = (measures_of(group, task, random=None) for task in (0, 1))
    assert first[Arm.PATHNET].intervals["forgetting"] == Interval(0.0, None, None, 1)
    assert first[Arm.FINE_TUNE].intervals["forgetting"] == Interval(1.0, None, None, 1)
    assert last[Arm.FINE_TUNE].intervals["forgetting"] is None


@pytest.mark.parametrize("random", [None, 30.0, 35.0])
def test_there_is_no_relative_area_where_the_control_does_not_exceed_the_random_policy(
    random: float | None, tmp_path: Path
) -> None:
    (group,) = groups_of(make_run(tmp_path, "a", LEVELS))
    pathnet = measures_of(group, 1, random)[Arm.PATHNET]
    assert pathnet.intervals["relative_area"] is None
    assert pathnet.seeds[0].values["steps_to_threshold"] is None
    assert pathnet.censored == 0
    assert pathnet.intervals["speedup"] == Interval(50 / 30, None, None, 1)


def test_pong_counts_although_its_returns_are_negative(tmp_path: Path) -> None:
    levels = {Arm.PATHNET: (0.0, -17.0), Arm.INDEPENDENT: (0.0, -19.0)}
    (group,) = groups_of(make_run(tmp_path, "a", levels))
    pathnet = measures_of(group, 1, random=-21.0)[Arm.PATHNET]
    assert pathnet.intervals["relative_area"] == Interval(2.0, None, None, 1)
    assert pathnet.intervals["speedup"] is None


def test_all_tasks_of_a_setting_together(tmp_path: Path) -> None:
    """Three tasks: relative areas of 3 and 1; the control does not learn the first."""
    tasks = ("CartPole-v1",) * 3
    levels = {Arm.PATHNET: (10.0, 50.0, 40.0), Arm.INDEPENDENT: (0.0, 30.0, 40.0)}
    groups = groups_of(make_run(tmp_path, "a", levels, tasks=tasks))
    random = random_means(groups, {("CartPole-v1", "dqn"): np.array([15.0, 25.0])})
    assert random == {("CartPole-v1", "dqn"): (20.0, "2 episodes")}
    measures = measure_all(groups, random)
    (whole,) = wholes(measures)
    assert (whole.arm, whole.transfer, whole.tasks) == (Arm.PATHNET, True, 2)
    assert whole.relative_area == Interval(2.0, None, None, 1)
    (matrix,) = matrices(measures)
    assert (matrix.sources, matrix.targets) == (["CartPole", "CartPole > CartPole"], ["CartPole"])
    assert matrix.values.tolist() == [[3.0], [1.0]]
    assert matrix.seeds.tolist() == [[1.0], [1.0]]


def test_a_first_task_and_later_tasks_are_not_thrown_together(tmp_path: Path) -> None:
    alone = make_run(
        tmp_path, "b", {Arm.PATHNET: (40.0,), Arm.INDEPENDENT: (30.0,)}, tasks=("CartPole-v1",)
    )
    groups = groups_of(make_run(tmp_path, "a", LEVELS), alone)
    measures = measure_all(groups, {("CartPole-v1", "dqn"): (20.0, "")})
    found = {whole.transfer: whole.relative_area.value for whole in wholes(measures)}
    assert found == {False: 2.0, True: 3.0}


def test_published_scores_stand_in_for_a_random_policy_that_was_not_played() -> None:
    group = Group(("ALE/Pong-v5", "ALE/Tetris-v5"), (1, 1), ("dqn", "dqn"), ())
    assert random_means([group], {}) == {
        ("ALE/Pong-v5", "dqn"): (-20.7, "published"),
        ("ALE/Tetris-v5", "dqn"): (None, "unknown"),
    }
