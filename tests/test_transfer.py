"""Whole runs in this process: what is frozen stays as it was, what is finished can be played again.

CartPole after CartPole after CartPole on a tiny grid; nothing here has to learn well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.genotype import ActiveModules, difference, union
from pathnet_rl.grid import build_grid
from pathnet_rl.replay import greedy_returns
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import TaskResult
from pathnet_rl.transfer import finished_results
from pathnet_rl.watching import Interrupted
from tests.support import TapeDisplay, run_experiment, serial_crew, tiny_config

TASKS = 3


@dataclass(frozen=True)
class Finished:
    """A run that is done, with the numbers it had at the end of each task and at the very end."""

    config: RunConfig
    results: dict[Arm, list[TaskResult]]
    display: TapeDisplay

    def moments(self, arm: Arm) -> list[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
        """Checkpoints: after each task, then the last one."""
        found = checkpoint.list_checkpoints(RunFolder(self.config).checkpoints(arm))
        return [checkpoint.load(path) for path in found if not path.name.endswith("learning")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    config = tiny_config(
        tmp_path_factory.mktemp("transfer"),
        tasks=("CartPole-v1",) * TASKS,
        agent_steps=(3000,),
        arms=(Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE, Arm.NO_REINITIALISATION),
    )
    display = TapeDisplay()
    return Finished(config, run_experiment(config, display=display), display)


def rows(config: RunConfig, block: torch.Tensor, modules: ActiveModules) -> list[torch.Tensor]:
    layers = build_grid(config).layers
    return [layer.rows(block)[list(chosen)] for layer, chosen in zip(layers, modules, strict=True)]


def test_frozen_modules_are_the_same_to_the_bit_at_the_end(run: Finished) -> None:
    moments = run.moments(Arm.PATHNET)
    assert len(moments) == TASKS + 1
    for result, (tensors, _) in zip(run.results[Arm.PATHNET], moments, strict=False):
        path = result.finished.path
        for name in ("parameters", "squares"):
            then, now = tensors[name], moments[-1][0][name]
            for before, after in zip(
                rows(run.config, then, path), rows(run.config, now, path), strict=True
            ):
                assert torch.equal(before, after)


def test_everything_else_was_drawn_anew_and_learned_on(run: Finished) -> None:
    moments = run.moments(Arm.PATHNET)
    first, second = moments[0], moments[1]
    rest = difference(
        build_grid(run.config).all_modules(), run.results[Arm.PATHNET][0].finished.path
    )
    for before, after in zip(
        rows(run.config, first[0]["parameters"], rest),
        rows(run.config, second[0]["parameters"], rest),
        strict=True,
    ):
        assert (before != after).all()


def test_heads_of_finished_tasks_are_kept(run: Finished) -> None:
    moments = run.moments(Arm.PATHNET)
    for task, head in enumerate(build_grid(run.config).heads):
        learned = head.numbers(moments[task][0]["parameters"])
        assert learned.any()
        assert torch.equal(learned, head.numbers(moments[-1][0]["parameters"]))


@pytest.mark.parametrize("arm", [Arm.PATHNET, Arm.NO_REINITIALISATION])
def test_with_frozen_paths_nothing_is_forgotten(arm: Arm, run: Finished) -> None:
    for result in run.results[arm]:
        assert result.after_all is not None
        assert result.after_all.returns == result.after_task.returns
        assert result.forgetting == 0.0


def test_the_frozen_set_grows_by_each_tasks_path(run: Finished) -> None:
    results = [result.finished for result in run.results[Arm.PATHNET]]
    headers = [header["store"]["frozen"] for _, header in run.moments(Arm.PATHNET)]
    frozen: ActiveModules = ((), ())
    for task, finished in enumerate(results):
        assert finished.always == frozen
        assert headers[task] == [list(layer) for layer in frozen]
        frozen = union(frozen, finished.path)
    assert sum(map(len, frozen)) > sum(map(len, results[0].path))


def test_every_finished_task_can_be_played_again_from_the_last_checkpoint(
    run: Finished, tmp_path: Path
) -> None:
    tensors, header = run.moments(Arm.PATHNET)[-1]
    store = GridStore.create(tmp_path / "block", build_grid(run.config), run.config.learning)
    store.load_state(tensors, header["store"])
    for result in run.results[Arm.PATHNET]:
        sequence = seed_sequence(0, Arm.PATHNET, Owner.REPLAY, result.finished.task)
        seed = environment_seed(sequence)
        played = greedy_returns(store, run.config, result.finished, seed)
        assert played == result.after_task


def test_the_independent_control_learns_each_later_task_from_scratch(run: Finished) -> None:
    assert [r.finished.task for r in run.results[Arm.INDEPENDENT]] == [1, 2]
    moments = run.moments(Arm.INDEPENDENT)
    everything = build_grid(run.config).all_modules()
    assert moments[-1][1]["store"]["frozen"] == [[], []]
    for before, after in zip(
        rows(run.config, moments[0][0]["parameters"], everything),
        rows(run.config, moments[1][0]["parameters"], everything),
        strict=True,
    ):
        assert (before != after).all()


def test_the_fine_tuned_path_goes_on_with_the_numbers_it_has(run: Finished) -> None:
    """What no task trains keeps its first numbers to the end; what all train is never zeroed."""
    moments = run.moments(Arm.FINE_TUNE)
    path = run.results[Arm.FINE_TUNE][0].finished.path
    assert path == ((0, 1), (0, 1))
    untouched = difference(build_grid(run.config).all_modules(), path)
    for before, after in zip(
        rows(run.config, moments[0][0]["parameters"], untouched),
        rows(run.config, moments[-1][0]["parameters"], untouched),
        strict=True,
    ):
        assert torch.equal(before, after)
    for before, after in zip(
        rows(run.config, moments[0][0]["parameters"], path),
        rows(run.config, moments[1][0]["parameters"], path),
        strict=True,
    ):
        drift = (after - before).norm() / before.norm()
        assert 0 < drift < 0.7  # Drawn anew, the difference would be longer than the numbers.


def test_all_arms_are_judged_on_the_same_episodes(run: Finished, tmp_path: Path) -> None:
    """With heads of zeros every arm always does the same and must get the same returns."""
    returns = set()
    for arm in (Arm.PATHNET, Arm.FINE_TUNE):
        tensors, header = run.moments(arm)[-1]
        store = GridStore.create(tmp_path / arm, build_grid(run.config), run.config.learning)
        store.load_state(tensors, header["store"])
        store.parameters.zero_()
        sequence = seed_sequence(0, Arm.PATHNET, Owner.REPLAY, 1)
        finished = run.results[arm][1].finished
        seed = environment_seed(sequence)
        returns.add(greedy_returns(store, run.config, finished, seed).returns)
    assert len(returns) == 1


def test_finished_arms_are_told_from_their_checkpoints(run: Finished) -> None:
    for arm in run.config.arms:
        assert finished_results(RunFolder(run.config), arm) == run.results[arm]
    assert finished_results(RunFolder(run.config), Arm.RANDOM_PATH) is None


def test_the_display_is_shown_the_end_of_each_task(run: Finished) -> None:
    ends = [
        (shown.arm, shown.task)
        for shown in run.display.shown
        if shown.agent_steps == shown.budget == 3000
    ]
    wanted = [(arm, task) for arm in run.config.arms for task in run.config.tasks_of(arm)]
    assert [end for n, end in enumerate(ends) if end not in ends[:n]] == wanted


def test_controls_that_do_not_transfer_skip_the_first_task_unless_it_is_the_only_one(
    tmp_path: Path,
) -> None:
    three = tiny_config(tmp_path, tasks=("CartPole-v1",) * 3)
    one = tiny_config(tmp_path, tasks=("CartPole-v1",))
    assert three.tasks_of(Arm.INDEPENDENT) == range(1, 3)
    assert three.tasks_of(Arm.FINE_TUNE) == three.tasks_of(Arm.PATHNET) == range(3)
    assert one.tasks_of(Arm.INDEPENDENT) == range(1)


class After:
    """Asks to stop when it has been asked that often."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(20_000,), report_seconds=0.05)
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=After(3))
    latest = RunFolder(config).latest(Arm.PATHNET)
    assert latest is not None
    tensors, state = latest
    assert 0 < state["store"]["agent_steps"] < 20_000

    seen: list[object] = []

    class Looking(TapeDisplay):
        def note(self, line: str) -> None:
            super().note(line)
            numbers, header = crew.server.state()
            seen.extend([numbers, header, crew.coordinator.state()])

    crew = serial_crew(config)
    display = Looking()
    results = run_experiment(config, make_crew=lambda arm: crew, display=display)
    assert [result.finished.task for result in results[Arm.PATHNET]] == [0, 1]
    assert f"going on from {state['store']['agent_steps']:,} agent steps" in display.notes[0]
    numbers, header, coordinator = seen[:3]
    assert isinstance(numbers, dict)
    for name in ("parameters", "squares"):
        assert torch.equal(numbers[name], tensors[name])
    assert header == state["store"]
    assert coordinator == state["coordinator"]
