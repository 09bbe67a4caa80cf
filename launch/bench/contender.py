"""Rows of the benchmark at work, each in process trees of its own, taking turns on one machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from launch.bench.rows import A2C, CREWS, Row
from pathnet_rl.arms import Arm
from pathnet_rl.block_files import remove_blocks_of
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.run_folder import RunFolder
from workers.metrics_hub import PHASES

WAKING_SECONDS = 1.0
SILENT_SHARE = 0.4
"""A turn of a row that writes no reports, in turns of one that does."""
REPORT_SECONDS = 120.0
"""How long a row at work may take to its first report."""


@dataclass
class Contender:
    """One row at work."""

    row: Row
    processes: list[subprocess.Popen[bytes]]
    counter: Path
    started: float
    first_rollout: float | None = None
    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peak_pss: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, row: Row, scratch: Path) -> Contender:
        counter = scratch / f"{row.game}-{row.label}.counter"
        np.zeros(row.processes, dtype=np.int64).tofile(counter)
        started = time.monotonic()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "launch.bench", "--row", as_json(replace(row, slot=slot))],
                cwd=row.checkout or None,
                env={**os.environ, "PATHNET_BENCH_COUNTER": str(counter.resolve())},
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            for slot in range(row.processes)
        ]
        return cls(row, processes, counter, started)

    @property
    def steps(self) -> int:
        return int(np.fromfile(self.counter, dtype=np.int64).sum())

    def tree(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in self.processes:
            try:
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def cpu_seconds(self) -> float:
        total = 0.0
        for process in self.tree():
            try:
                times = process.cpu_times()
                total += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return total

    def signal_all(self, number: int) -> None:
        for process in self.tree():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def check(self) -> None:
        """End the benchmark if a process of the row has ended."""
        for process in self.processes:
            if process.poll() is not None:
                ended = f"the row {self.row.label} ended with {process.returncode}"
                if process.returncode == 0:
                    ended += f", its {self.steps:,} agent steps done; lower --rounds or --seconds"
                sys.exit(f"error: {ended}")

    def warm_up(self) -> None:
        """Run until every emulator exists; note when the first rollout was done."""
        learning = self.row.config(0).learning
        rollout = learning.rollout_steps * learning.environments
        pathways = self.row.processes if self.row.kind == A2C else self.row.population
        while self.steps < rollout * pathways * 3 // 2:
            self.check()
            if self.first_rollout is None and self.steps > 0:
                self.first_rollout = time.monotonic() - self.started
            time.sleep(0.05)
        if self.first_rollout is None:
            self.first_rollout = time.monotonic() - self.started

    def turn(self, seconds: float) -> None:
        """Measure for a while, everybody else being suspended."""
        if self.row.kind not in CREWS:
            seconds *= SILENT_SHARE
        self.signal_all(signal.SIGCONT)
        time.sleep(WAKING_SECONDS)
        steps, cpu, wall = self.steps, self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        steps, cpu, wall = self.steps - steps, self.cpu_seconds() - cpu, time.monotonic() - wall
        self.check()
        self.rates.append(steps / wall)
        self.cpu_rates.append(steps / cpu)
        self.busy.append(cpu / wall)
        self.peak_pss = max(self.peak_pss, self.pss())
        self.signal_all(signal.SIGSTOP)

    def pss(self) -> float:
        """Proportional set size of the tree, in MiB."""
        total = 0
        for process in self.tree():
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return total / 2**20

    def figures(self) -> dict[str, float]:
        """Medians of the turns."""
        return {
            "agent_steps_per_second": statistics.median(self.rates),
            "agent_steps_per_cpu_second": statistics.median(self.cpu_rates),
            "lowest": min(self.cpu_rates),
            "highest": max(self.cpu_rates),
            "cpus_busy": statistics.median(self.busy),
        }

    def relative_to(self, other: Contender) -> float:
        """This row's agent steps per CPU-second over another's: the median of the rounds' ratios."""
        return statistics.median(
            mine / theirs for mine, theirs in zip(self.cpu_rates, other.cpu_rates, strict=True)
        )

    def read_phases(self) -> None:
        """CPU milliseconds of an agent step by phase, from a crew's own TensorBoard events.

        On a slow machine its turns may have been too short for a first report: it goes on until there is one.
        """
        config = self.row.config(self.processes[0].pid)
        events = EventAccumulator(str(RunFolder(config).events(Arm.PATHNET, 0)))
        tags = {phase: f"speed/{phase}_milliseconds" for phase in PHASES}
        deadline = time.monotonic() + REPORT_SECONDS
        self.signal_all(signal.SIGCONT)
        while not set(tags.values()) <= set(events.Reload().Tags()["scalars"]):
            self.check()
            if time.monotonic() > deadline:
                sys.exit(
                    f"error: the row {self.row.label} reported nothing in {REPORT_SECONDS:.0f} s"
                )
            time.sleep(0.2)
        self.signal_all(signal.SIGSTOP)
        for phase, tag in tags.items():
            # The first interval is the one in which emulators are made.
            points = [point.value for point in events.Scalars(tag)]
            self.phases[phase] = statistics.median(points[1:] or points)

    def milliseconds(self) -> dict[str, float]:
        """Where the CPU time of an agent step goes on ray."""
        found = dict(self.phases)
        whole = 1000.0 / statistics.median(self.cpu_rates)
        found["ray_and_the_rest"] = max(0.0, whole - sum(found.values()))
        found["idle"] = max(0.0, 1000.0 * usable_cpus() / statistics.median(self.rates) - whole)
        return found

    def end(self) -> None:
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        for started in self.processes:
            started.wait()
            config = self.row.config(started.pid)
            remove_blocks_of(config, Arm.PATHNET)
            shutil.rmtree(RunFolder(config).path, ignore_errors=True)


def as_json(row: Row) -> str:
    """A row for the process that is to be it, in its own checkout."""
    fields = asdict(row)
    if row.checkout:  # It is there, and an older version may not know these fields.
        del fields["checkout"], fields["engine"]
    return json.dumps(fields)


def compare(
    rows: Sequence[Row], rounds: int, seconds: float, scratch: Path, console: Console
) -> list[Contender]:
    """All rows in turns."""
    contenders: list[Contender] = []
    try:
        for row in rows:
            console.print(f"{row.game}: starting {row.label} ...")
            contender = Contender.start(row, scratch)
            contenders.append(contender)
            contender.warm_up()
            contender.signal_all(signal.SIGSTOP)
        for turn in range(rounds):
            console.print(f"{rows[0].game}: round {turn + 1} of {rounds}")
            for contender in contenders:
                contender.turn(seconds)
        for contender in contenders:
            if contender.row.kind in CREWS:
                contender.read_phases()
        return contenders
    finally:
        for contender in contenders:
            contender.end()
