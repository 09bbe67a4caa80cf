"""The report: from returns.csv and results to summary.json, with sums done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import ReplayConfig, RunConfig
from pathnet_rl.report import read_returns, summarise, write_report
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import FinishedTask, GreedyReturns, TaskResult
from tests.support import tiny_config

RANDOM = 10.0
ARMS = (Arm.PATHNET, Arm.INDEPENDENT)
CSV = """task,arm,agent_steps,episode_return,length
0,pathnet,2000,10.0,10
0,pathnet,4000,30.0,30
1,pathnet,2000,60.0,60
1,pathnet,1000,40.0,40
1,pathnet,4016,80.0,80
1,independent,2000,20.0,20
1,independent,4000,40.0,40
"""


def result(task: int, before: float, after: float) -> TaskResult:
    path = ((0, 1), (2,))
    finished = FinishedTask(task, "CartPole-v1", 4016, path, ((), (3,)), 55.0)
    return TaskResult(finished, GreedyReturns((before, before), 0), GreedyReturns((after,), 1))


RESULTS = {
    Arm.PATHNET: [result(0, 50.0, 50.0), result(1, 60.0, 60.0)],
    Arm.INDEPENDENT: [result(1, 30.0, 25.0)],
}


@pytest.fixture
def run(tmp_path: Path) -> tuple[RunConfig, RunFolder]:
    config = tiny_config(tmp_path, arms=ARMS)
    folder = RunFolder(config)
    folder.path.mkdir()
    folder.returns.write_text(CSV)
    # As many episodes as are wanted, so that none is played.
    rows = [
        f"CartPole-v1,dqn,{9 * n},{RANDOM}" for n in range(1, ReplayConfig().random_episodes + 1)
    ]
    folder.random_policy.write_text("\n".join(["task,protocol,agent_steps,episode_return", *rows]))
    return config, folder


def test_returns_are_read_by_task_and_arm_in_order_of_agent_steps(
    run: tuple[RunConfig, RunFolder],
) -> None:
    tables = read_returns(run[1].returns)
    assert tables.keys() == {(0, "pathnet"), (1, "pathnet"), (1, "independent")}
    assert tables[1, "pathnet"].agent_steps.tolist() == [1000, 2000, 4016]
    assert tables[1, "pathnet"].returns.tolist() == [40.0, 60.0, 80.0]


def test_the_speedup_is_relative_to_the_independent_control_of_the_same_task(
    run: tuple[RunConfig, RunFolder],
) -> None:
    summaries = summarise(*run, RESULTS)
    assert [(s.result.finished.task, s.arm) for s in summaries] == [
        (0, Arm.PATHNET),
        (1, Arm.PATHNET),
        (1, Arm.INDEPENDENT),
    ]
    first, pathnet, independent = summaries
    # Fifty stretches of 80 agent steps: 1-25 and 26-49 hold one value, the last another.
    assert first.area == pytest.approx((49 * 10 + 30) / 50)
    assert pathnet.area == pytest.approx((24 * 40 + 25 * 60 + 80) / 50)
    assert independent.area == pytest.approx((49 * 20 + 40) / 50)
    assert first.speedup is None
    assert pathnet.area is not None
    assert independent.area is not None
    assert pathnet.random == independent.random == RANDOM
    assert pathnet.speedup == pytest.approx((pathnet.area - RANDOM) / (independent.area - RANDOM))
    assert independent.speedup == 1.0
    assert pathnet.mean_return_last_100 == 60.0
    assert pathnet.episodes == 3


def test_a_task_without_a_finished_episode_has_no_curve(run: tuple[RunConfig, RunFolder]) -> None:
    config, folder = run
    folder.returns.write_text(CSV.splitlines()[0] + "\n")
    for summary in summarise(config, folder, RESULTS):
        assert (summary.episodes, summary.area, summary.speedup) == (0, None, None)
        assert summary.mean_return_last_100 is None
    write_report(config, folder, summarise(config, folder, RESULTS))


def test_the_summary_holds_what_was_asked_for(run: tuple[RunConfig, RunFolder]) -> None:
    files = write_report(*run, summarise(*run, RESULTS))
    assert all(file.is_file() for file in files)
    assert len([file for file in files if file.suffix == ".png"]) == 2

    def no_infinities(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    text = (run[1].path / "summary.json").read_text()
    first, pathnet, independent = json.loads(text, parse_constant=no_infinities)["tasks"]
    assert first["name"] == "CartPole-v1"
    assert first["forgetting"] == 0.0
    assert independent["forgetting"] == 5.0
    assert pathnet["agent_steps"] == 4016
    assert pathnet["best_pathway"] == [[0, 1], [2]]
    assert pathnet["frozen_modules_before"] == [[], [3]]
    assert pathnet["speedup_over_independent"] == pytest.approx((50.8 - 10.0) / (20.4 - 10.0))
    assert pathnet["area_under_curve"] == pytest.approx(50.8)
    assert pathnet["mean_return_last_100"] == 60.0


def test_results_round_trip_through_json() -> None:
    for results in RESULTS.values():
        for wanted in results:
            assert TaskResult.from_state(json.loads(json.dumps(wanted.state()))) == wanted
    unfinished = TaskResult(RESULTS[Arm.PATHNET][0].finished, GreedyReturns((1.0,), 0))
    assert TaskResult.from_state(json.loads(json.dumps(unfinished.state()))) == unfinished
    assert unfinished.forgetting is None
