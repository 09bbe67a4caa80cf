"""The pathway worker: what it does in which order, and which episodes make a fitness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward

from pathnet_rl import a3c
from pathnet_rl.a3c import Floats, Losses, loss_gradients, n_step_returns
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, LearningConfig, RunConfig
from pathnet_rl.genotype import ActiveModules, Genotype
from pathnet_rl.grid import build_grid
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Assignment, Telemetry
from tests.support import run_task, tiny_config
from workers.coordinator import TournamentCoordinator
from workers.pathway_worker import PathwayWorker

# The order of things -------------------------------------------------------------------------------

Tape = list[tuple[object, ...]]


class TapeStore(GridStore):
    """The real store, with its verbs on a tape."""

    tape: Tape

    def pull(self, task: int, path: ActiveModules, always: ActiveModules) -> PathwayWeights:
        self.tape.append(("pull", path))
        return super().pull(task, path, always)

    def push(
        self,
        task: int,
        path: ActiveModules,
        gradients: PathwayWeights,
        agent_steps: int,
        worker: int,
        rate_factor: float = 1.0,
    ) -> None:
        self.tape.append(("push", path, agent_steps, worker))
        super().push(task, path, gradients, agent_steps, worker, rate_factor)


GENOTYPES = [Genotype.from_array([[g, g], [g, 0]]) for g in range(5)]


class TapeCoordinator(TournamentCoordinator):
    """Hands out the genotypes in turn: numbers 0, 1 first, then 2, 3, ... for those that compete."""

    def __init__(self, config: RunConfig, tape: Tape) -> None:
        super().__init__(config, Arm.PATHNET)
        self.tape = tape
        self._next = 2

    def assignments(self, pathways: Sequence[int]) -> list[Assignment]:
        self.tape.append(("assignments", list(pathways)))
        return [Assignment(genotype, ((), ())) for genotype in GENOTYPES[: len(pathways)]]

    def compete(
        self, pathway: int, genotype: Genotype, fitness: float, agent_steps: int
    ) -> Assignment:
        self.tape.append(("compete", pathway, fitness))
        given = GENOTYPES[min(self._next, 4)]
        self._next += 1
        return Assignment(given, ((), ()))


class TapeHub:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.told: list[Telemetry] = []

    def record(self, telemetry: Telemetry) -> None:
        self.tape.append(("record",))
        self.told.append(telemetry)


class Bench:
    """A worker with pathways 4 and 6 of a population, and everything around it on one tape."""

    def __init__(
        self, folder: Path, budget: int = 10_000, task: str = "CartPole-v1", **learning: Any
    ) -> None:
        self.config = tiny_config(
            folder,
            tasks=(task,),
            learning=LearningConfig(rollout_steps=8, environments=2, **learning),
            evolution=EvolutionConfig(population=8, episodes=2),
        )
        self.tape: Tape = []
        grid = build_grid(self.config)
        self.store = TapeStore.create(folder / "block", grid, self.config.learning)
        assert isinstance(self.store, TapeStore)
        self.store.tape = self.tape
        self.store.initialise(grid.all_modules(), np.random.default_rng(0))
        self.store.begin_task(0, budget)
        self.hub = TapeHub(self.tape)
        coordinator = TapeCoordinator(self.config, self.tape)
        self.worker = PathwayWorker(
            self.config, Arm.PATHNET, 3, [4, 6], self.store, coordinator, self.hub.record
        )

    def events(self, name: str) -> list[tuple[object, ...]]:
        return [event for event in self.tape if event[0] == name]


def test_the_pathways_take_turns_a_rollout_each(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.begin_task()
    assert bench.tape == [("assignments", [4, 6])]
    del bench.tape[:]
    for _ in range(4):
        bench.worker.step()
    first, second = GENOTYPES[0].active, GENOTYPES[1].active
    wanted = [
        event
        for path in (first, second, first, second)
        for event in (("pull", path), ("push", path, 16, 3))
    ]
    assert [event for event in bench.tape if event[0] in ("pull", "push")] == wanted
    bench.worker.end_task()


def test_a_pathway_competes_after_its_push_and_goes_on_with_what_it_is_given(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.worker.begin_task()
    while len(bench.events("compete")) < 3:
        bench.worker.step()
    bench.worker.step()
    bench.worker.step()
    bench.worker.end_task()
    path = {4: GENOTYPES[0].active, 6: GENOTYPES[1].active}
    given = iter(GENOTYPES[2:])
    turn = 0
    for event, following in zip(bench.tape[1:], bench.tape[2:], strict=False):
        pathway = (4, 6)[turn]
        if event[0] == "pull":
            assert event[1] == path[pathway]
            assert following[0] == "push"
        elif event[0] == "push":
            assert event[1] == path[pathway]
            if following[0] != "compete":
                turn = 1 - turn
        elif event[0] == "compete":
            assert event[1] == pathway
            path[pathway] = next(given).active
            turn = 1 - turn


def test_pathways_come_and_go_between_steps_and_the_others_go_on_undisturbed(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.worker.begin_task()
    for _ in range(2):
        bench.worker.step()
    stays = bench.worker._pathways[1]
    assert stays is not None
    bench.worker.have([6, 1])
    assert bench.events("assignments")[-1] == ("assignments", [1])
    goes_on = stays.active
    del bench.tape[:]
    for _ in range(2):
        bench.worker.step()
    paths = [event[1] for event in bench.events("pull")]
    assert paths == [goes_on, GENOTYPES[0].active]
    assert bench.worker._pathways[0] is stays
    bench.worker.have([1])
    assert bench.worker._indices == [1]
    bench.worker.step()
    bench.worker.end_task()


def test_a_worker_stops_at_the_end_of_its_rollout_when_the_task_is_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, budget=40)
    run_task(bench.worker)
    assert len(bench.events("push")) == 3  # 16, 32, 48 agent steps.
    assert bench.tape[-1] == ("record",)
    assert bench.hub.told[-1].updates == 3
    assert bench.hub.told[-1].samples == 48


def test_a_worker_stops_when_it_is_told_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.stopped = True
    run_task(bench.worker)
    assert bench.events("push") == []


def test_every_episode_is_told_with_its_raw_return(tmp_path: Path) -> None:
    bench = Bench(tmp_path, budget=1600)
    run_task(bench.worker)
    episodes = [episode for told in bench.hub.told for episode in told.episodes]
    assert len(episodes) > 10
    assert all(e.episode_return == e.length for e in episodes)  # CartPole pays 1 a step.
    assert sum(e.length for e in episodes) <= 1600
    steps = [e.agent_steps for e in episodes]
    assert steps == sorted(steps)
    assert steps[-1] <= bench.store.agent_steps
    reported = [float(str(event[2])) for event in bench.events("compete")]
    assert reported
    assert min(reported) >= 8  # Fitness is raw as well: no CartPole episode is shorter.


def generous_cartpole(**_: Any) -> gymnasium.Env[Any, Any]:
    return TransformReward(gymnasium.make("CartPole-v1"), lambda _: 5.0)


gymnasium.register("tests/GenerousCartPole-v0", generous_cartpole)


@pytest.mark.parametrize(
    ("clip", "scale", "learned"),
    [(True, 1.0, 1.0), (False, 1.0, 5.0), (True, 0.125, 0.625), (False, 2.0, 10.0)],
)
def test_rewards_are_scaled_and_clipped_for_learning_only(
    clip: bool, scale: float, learned: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned_from: set[float] = set()

    def spy(rewards: Floats, *others: Any) -> Floats:
        learned_from.update(np.unique(rewards).tolist())
        return n_step_returns(rewards, *others)

    monkeypatch.setattr(a3c, "n_step_returns", spy)
    bench = Bench(
        tmp_path,
        budget=400,
        task="tests/GenerousCartPole-v0",
        clip_rewards=clip,
        reward_scale=(scale,),
    )
    run_task(bench.worker)
    assert learned_from == {learned}
    episodes = [episode for told in bench.hub.told for episode in told.episodes]
    assert episodes
    assert all(e.episode_return == 5 * e.length for e in episodes)


def test_gradients_are_clipped_and_their_norm_before_is_told(tmp_path: Path) -> None:
    pushed: list[float] = []

    class Measuring(TapeStore):
        def push(
            self,
            task: int,
            path: ActiveModules,
            gradients: PathwayWeights,
            agent_steps: int,
            worker: int,
            rate_factor: float = 1.0,
        ) -> None:
            pushed.append(sum(float(t.square().sum()) for t in (*gradients.layers, gradients.head)))

    bench = Bench(tmp_path, gradient_norm=0.5)
    bench.store.__class__ = Measuring
    bench.worker.begin_task()
    for _ in range(5):
        bench.worker.step()
    bench.worker.end_task()
    assert pushed == pytest.approx([0.25] * 5, rel=1e-3)
    assert bench.hub.told[-1].gradient_norm > 5 * 0.5


def test_the_loss_that_is_told_is_that_of_the_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums: list[float] = []

    def spy(*arguments: Any) -> tuple[Floats, Floats, Losses]:
        result = loss_gradients(*arguments)
        sums.append(result[2].entropy)
        return result

    monkeypatch.setattr(a3c, "loss_gradients", spy)
    bench = Bench(tmp_path, budget=160)
    run_task(bench.worker)
    assert sum(told.entropy for told in bench.hub.told) == pytest.approx(sum(sums))
    assert bench.hub.told[0].entropy / bench.hub.told[0].samples == pytest.approx(
        np.log(2), rel=0.05
    )
