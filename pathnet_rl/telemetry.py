"""What roles tell one another about a run: plain data, cheap to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.a3c import Losses
from pathnet_rl.duplication import Copied
from pathnet_rl.genotype import ActiveModules, Genotype
from pathnet_rl.hyperparameters import AS_CONFIGURED, Factors
from pathnet_rl.metrics import forgetting


@dataclass(frozen=True)
class Episode:
    """A finished episode: its raw return, its length in agent steps, the environment it was in.

    `whole` is False for an episode that another genotype began.
    """

    episode_return: float
    length: int
    environment: int
    whole: bool


@dataclass(frozen=True)
class EpisodeRecord:
    """A finished episode and the agent steps of the task (all workers) when it finished."""

    agent_steps: int
    episode_return: float
    length: int


@dataclass
class Telemetry:
    """What one worker has seen since it last told; sums over `updates` rollouts of `samples` steps.

    `dead_units` is that of the last rollout alone. Times are CPU-seconds of the worker's process, and of
    those that environments have of their own. `lost`: why episodes were. `refused`: how many gradients.
    `at_rest`: the number of the hold (`Block.hold`) that the worker rests in, having told everything.
    """

    task: int
    updates: int = 0
    samples: int = 0
    policy_loss: float = 0.0
    value_loss: float = 0.0
    entropy: float = 0.0
    gradient_norm: float = 0.0
    dead_units: float = 0.0
    environment_seconds: float = 0.0
    acting_seconds: float = 0.0
    learning_seconds: float = 0.0
    store_seconds: float = 0.0
    episodes: list[EpisodeRecord] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    at_rest: int = 0

    def add_update(self, samples: int, episodes: Sequence[Episode], agent_steps: int) -> None:
        """Count a rollout that was pushed; `agent_steps` are the task's after the push."""
        self.updates += 1
        self.samples += samples
        for episode in episodes:
            record = EpisodeRecord(agent_steps, episode.episode_return, episode.length)
            self.episodes.append(record)

    def add_losses(self, losses: Losses) -> None:
        """Add those of a rollout."""
        self.policy_loss += losses.policy
        self.value_loss += losses.value
        self.entropy += losses.entropy

    def add_times(
        self,
        pulling: float,
        acting: float,
        learning: float,
        pushing: float,
        environments: float,
        elsewhere: float,
    ) -> None:
        """Add CPU-seconds; those of environments in this process are part of `acting` here."""
        self.environment_seconds += environments + elsewhere
        self.acting_seconds += acting - environments
        self.learning_seconds += learning
        self.store_seconds += pulling + pushing


@dataclass(frozen=True)
class Exchanges:
    """Sums over so many exchanges between nodes and the parameter server.

    Attributes:
        seconds: from what a node told until it had taken the answer. between: from one to the next.
        staleness: pushes of others between two.
        bytes_sent, bytes_received: numbers, by the node.
    """

    exchanges: int = 0
    seconds: float = 0.0
    between: float = 0.0
    staleness: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0

    def __add__(self, other: Exchanges) -> Exchanges:
        return Exchanges(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class PopulationSnapshot:
    """The population at one moment.

    Attributes:
        genotypes: P of them. fitness: [P], mean return over T episodes, -inf while unevaluated.
        evaluations: genotypes judged in this task. overwrites: how many lost to a rival.
        mutated_genes: genes that changed when losers were overwritten.
        lineages: which each pathway is of. copied: which module was copied over which in this task.
    """

    genotypes: tuple[Genotype, ...]
    fitness: NDArray[np.float64]
    evaluations: int
    overwrites: int
    mutated_genes: int
    lineages: tuple[str, ...] = ()
    copied: tuple[Copied, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """What a pathway is to evaluate: a genotype, and the frozen modules that are active beside it.

    `duplicate_in`: layers in which a module is to be copied over another before it begins.
    """

    genotype: Genotype
    always: ActiveModules
    duplicate_in: tuple[int, ...] = ()


@dataclass(frozen=True)
class Report:
    """Where the current task stands: a point of every tag of TensorBoard, beside what workers have told.

    Attributes:
        agent_steps, updates: done in this task by all workers. learning_rate: at this moment.
        rate: agent steps a second since the last report.
        restarts: of workers, and of environments that failed, since the command was given.
        exchanges: of other nodes with the parameter server, since the last report.
    """

    agent_steps: int
    updates: int
    learning_rate: float
    rate: float
    restarts: int
    frozen: ActiveModules
    population: PopulationSnapshot
    exchanges: Exchanges = Exchanges()


@dataclass(frozen=True)
class FinishedTask:
    """What is needed to replay a finished task.

    Attributes:
        task: its number, from 0.
        name: its name in the configuration.
        agent_steps: those it was trained for.
        path: the modules of its best pathway. always: those that were active beside it.
        fitness: of that pathway: as its worker had it, or in its own replay, if finalists played again.
        builds_on: for each task before it, whether what that was solved with was active beside it.
        factors: of the hyperparameters that it learned with.
    """

    task: int
    name: str
    agent_steps: int
    path: ActiveModules
    always: ActiveModules
    fitness: float
    builds_on: tuple[bool, ...] = ()
    factors: Factors = AS_CONFIGURED


@dataclass(frozen=True)
class GreedyReturns:
    """One return an episode; `cut` of them were stopped at the limit of agent steps."""

    returns: tuple[float, ...]
    cut: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.returns))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> GreedyReturns:
        """What was saved as JSON values."""
        return cls(tuple(state["returns"]), state["cut"])


@dataclass(frozen=True)
class TaskResult:
    """A finished task and its greedy returns: right after it, after later tasks, and after all of its arm.

    Attributes:
        after_later: after each later task but the last, in their order.
    """

    finished: FinishedTask
    after_task: GreedyReturns
    after_all: GreedyReturns | None = None
    after_later: tuple[GreedyReturns, ...] = ()

    @property
    def forgetting(self) -> float | None:
        """How much greedy return was lost to later tasks; None until they are done."""
        if self.after_all is None:
            return None
        return forgetting(np.array(self.after_task.returns), np.array(self.after_all.returns))

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TaskResult:
        """What `state` returned."""
        fields = dict(state["finished"])
        for name in ("path", "always"):
            fields[name] = tuple(tuple(layer) for layer in fields[name])
        # A run of an older version has no such genes: there, all that was frozen always was active.
        fields["builds_on"] = tuple(fields.get("builds_on", (True,) * fields["task"]))
        fields["factors"] = Factors(**fields.get("factors", {}))

        after_task, *after_later = map(
            GreedyReturns.from_state, (state["after_task"], *state.get("after_later", ()))
        )
        after_all = GreedyReturns.from_state(state["after_all"]) if state["after_all"] else None
        return cls(FinishedTask(**fields), after_task, after_all, tuple(after_later))
