"""Do things to runs at random moments and see what becomes of them: a table, and what did not hold."""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table

from launch.bench.ray_nodes import start_nodes
from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import write_json
from pathnet_rl.provenance import provenance
from tests.faults.invariants import EPISODE, Invariants
from tests.faults.kinds import HERE, ON_NODES, Kind, Means, NobodyThere
from tests.faults.run import CHECKPOINT_SECONDS, FaultyRun

TASKS = 3

_console = Console(width=150)


@dataclass(frozen=True)
class Options:
    """How much is done."""

    kills: int = 15
    """Faults in all: each kind in turn, in an order of its own for each seed."""
    seed: int = 0
    """Of moments and victims."""
    stop_seconds: float = 4.0
    """How long SIGSTOP lasts."""
    agent_steps: int = 150_000
    """Of each of a run's three tasks."""
    kinds: tuple[str, ...] = ()
    """Only those whose names contain one of these."""
    output: Path | None = None
    """A JSON file of what came of each."""
    folder: Path | None = None
    """Where the runs are, and stay. A temporary one if not given."""


@dataclass
class Fault:
    """What came of one.

    Attributes:
        seconds: until all worked again. lost: agent steps to be learned again, or that lack their episodes.
    """

    kind: str
    task: int
    recovered: bool = False
    seconds: float = 0.0
    lost: int = 0
    failure: str = ""


@dataclass
class Suite:
    """Runs one after the other, each until its tasks are done, and what is done to them."""

    options: Options
    folder: Path
    faults: list[Fault] = field(default_factory=list)
    _again: list[Kind] = field(default_factory=list)
    peak: float = 1.0
    """The highest rate so far, in agent steps a second: on a busy machine it is another each time."""

    def run(self) -> None:
        chosen = random.Random(self.options.seed)
        wanted = [
            kind for kind in (*HERE, *ON_NODES)
            if not self.options.kinds or any(word in kind.name for word in self.options.kinds)
        ]  # fmt: skip
        order = [
            kind for _ in range(self.options.kills) for kind in chosen.sample(wanted, len(wanted))
        ]
        order = order[: self.options.kills]
        for on_nodes in (False, True):
            kinds = [kind for kind in order if (kind in ON_NODES) == on_nodes]
            if kinds:
                self._series(iter(kinds), on_nodes, chosen)

    def _series(self, kinds: Iterator[Kind], on_nodes: bool, chosen: random.Random) -> None:
        """Runs on one machine, or on a cluster of three nodes, until each kind has had its turn."""
        for number in itertools.count():
            with ExitStack() as stack:
                cluster: Any = None
                if on_nodes:
                    cluster = start_nodes(3)
                    stack.callback(cluster.shutdown)
                address = cluster.address if cluster else None
                name = f"{'nodes' if on_nodes else 'here'}-{number}"
                run = FaultyRun(
                    self.folder,
                    name,
                    3 if on_nodes else 2,
                    TASKS,
                    self.options.agent_steps,
                    address,
                )
                stack.callback(run.close)
                means = Means(run, chosen, self.options.stop_seconds, cluster)
                if not self._one_run(means, kinds):
                    return

    def _one_run(self, means: Means, kinds: Iterator[Kind]) -> bool:
        """Do one thing after the other until the run is finished; whether there may be more to do."""
        run = means.run
        run.start()
        run.wait(lambda: run.place() is not None, "the run's block")
        look = Invariants(run.folder, run.cut)
        while self._at_a_moment(means):
            kind = self._again.pop() if self._again else next(kinds, None)
            if kind is None:
                self._finish(means, look)
                return False
            fault = Fault(kind.name, (run.place() or (0, 0))[0])
            self.faults.append(fault)
            try:
                self._do(kind, means, look, fault)
            except (NobodyThere, psutil.NoSuchProcess):
                self.faults.remove(fault)
                self._again.append(kind)
                break
            except AssertionError as error:
                fault.failure = str(error)
                return True
            say(fault)
        self._finish(means, look)
        return True

    def _at_a_moment(self, means: Means) -> bool:
        """Wait for one at random while all work; whether the run has not ended meanwhile."""
        means.run.wait_for_progress()
        time.sleep(means.random.uniform(0.0, 1.5 * CHECKPOINT_SECONDS))
        return means.run.ended is None

    def _do(self, kind: Kind, means: Means, look: Invariants, fault: Fault) -> None:
        run = means.run
        self.peak = max(self.peak, self._rate(run))
        look.untold += kind.telling * self.peak
        look.look()
        lacked, before = look.lacking, run.place() or (0, 0)
        kind.do(means)
        began = time.monotonic()
        if kind.ends:
            run.wait(lambda: False, "the command to end")
            look.look()
            saved = look.folder.latest_state(Arm.PATHNET)
            run.start()
            run.wait(lambda: run.place() is not None, "the run's block")
            run.wait(run.at_work, "workers at work")
            assert run.ended in (None, 0), f"the command ended: {run.said.splitlines()[-3:]}"
            assert saved is not None
            if saved["store"]["task"] == before[0]:
                fault.lost = max(0, before[1] - int(saved["store"]["agent_steps"]))
            fault.seconds = time.monotonic() - began
        else:
            run.wait_for_progress(before)
            fault.seconds = time.monotonic() - began
            assert run.ended in (None, 0), f"the command ended: {run.said.splitlines()[-3:]}"
            looked = look.checkpoints
            while kind.telling and look.checkpoints == looked and run.ended is None:
                time.sleep(0.1)
                look.look()
            fault.lost = max(0, look.lacking - lacked)
        look.look()
        fault.recovered = True

    def _rate(self, run: FaultyRun) -> float:
        """Agent steps a second, just now."""
        while run.ended is None:
            before, began = run.place(), time.monotonic()
            time.sleep(0.3)
            after = run.place()
            if before is not None and after is not None and before[0] == after[0]:
                return (after[1] - before[1]) / (time.monotonic() - began)
        return 0.0

    def _finish(self, means: Means, look: Invariants) -> None:
        """Let the run come to its end, and look at all of it."""
        run = means.run
        run.wait(lambda: run.ended is not None, "the run's end", 600.0)
        assert run.ended == 0, f"the run ended with {run.ended}: {run.said.splitlines()[-3:]}"
        look.look()
        assert (run.path / "summary.json").exists()
        assert EPISODE * len((run.path / "returns.csv").read_text().splitlines()) > 0


def say(fault: Fault) -> None:
    """One line of a fault."""
    _console.print(
        f"{fault.kind} in task {fault.task + 1}: goes on after {fault.seconds:.1f} s, {fault.lost:,} agent"
        f" steps lost{f'; FAILED: {fault.failure}' if fault.failure else ''}",
        highlight=False,
    )


def show(faults: list[Fault]) -> Table:
    """A row a kind."""
    table = Table(title=f"{len(faults)} faults")
    for words in (
        "kind",
        "faults",
        "gone on",
        "seconds, median",
        "worst",
        "steps lost, median",
        "worst",
    ):
        table.add_column(words, justify="left" if words == "kind" else "right")
    for kind in (*HERE, *ON_NODES):
        mine = [fault for fault in faults if fault.kind == kind.name]
        if mine:
            seconds, lost = [f.seconds for f in mine], [f.lost for f in mine]
            table.add_row(
                kind.name, str(len(mine)), str(sum(f.recovered for f in mine)),
                f"{np.median(seconds):.1f}", f"{max(seconds):.1f}",
                f"{np.median(lost):,.0f}", f"{max(lost):,}",
            )  # fmt: skip
    return table


def write(file: Path, options: Options, faults: list[Fault]) -> None:
    """Everything, as JSON."""
    asked = {"kills": options.kills, "seed": options.seed, "stop_seconds": options.stop_seconds}
    told = {"options": asked, "provenance": provenance()}
    write_json(file, {**told, "faults": [vars(fault) for fault in faults]})


def main() -> None:
    """The command line: `python -m tests.faults`."""
    options = tyro.cli(Options, prog="python -m tests.faults", description=__doc__)
    with tempfile.TemporaryDirectory(prefix="pathnet-rl-faults-") as folder:
        suite = Suite(options, options.folder or Path(folder))
        try:
            suite.run()
        finally:
            _console.print(show(suite.faults))
            if options.output is not None:
                write(options.output, options, suite.faults)
    failures = [fault for fault in suite.faults if fault.failure or not fault.recovered]
    for fault in failures:
        _console.print(f"FAILED: {fault.kind}: {fault.failure}", highlight=False, markup=False)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
