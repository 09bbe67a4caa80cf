"""The pathway worker: it owns one genotype, or several in turn, and lets them act and learn.

The life of a gradient: pull the pathway's numbers, act t_max steps in E environments, differentiate, push.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from pathnet_rl import engine, envs
from pathnet_rl.a3c import Rollout, rollout_gradients
from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Coordinator, Store
from pathnet_rl.engine import EngineSize
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import no_modules
from pathnet_rl.rollout import RolloutCollector, collect
from pathnet_rl.run_folder import environment_log
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence
from pathnet_rl.telemetry import Telemetry
from workers.pathway import Pathway

TELL_SECONDS = 1.0
"""How often a worker tells what it has seen."""
MOST_REFUSED_IN_A_ROW = 10
"""Gradients that are no numbers; a worker that has more of them learns no more."""


class PathwayWorker:
    """Runs the pathways it owns, one rollout each in turn, until the task's agent steps are done.

    For each task: `begin_task`, `step` while `working`, `end_task`.

    Args:
        index: the worker's own counter in the store.
        pathways: indices of its pathways in the population; `have` changes them.
        tell: takes what the worker has seen on its way to the metrics hub; nobody waits for it.
    """

    def __init__(
        self,
        config: RunConfig,
        arm: Arm,
        index: int,
        pathways: Sequence[int],
        store: Store,
        coordinator: Coordinator,
        tell: Callable[[Telemetry], None],
    ) -> None:
        self._config, self._arm, self._index = config, arm, index
        self._indices = list(pathways)
        self._store, self._coordinator, self._to_hub = store, coordinator, tell
        self._pathways: list[Pathway | None] = []
        self._refused_in_a_row = 0
        self._task = store.task
        self._telemetry, self._told = Telemetry(self._task), time.monotonic()
        self._untold: deque[tuple[int, Telemetry]] = deque()
        self._ticket = 0

    @property
    def working(self) -> bool:
        """There is something left to do in this task."""
        return not (self._store.over or self._store.stopped)

    @property
    def at_work_on(self) -> str:
        """The task, and the pathway whose turn it was last, for people who look for an error."""
        name = self._config.tasks[self._store.task]
        taken = [pathway for pathway in self._pathways if pathway is not None]
        if not taken:
            return name
        last = self._pathways[self._turn - 1] or taken[-1]
        return f"{name}, pathway {last.index} {last.genotype.to_array().tolist()}"

    def begin_task(self, pathways: Sequence[int] | None = None) -> None:
        """Take up the current task with the genotypes that the coordinator has for this worker.

        Args:
            pathways: to have from now on, if others than before.
        """
        if pathways is not None:
            self._indices = list(pathways)
        self._task = self._store.task
        self._make_engine()
        self._assignments = self._coordinator.assignments(self._indices)
        self._born = [self._store.agent_steps] * len(self._indices)
        self._pathways = [None] * len(self._indices)
        self._turn = 0
        self._telemetry = Telemetry(self._task)
        self._told = time.monotonic()

    def _make_engine(self) -> None:
        store, learning = self._store, self._config.learning
        frozen = store.frozen if SWITCHES[self._arm].frozen_active else no_modules(store.grid.depth)
        widest = self._config.grid.width + max(len(layer) for layer in frozen)
        size = EngineSize(
            pathways=engine.pathways_together(self._config, len(self._indices)),
            modules=min(widest, store.grid.modules),
            steps=learning.rollout_steps,
            environments=learning.environments,
            actions=store.grid.actions[self._task],
        )
        self._engine = engine.make(self._config, store.grid, size)

    def have(self, pathways: Sequence[int]) -> None:
        """Have these pathways from now on, between two steps; what is new begins its evaluation anew."""
        for pathway in set(self._indices) - set(pathways):
            place = self._indices.index(pathway)
            left = self._pathways.pop(place)
            if left is not None:
                left.collector.close()
            del self._indices[place], self._assignments[place], self._born[place]
        new = [pathway for pathway in pathways if pathway not in self._indices]
        self._indices += new
        self._assignments += self._coordinator.assignments(new)
        self._born += [self._store.agent_steps] * len(new)
        self._pathways += [None] * len(new)
        self._turn %= max(1, len(self._indices))
        together = engine.pathways_together(self._config, len(self._indices))
        if together != self._engine.size.pathways:
            self._make_engine()

    def step(self) -> None:
        """One rollout and one push of the next pathways in turn, as many as the engine takes together."""
        together = self._engine.size.pathways
        pathways = [self._pathway(self._turn + i) for i in range(together)]
        self._turn = (self._turn + together) % len(self._pathways)
        self._learn(pathways)
        for pathway in pathways:
            fitness = pathway.evaluation.fitness
            if fitness is not None:
                next_ = self._coordinator.compete(
                    pathway.index, pathway.genotype, fitness, self._store.agent_steps
                )
                if next_.duplicate_in:
                    self._duplicate(pathway.index, next_.duplicate_in)
                pathway.evaluate(next_)
        if time.monotonic() - self._told >= TELL_SECONDS:
            self.tell()
        self._tell_what_is_there()

    def deliver(self) -> None:
        """Wait until the server has what was pushed here, so that what is told next is no news to it."""
        self._store.await_exchange()

    def come_to_rest(self) -> int:
        """Between two steps: if workers are to rest, have everything at the server and tell everything.

        The answer is the hold's number, 0 if there is none; `rest` in it is next, once that has been told.
        """
        hold = self._store.hold
        if hold:
            self.deliver()
            self._telemetry.at_rest = hold
            self.tell()
        return hold

    def rest(self, hold: int) -> None:
        """Wait until this hold is over, or there is nothing to do any more."""
        self._store.await_release(hold)

    def _duplicate(self, pathway: int, layers: Sequence[int]) -> None:
        """Have modules copied over others at this moment of this worker's pushes, on whatever node it is."""
        self._store.await_exchange()
        self._coordinator.duplicate(pathway, layers)
        self._store.await_exchange()

    def end_task(self) -> None:
        """Tell the rest and close the environments."""
        self.tell()
        self.close()

    def close(self) -> None:
        """Close the environments."""
        for pathway in self._pathways:
            if pathway is not None:
                pathway.collector.close()
        self._pathways = []

    def _pathway(self, turn: int) -> Pathway:
        """The pathway whose turn it is; its emulators are created when it first acts."""
        pathway = self._pathways[turn]
        if pathway is None:
            config, index = self._config, self._indices[turn]
            sequence = seed_sequence(
                config.seed, self._arm, Owner.ACTING, self._task, index, self._born[turn]
            )
            environments = envs.make(
                config.tasks[self._task],
                config.learning.environments,
                config,
                environment_log(config),
            )
            collector = RolloutCollector(environments, environment_seed(sequence))
            rng = np.random.default_rng(sequence)
            pathway = Pathway(
                index, self._assignments[turn], collector, rng, config.evolution.episodes
            )
            self._pathways[turn] = pathway
        return pathway

    def _learn(self, pathways: Sequence[Pathway]) -> None:
        """Pull, act, differentiate, push."""
        times = [time.process_time()]
        weights = [self._store.pull(self._task, p.active, p.always) for p in pathways]
        times.append(time.process_time())
        self._engine.load(weights)
        rollouts = collect(
            [pathway.collector for pathway in pathways],
            self._engine,
            self._config.learning.rollout_steps,
            [pathway.rng for pathway in pathways],
        )
        times.append(time.process_time())
        gradients = self._engine.backward(
            [
                self._upstream(place, pathway, rollout)
                for place, (pathway, rollout) in enumerate(zip(pathways, rollouts, strict=True))
            ]
        )
        norms = [g.scale_to_norm(self._config.learning.gradient_norm) for g in gradients]
        times.append(time.process_time())
        for pathway, gradient, norm, rollout in zip(
            pathways, gradients, norms, rollouts, strict=True
        ):
            if not math.isfinite(norm):
                self._refuse(pathway)
                continue
            self._refused_in_a_row = 0
            self._telemetry.gradient_norm += norm
            samples = rollout.actions.size
            rate_factor = pathway.genotype.factors.learning_rate
            self._store.push(
                self._task, pathway.active, gradient, samples, self._index, rate_factor
            )
            self._telemetry.add_update(samples, rollout.episodes, self._store.agent_steps)
            self._ticket = self._store.exchange_ticket
            for episode in rollout.episodes:
                pathway.evaluation.add(episode)
        times.append(time.process_time())
        in_environments = sum(rollout.environment_seconds for rollout in rollouts)
        elsewhere = sum(rollout.elsewhere_seconds for rollout in rollouts)
        self._telemetry.lost += [why for rollout in rollouts for why in rollout.losses]
        pulling, acting, learning, pushing = np.diff(times)
        self._telemetry.add_times(pulling, acting, learning, pushing, in_environments, elsewhere)

    def _upstream(
        self, place: int, pathway: Pathway, rollout: Rollout
    ) -> tuple[engine.Floats, engine.Floats]:
        """The loss's gradient with respect to the logits [B, A] and values [B] of one rollout."""
        outputs = self._engine.outputs(place)
        factor = pathway.genotype.factors.entropy_cost
        scale = self._config.reward_scale_of(self._task)
        logits, values, losses = rollout_gradients(
            rollout, *outputs, self._config.learning, factor, scale
        )
        self._telemetry.add_losses(losses)
        return logits, values

    def _refuse(self, pathway: Pathway) -> None:
        """A gradient that is no number is not pushed, and counted; its agent steps do not count.

        Raises:
            UserError: it is one too many in a row.
        """
        self._telemetry.refused += 1
        self._refused_in_a_row += 1
        if self._refused_in_a_row > MOST_REFUSED_IN_A_ROW:
            evolved = "learning_rate" in self._config.evolution.hyperparameters
            raise UserError(pathway.diverged(self._refused_in_a_row, evolved))

    def tell(self) -> None:
        """Tell the hub what was seen since the last time, once the server has what was pushed.

        Else the rows of a node that dies would be there without their agent steps.
        """
        if self._telemetry.updates:
            self._telemetry.dead_units = self._engine.dead_units()
        self._untold.append((self._ticket, self._telemetry))
        self._telemetry = Telemetry(self._task)
        self._told = time.monotonic()
        self._tell_what_is_there()

    def _tell_what_is_there(self) -> None:
        while self._untold and self._store.exchanged(self._untold[0][0]):
            self._to_hub(self._untold.popleft()[1])
