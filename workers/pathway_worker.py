"""The pathway worker: it owns one genotype, or several in turn, and lets them act and learn.

The life of a gradient: pull the pathway's numbers, act t_max steps in E environments, differentiate, push.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from pathnet_rl import envs
from pathnet_rl.a3c import loss_gradients, n_step_returns
from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.engine.compiled.network import PathwayNetwork
from pathnet_rl.engine.torch_engine import GroupedNetwork
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype, no_modules
from pathnet_rl.pathway_weights import PathwayWeights
from pathnet_rl.rollout import Episode, Floats, Rollout, RolloutCollector, collect_together
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence
from pathnet_rl.telemetry import EpisodeRecord, Telemetry
from workers.interfaces import Coordinator, Hub, Store

TELL_SECONDS = 1.0
"""How often a worker tells the hub what it has seen."""


class Evaluation:
    """The T episodes that make a genotype's fitness, shared out over E environments.

    Which episodes count is settled beforehand (the first T/E that each environment begins with this
    genotype): counting whichever T end first would favour short ones.
    """

    def __init__(self, episodes: int, environments: int) -> None:
        share, rest = divmod(episodes, environments)
        self._missing = np.full(environments, share)
        self._missing[:rest] += 1
        self._returns: list[float] = []

    def add(self, episode: Episode) -> None:
        """Count an episode if it is one of the T."""
        if episode.whole and self._missing[episode.environment] > 0:
            self._missing[episode.environment] -= 1
            self._returns.append(episode.episode_return)

    @property
    def fitness(self) -> float | None:
        """The mean raw return of the T episodes, or None while some are missing.

        The paper adds the returns up; T is the same for all, so the order is the same.
        """
        return None if self._missing.any() else float(np.mean(self._returns))


class Pathway:
    """One member of the population at work: its genotype, its environments, its evaluation."""

    def __init__(
        self,
        genotype: Genotype,
        collector: RolloutCollector,
        rng: np.random.Generator,
        episodes: int,
    ) -> None:
        self._episodes = episodes
        self.collector = collector
        self.rng = rng
        self.evaluate(genotype)

    def evaluate(self, genotype: Genotype) -> None:
        """Begin T episodes with a genotype."""
        self.genotype = genotype
        self.active = genotype.active
        self.evaluation = Evaluation(self._episodes, self.collector.environments.count)
        self.collector.new_genotype()


class PathwayWorker:
    """Runs the pathways it owns, one rollout each in turn, until the task's agent steps are done.

    For each task: `begin_task`, `step` while `working`, `end_task`.

    Args:
        index: the worker's own counter in the store.
        pathways: indices of its pathways in the population.
    """

    def __init__(
        self,
        config: RunConfig,
        arm: Arm,
        index: int,
        pathways: Sequence[int],
        store: Store,
        coordinator: Coordinator,
        hub: Hub,
    ) -> None:
        self._config, self._arm, self._index = config, arm, index
        self._indices = list(pathways)
        self._store, self._coordinator, self._hub = store, coordinator, hub
        self._pathways: list[Pathway | None] = []

    @property
    def working(self) -> bool:
        """There is something left to do in this task."""
        return not (self._store.over or self._store.stopped)

    def begin_task(self) -> None:
        """Take up the current task with the genotypes that the coordinator has for this worker."""
        store, learning = self._store, self._config.learning
        self._task = store.task
        frozen = store.frozen
        self._always = frozen if SWITCHES[self._arm].frozen_active else no_modules(store.grid.depth)
        widest = self._config.grid.width + max(len(layer) for layer in self._always)
        sizes = (
            store.grid,
            min(widest, store.grid.modules),
            learning.rollout_steps,
            learning.environments,
            store.grid.actions[self._task],
        )
        self._grouped: GroupedNetwork | None = None
        if self._config.acts_grouped:
            groups = len(self._indices)
            self._grouped = GroupedNetwork(*sizes, groups, self._config.device)
        else:
            self._network = PathwayNetwork(*sizes)
        self._genotypes = self._coordinator.genotypes(self._indices)
        self._born = store.agent_steps
        self._pathways = [None] * len(self._indices)
        self._turn = 0
        self._telemetry = Telemetry(self._task)
        self._told = time.monotonic()

    def step(self) -> None:
        """One rollout and one push of the next pathway in turn, or of all that act grouped."""
        together = self._grouped is not None
        turns = range(len(self._pathways)) if together else [self._turn]
        pathways = [self._pathway(turn) for turn in turns]
        self._learn(pathways, [self._indices[turn] for turn in turns])
        for turn, pathway in zip(turns, pathways, strict=True):
            fitness = pathway.evaluation.fitness
            if fitness is not None:
                pathway.evaluate(self._coordinator.report(self._indices[turn], fitness))
        self._turn = (self._turn + 1) % len(self._pathways)
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._tell()

    def end_task(self) -> None:
        """Tell the rest and close the environments."""
        self._tell()
        for pathway in self._pathways:
            if pathway is not None:
                pathway.collector.close()
        self._pathways = []

    def _pathway(self, turn: int) -> Pathway:
        """The pathway whose turn it is; its emulators are created when it first acts."""
        pathway = self._pathways[turn]
        if pathway is None:
            config = self._config
            sequence = seed_sequence(
                config.seed, self._arm, Owner.ACTING, self._task, self._indices[turn], self._born
            )
            environments = envs.make(
                config.tasks[self._task], config.learning.environments, config.protocol
            )
            collector = RolloutCollector(environments, environment_seed(sequence))
            pathway = Pathway(
                self._genotypes[turn],
                collector,
                np.random.default_rng(sequence),
                config.evolution.episodes,
            )
            self._pathways[turn] = pathway
        return pathway

    def _learn(self, pathways: Sequence[Pathway], indices: Sequence[int]) -> None:
        """Pull, act, differentiate, push: one pathway, or all that act grouped."""
        learning, telemetry = self._config.learning, self._telemetry
        began = time.process_time()
        weights = [self._store.pull(self._task, p.active, self._always) for p in pathways]
        pulled = time.process_time()
        rollouts = self._act(pathways, weights)
        acted = time.process_time()
        upstream = []
        for group, rollout in enumerate(rollouts):
            rewards = rollout.rewards.clip(-1.0, 1.0) if learning.clip_rewards else rollout.rewards
            returns = n_step_returns(
                rewards,
                rollout.terminated,
                rollout.truncated,
                rollout.final_values,
                rollout.bootstrap,
                learning.discount,
            )
            logits, values = self._outputs(group)
            with np.errstate(over="ignore", invalid="ignore"):  # Not finite: refused below.
                gradient_logits, gradient_values, losses = loss_gradients(
                    logits,
                    values,
                    rollout.actions.reshape(-1),
                    returns.reshape(-1),
                    learning.entropy_cost,
                    learning.value_weight,
                )
            upstream.append((gradient_logits, gradient_values))
            telemetry.policy_loss += losses.policy
            telemetry.value_loss += losses.value
            telemetry.entropy += losses.entropy
        gradients = self._differentiate(upstream)
        for index, one in zip(indices, gradients, strict=True):
            norm = one.scale_to_norm(learning.gradient_norm)
            if not math.isfinite(norm):
                raise UserError(
                    f"learning diverged: the gradient of pathway {index} is not finite;"
                    " lower --learning.learning-rate, under another --name"
                )
            telemetry.gradient_norm += norm
        learned = time.process_time()
        for pathway, one, rollout in zip(pathways, gradients, rollouts, strict=True):
            samples = rollout.actions.size
            self._store.push(self._task, pathway.active, one, samples, self._index)
            telemetry.updates += 1
            telemetry.samples += samples
            for episode in rollout.episodes:
                pathway.evaluation.add(episode)
                telemetry.episodes.append(
                    EpisodeRecord(self._store.agent_steps, episode.episode_return, episode.length)
                )
        in_environments = sum(rollout.environment_seconds for rollout in rollouts)
        telemetry.environment_seconds += in_environments
        telemetry.acting_seconds += acted - pulled - in_environments
        telemetry.learning_seconds += learned - acted
        telemetry.store_seconds += pulled - began + time.process_time() - learned

    def _act(self, pathways: Sequence[Pathway], weights: Sequence[PathwayWeights]) -> list[Rollout]:
        steps = self._config.learning.rollout_steps
        if self._grouped is not None:
            self._grouped.load(weights)
            collectors = [pathway.collector for pathway in pathways]
            generators = [pathway.rng for pathway in pathways]
            return collect_together(collectors, self._grouped, steps, generators)
        self._network.load(weights[0])
        return [pathways[0].collector.collect(self._network, steps, pathways[0].rng)]

    def _outputs(self, group: int) -> tuple[Floats, Floats]:
        return (
            self._grouped.outputs(group) if self._grouped is not None else self._network.outputs()
        )

    def _differentiate(self, upstream: Sequence[tuple[Floats, Floats]]) -> list[PathwayWeights]:
        if self._grouped is not None:
            return self._grouped.backward([u[0] for u in upstream], [u[1] for u in upstream])
        return [self._network.backward(*upstream[0])]

    def _tell(self) -> None:
        if self._telemetry.updates:
            network = self._network if self._grouped is None else self._grouped
            self._telemetry.dead_units = network.dead_units()
        self._hub.record(self._telemetry)
        self._telemetry = Telemetry(self._task)
        self._told = time.monotonic()
