"""The metrics hub: the only owner of the TensorBoard writer and of returns.csv."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.checkpoint import cannot_write
from pathnet_rl.config import RunConfig
from pathnet_rl.duplication import Copied
from pathnet_rl.events import make_writer
from pathnet_rl.metrics import LAST_EPISODES, mean_of_last
from pathnet_rl.pictures import draw_grid, pixels
from pathnet_rl.returns_file import ReturnsFile
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import Report, Telemetry
from pathnet_rl.tournament import fittest

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PHASES = ("environment", "acting", "learning", "store")
"""What a worker's CPU time goes to."""

SUMS = (
    "updates", "samples", "policy_loss", "value_loss", "entropy", "gradient_norm",
    *(f"{phase}_seconds" for phase in PHASES),
)  # fmt: skip
"""Fields of Telemetry that add up."""

PICTURES_A_TASK = 50
"""Of the grid. One takes 0.1 CPU-seconds, most of a report, and TensorBoard shows ten of a tag."""


class MetricsHub:
    """Gathers what workers tell, and writes it at every report.

    `deaths` are failures of environments and of their processes, since the command was given.
    """

    def __init__(self, config: RunConfig, arm: Arm) -> None:
        threading.excepthook = _leave_to_the_next_call
        self._config, self._arm = config, arm
        self._genes = config.of(arm).evolution.hyperparameters if SWITCHES[arm].evolve else ()
        evolution = config.of(arm).evolution
        self._duplicates = bool(SWITCHES[arm].evolve and evolution.duplication_rate)
        self._folder = RunFolder(config)
        self._writer: SummaryWriter | None = None
        self._returns = ReturnsFile(self._folder.returns)
        self._last: deque[float] = deque(maxlen=LAST_EPISODES)
        self._lengths: list[int] = []
        self._new: list[float] = []
        self._dead_units: list[float] = []
        self._sums = Telemetry(task=0)
        self.deaths = 0
        self._refused = 0
        self._losses: list[str] = []
        self._said: set[str] = set()
        self._reported = self._pictured = -1

    def begin_task(self, task: int, agent_steps: int) -> None:
        """Write to the events of one task, from `agent_steps` on: what was beyond is superseded."""
        self.close_writer()
        self._last.clear()
        self._start_interval(task)
        self._reported = agent_steps or -1
        self._pictured = self._pictures_until(agent_steps) if agent_steps else -1
        self._writer = make_writer(self._folder.events(self._arm, task), agent_steps)

    def record(self, telemetry: Telemetry) -> None:
        """Take in what a worker has seen."""
        if telemetry.task != self._sums.task:
            return  # From a worker that was cut off in the task before.
        self.deaths += len(telemetry.lost)
        # Of the same failure again only the count says more.
        self._losses += [why for why in dict.fromkeys(telemetry.lost) if why not in self._said]
        self._said.update(telemetry.lost)
        self._refused += telemetry.refused
        for name in SUMS:
            setattr(self._sums, name, getattr(self._sums, name) + getattr(telemetry, name))
        if telemetry.updates:
            self._dead_units.append(telemetry.dead_units)
        for episode in telemetry.episodes:
            self._new.append(episode.episode_return)
            self._lengths.append(episode.length)
            self._last.append(episode.episode_return)
            self._returns.add(
                telemetry.task,
                self._arm.value,
                episode.agent_steps,
                episode.episode_return,
                episode.length,
            )

    def losses(self) -> list[str]:
        """Why episodes were lost that has not been said before."""
        told, self._losses = self._losses, []
        return told

    def mean_return(self) -> float | None:
        """The mean return of the last 100 episodes of the task, or None before the first."""
        return mean_of_last(np.array(self._last))

    def report(self, report: Report) -> None:
        """Write one point of every tag (see `metrics.TAGS`); a tag with nothing to say is left out.

        A second report of the same agent step is none.
        """
        agent_steps, population = report.agent_steps, report.population
        assert self._writer is not None
        if agent_steps <= self._reported:
            return
        self._reported = agent_steps
        scalars: dict[str, float] = {
            "tournament/evaluations": population.evaluations,
            "tournament/overwrites": population.overwrites,
            "tournament/mutated_genes": population.mutated_genes,
            "grid/distinct_modules": len(
                {(layer, m) for g in population.genotypes for layer, a in enumerate(g.active) for m in a}
            ),
            "learning/rate": report.learning_rate,
            "speed/agent_steps_per_second": report.rate,
            "run/updates": report.updates,
            "run/restarts": report.restarts,
            "run/refused_updates": self._refused,
        }  # fmt: skip
        for gene in self._genes:
            factors = [getattr(genotype.factors, gene) for genotype in population.genotypes]
            for words, statistic in (("median", np.median), ("min", np.min), ("max", np.max)):
                scalars[f"hyperparameters/{gene}_{words}"] = float(statistic(factors))
        if self._duplicates:
            scalars["duplication/copies"] = sum(pair.times for pair in population.copied)
        if self._new:
            scalars["episode/return"] = float(np.mean(self._new))
            scalars["episode/length"] = float(np.mean(self._lengths))
            scalars["episode/return_last_100"] = float(np.mean(self._last))
        if self._sums.samples:
            for name in ("policy_loss", "value_loss", "entropy"):
                scalars[f"learning/{name}"] = getattr(self._sums, name) / self._sums.samples
            for phase in PHASES:
                seconds = getattr(self._sums, f"{phase}_seconds")
                scalars[f"speed/{phase}_milliseconds"] = 1000.0 * seconds / self._sums.samples
            scalars["learning/gradient_norm"] = self._sums.gradient_norm / self._sums.updates
            scalars["grid/dead_units"] = float(np.mean(self._dead_units))
        if report.exchanges.exchanges:
            told = report.exchanges
            scalars["exchange/milliseconds"] = 1000.0 * told.seconds / told.exchanges
            scalars["exchange/interval_milliseconds"] = 1000.0 * told.between / told.exchanges
            scalars["exchange/staleness"] = told.staleness / told.exchanges
            scalars["exchange/kilobytes_sent"] = told.bytes_sent / 1000.0 / told.exchanges
            scalars["exchange/kilobytes_received"] = told.bytes_received / 1000.0 / told.exchanges
        evaluated = population.fitness[np.isfinite(population.fitness)]
        best = None
        if len(evaluated):
            best = population.genotypes[fittest(population.fitness)]
            scalars["fitness/best"] = float(evaluated.max())
            scalars["fitness/mean"] = float(evaluated.mean())
        with self._writing():
            if len(evaluated):
                self._writer.add_histogram("fitness/distribution", evaluated, agent_steps)
            for tag, value in scalars.items():
                self._writer.add_scalar(tag, value, agent_steps)
            if population.copied:
                self._writer.add_text("duplication/which", _table(population.copied), agent_steps)
            due = self._pictures_until(agent_steps)
            if due > self._pictured:
                self._pictured = due
                grid = self._config.grid
                figure = draw_grid(
                    population.genotypes, len(grid.layers), grid.modules, report.frozen, best,
                    f"{self._arm.value}, task {self._sums.task + 1}, {agent_steps:,} agent steps",
                    population.copied,
                )  # fmt: skip
                self._writer.add_image(
                    "grid/modules", pixels(figure), agent_steps, dataformats="HWC"
                )
        self._start_interval(self._sums.task)
        self.flush()

    def _pictures_until(self, agent_steps: int) -> int:
        """How many pictures of the grid are due by then, the first apart; the last is at the end."""
        budget = self._config.steps_of(self._sums.task)
        return min(agent_steps * PICTURES_A_TASK // budget, PICTURES_A_TASK)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what a full disk says into one line."""
        try:
            yield
        except OSError as error:
            raise cannot_write(self._folder.path / "tensorboard", error) from error

    def _start_interval(self, task: int) -> None:
        self._sums = Telemetry(task)
        self._new, self._lengths, self._dead_units = [], [], []

    def flush(self) -> None:
        """Put everything on disk that has been told."""
        self._returns.flush()
        if self._writer is not None:
            with self._writing():
                self._writer.flush()

    def state(self) -> dict[str, Any]:
        """How far returns.csv reaches, and the last returns, as JSON values."""
        return {**self._returns.state(), "last_returns": list(self._last)}

    def load_state(self, state: dict[str, Any]) -> int:
        """Go on from a checkpoint: rows that came after it are cut off, since they come again; how many.

        Raises:
            UserError: rows that came before it are missing, or are not what was written.
        """
        self._last.extend(state["last_returns"])
        return self._returns.go_on(state)

    def close_writer(self) -> None:
        """Close the events of the current task."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with self._writing():
                writer.close()

    def close(self) -> None:
        """Flush and close everything."""
        self.close_writer()
        self._returns.close()


def _leave_to_the_next_call(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread keeps its error for the next call, which says it in one line."""
    if type(failure.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(failure)


def _table(copied: Sequence[Copied]) -> str:
    """What was copied over what, the last first, as TensorBoard shows tables."""
    rows = [f"| {one.layer} | {one.source} | {one.target} | {one.times} |" for one in copied]
    return "\n".join(["| layer | module | over | times |", "|---|---|---|---|", *reversed(rows)])
