"""What a finished task leaves: the pathway that is kept, and what it is worth when it plays again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.replay import greedy_returns, sampled_returns
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence
from pathnet_rl.telemetry import FinishedTask, GreedyReturns, TaskResult
from pathnet_rl.watching import Watch


class Judge:
    """Plays with the numbers of a crew's store, which nobody changes meanwhile.

    All of it can be stopped by the watch, and done again.
    """

    def __init__(self, config: RunConfig, arm: Arm, crew: Crew, watch: Watch) -> None:
        self._config, self._arm, self._crew, self._watch = config, arm, crew, watch

    def finish(self, task: int) -> TaskResult:
        """Choose the pathway that is kept of a task, and play it greedily.

        Raises:
            UserError: none has been evaluated.
        """
        evolution, store = self._config.evolution, self._crew.store
        candidates = [
            FinishedTask(
                task,
                self._config.tasks[task],
                store.agent_steps,
                chosen.genotype.active,
                chosen.always,
                fitness,
                chosen.genotype.builds_on,
                chosen.genotype.factors,
            )
            for chosen, fitness in self._crew.coordinator.finalists(max(1, evolution.finalists))
        ]
        if evolution.finalists:
            # The best of many noisy means is luck: they play again, all in the same episodes.
            candidates = [
                self._judged_again(finalist, f"finalist {number} of {len(candidates)}")
                for number, finalist in enumerate(candidates, 1)
            ]
        finished = max(candidates, key=lambda finalist: finalist.fitness)
        return TaskResult(finished, self.replay(finished))

    def _judged_again(self, finalist: FinishedTask, who: str) -> FinishedTask:
        """The finalist with its mean return in episodes of their own, acting as it learned."""
        evolution = self._config.evolution
        sequence = seed_sequence(self._config.seed, self._arm, Owner.FINALISTS, finalist.task)
        played = sampled_returns(
            self._crew.store,
            self._config,
            finalist,
            evolution.final_episodes,
            sequence,
            self._watch.of(f"{self._arm.value}, {who} plays {finalist.name} again"),
        )
        return dataclasses.replace(finalist, fitness=played.mean)

    def replay(self, finished: FinishedTask) -> GreedyReturns:
        """Play a finished task greedily, in the same episodes for every arm."""
        sequence = seed_sequence(self._config.seed, Arm.PATHNET, Owner.REPLAY, finished.task)
        seed = environment_seed(sequence)
        watching = self._watch.of(
            f"{self._arm.value}, replaying task {finished.task + 1} {finished.name}"
        )
        return greedy_returns(self._crew.store, self._config, finished, seed, watching)

    def after_later(self, results: Sequence[TaskResult], task: int) -> list[TaskResult]:
        """The results, those of other tasks than this one played again: what has been forgotten so far."""
        return [
            result
            if result.finished.task == task
            else dataclasses.replace(
                result, after_later=(*result.after_later, self.replay(result.finished))
            )
            for result in results
        ]

    def after_all(self, results: Sequence[TaskResult]) -> list[TaskResult]:
        """The results, all played again once everything is learned."""
        return [
            dataclasses.replace(result, after_all=self.replay(result.finished))
            for result in results
        ]
