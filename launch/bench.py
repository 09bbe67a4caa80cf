"""Measure the whole system beside the emulator alone: agent steps per CPU-second, in one run, as ratios.

Rows: the environments with random actions and no learning; acting without learning; the serial twin; the
whole system on ray (population of 64, learning, tournaments, TensorBoard); and, where it is installed,
Stable-Baselines3's A2C on the same environments with the network of one full pathway. The first three
and A2C have one process a CPU, so that all rows load the machine alike. They take turns, round after
round, so that a machine whose speed drifts is as slow for one as for the other. Those whose turn it is
not are suspended. CPU-seconds are user and system time of all processes of a row.

--scaling measures something else: a population of 256 beside 64, and 1, 3 and 5 frozen pathways beside none.
"""

from __future__ import annotations

import importlib.util
import json
import math
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
from typing import Any

import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from launch.bench_rows import A2C, GAMES, PRESET, ROWS, Row
from launch.presets import PRESETS
from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import write_json
from pathnet_rl.images import image_dtype
from pathnet_rl.run_folder import RunFolder, provenance
from workers.block import block_path
from workers.metrics_hub import PHASES


@dataclass(frozen=True)
class Options:
    """What to measure."""

    games: tuple[str, ...] = tuple(GAMES)
    """Which of pong and riverraid."""
    rounds: int = 3
    """How often each row has its turn; the median counts."""
    seconds: float = 10.0
    """How long a turn lasts, after a second of waking up. Rows report when they wake and 10 seconds later."""
    population: int = 64
    """Pathways of a row, all its processes together."""
    scaling: bool = False
    """Measure what a larger population and frozen pathways cost instead."""
    row: str = ""
    """Used by the program itself: be this row, given as JSON, until killed."""


@dataclass
class Contender:
    """One row at work in process trees of its own."""

    row: Row
    processes: list[subprocess.Popen[bytes]]
    counter: Path
    started: float
    first_rollout: float | None = None
    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peak_pss: float = 0.0

    @classmethod
    def start(cls, row: Row, scratch: Path) -> Contender:
        counter = scratch / f"{row.game}-{row.label}.counter"
        np.zeros(row.processes, dtype=np.int64).tofile(counter)
        started = time.monotonic()
        processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "launch.bench"),
                    *("--row", json.dumps(asdict(replace(row, slot=slot)))),
                ],
                env={**os.environ, "PATHNET_BENCH_COUNTER": str(counter)},
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
            parent = psutil.Process(process.pid)
            found += [parent, *parent.children(recursive=True)]
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

    def warm_up(self) -> None:
        """Run until every emulator exists; note when the first rollout was done."""
        learning = PRESETS[PRESET][1].learning
        rollout = learning.rollout_steps * learning.environments
        pathways = self.row.processes if self.row.kind == A2C else self.row.population
        while self.steps < rollout * pathways * 3 // 2:
            for process in self.processes:
                if process.poll() is not None:
                    sys.exit(f"error: the row {self.row.label} ended with {process.returncode}")
            if self.first_rollout is None and self.steps > 0:
                self.first_rollout = time.monotonic() - self.started
            time.sleep(0.05)
        if self.first_rollout is None:
            self.first_rollout = time.monotonic() - self.started

    def turn(self, seconds: float) -> None:
        """Measure for a while, everybody else being suspended."""
        self.signal_all(signal.SIGCONT)
        time.sleep(1.0)
        steps, cpu, wall = self.steps, self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        steps, cpu, wall = self.steps - steps, self.cpu_seconds() - cpu, time.monotonic() - wall
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

    def milliseconds(self) -> dict[str, float]:
        """CPU time per agent step of each phase, from the row's own TensorBoard events."""
        config = self.row.config(self.processes[0].pid)
        events = EventAccumulator(str(RunFolder(config).events(Arm.PATHNET, 0)))
        events.Reload()
        found = {}
        for phase in PHASES:
            # The first interval is the one in which emulators are made.
            points = [point.value for point in events.Scalars(f"speed/{phase}_milliseconds")]
            found[phase] = statistics.median(points[1:] or points)
        whole = 1000.0 / statistics.median(self.cpu_rates)
        found["ray_and_the_rest"] = max(0.0, whole - sum(found.values()))
        found["idle"] = max(
            0.0, 1000.0 * len(os.sched_getaffinity(0)) / statistics.median(self.rates) - whole
        )
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
            block_path(config, Arm.PATHNET).unlink(missing_ok=True)
            shutil.rmtree(RunFolder(config).path, ignore_errors=True)


def compare(
    rows: Sequence[Row], options: Options, scratch: Path, console: Console
) -> dict[str, tuple[Contender, dict[str, float]]]:
    """All rows in turns, by label, and where the system's time went."""
    contenders: list[Contender] = []
    try:
        for row in rows:
            console.print(f"{row.game}: starting {row.label} ...", highlight=False)
            contender = Contender.start(row, scratch)
            contenders.append(contender)
            contender.warm_up()
            contender.signal_all(signal.SIGSTOP)
        for turn in range(options.rounds):
            console.print(f"{rows[0].game}: round {turn + 1} of {options.rounds}", highlight=False)
            for contender in contenders:
                contender.turn(options.seconds)
        return {
            c.row.label: (c, c.milliseconds() if c.row.kind == "system" else {}) for c in contenders
        }
    finally:
        for contender in contenders:
            contender.end()


def measure_game(game: str, options: Options, scratch: Path, console: Console) -> dict[str, Any]:
    """The rows of one game."""
    cpus = len(os.sched_getaffinity(0))
    kinds = [*ROWS, *([A2C] if importlib.util.find_spec("stable_baselines3") else [])]
    rows = [
        Row(kind, game, options.population, processes=1 if kind == "system" else cpus)
        for kind in kinds
    ]
    measured = compare(rows, options, scratch, console)
    by_kind = {contender.row.kind: contender for contender, _ in measured.values()}
    system = by_kind["system"]
    found: dict[str, Any] = {kind: contender.figures() for kind, contender in by_kind.items()}
    found["system_over_environment"] = system.relative_to(by_kind["environment_only"])
    found["ray_overhead"] = 1.0 - system.relative_to(by_kind["serial"])
    found["system_milliseconds"] = measured[system.row.label][1]
    found["peak_pss_mib"] = system.peak_pss
    found["seconds_to_first_rollout"] = system.first_rollout
    return found


def measure_scaling(game: str, options: Options, scratch: Path, console: Console) -> dict[str, Any]:
    """Populations of P and 4 P on ray; the serial twin beside frozen pathways."""
    found: dict[str, Any] = {}
    population = options.population
    families = (
        [Row("system", game, population), Row("system", game, 4 * population)],
        [Row("serial", game, population, frozen) for frozen in (0, 1, 3, 5)],
    )
    for family in families:
        measured = [c for c, _ in compare(family, options, scratch, console).values()]
        for contender in measured:
            found[contender.row.label] = {
                **contender.figures(),
                "relative": contender.relative_to(measured[0]),
                "peak_pss_mib": contender.peak_pss,
            }
    first, second = (found[row.label]["peak_pss_mib"] for row in families[0])
    found["mib_per_extra_pathway"] = (second - first) / (3 * population)
    return found


def print_rows(console: Console, title: str, found: dict[str, Any], rows: Sequence[str]) -> None:
    """One table, for people."""
    table = Table(title=title)
    for column in ("", "per second", "per CPU-second (lowest-highest)", "CPUs busy"):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        figures = found[row]
        table.add_row(
            row.replace("_", " "),
            f"{figures['agent_steps_per_second']:,.0f}",
            f"{figures['agent_steps_per_cpu_second']:,.0f}"
            f" ({figures['lowest']:,.0f}-{figures['highest']:,.0f})",
            f"{figures['cpus_busy']:.2f}",
        )
    console.print(table)


def print_game(console: Console, game: str, found: dict[str, Any]) -> None:
    """One game's rows, ratios and times."""
    rows = [row for row in (*ROWS, A2C) if row in found]
    print_rows(console, f"{game}: agent steps", found, rows)
    milliseconds = ", ".join(
        f"{phase.replace('_', ' ')} {value:.3f}"
        for phase, value in found["system_milliseconds"].items()
    )
    lines = [
        (
            f"system / environment only: {found['system_over_environment']:.3f}"
            f"   ray overhead: {found['ray_overhead']:.1%}"
        ),
        f"CPU milliseconds of an agent step of the system: {milliseconds}",
        (
            f"peak memory (PSS): {found['peak_pss_mib']:,.0f} MiB"
            f"   first rollout after {found['seconds_to_first_rollout']:.1f} s"
        ),
    ]
    if A2C not in found:
        lines.append("Stable-Baselines3's A2C was not measured: pip install -e '.[bench]'")
    for line in lines:
        console.print(line, highlight=False)


def print_scaling(console: Console, game: str, found: dict[str, Any]) -> None:
    """What a larger population and frozen pathways cost."""
    rows = [label for label, figures in found.items() if isinstance(figures, dict)]
    print_rows(console, f"{game}: agent steps", found, rows)
    for label in rows:
        console.print(f"{label}: {found[label]['relative']:.3f} of the first", highlight=False)
    console.print(
        f"memory of one more pathway: {found['mib_per_extra_pathway']:.1f} MiB", highlight=False
    )


def main() -> None:
    """The command line: `python -m launch.bench`."""
    options = tyro.cli(Options, prog="python -m launch.bench", description=__doc__)
    if options.row:
        Row(**json.loads(options.row)).run()
        return
    unknown = set(options.games) - set(GAMES)
    if unknown or not options.games:
        got = ", ".join(sorted(unknown)) or "none"
        sys.exit(f"error: --games takes {', '.join(GAMES)}, got {got}")
    cpus = len(os.sched_getaffinity(0))
    if options.rounds < 1:
        sys.exit(f"error: --rounds must be at least 1, got {options.rounds}")
    if not 0 < options.seconds < math.inf:
        sys.exit(f"error: --seconds must be a positive number, got {options.seconds}")
    if options.population < cpus:
        sys.exit(f"error: --population must be at least one pathway a CPU, {cpus} here")
    # As an interruption: the rows end with the command.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    output = Path("runs/bench") / ("scaling.json" if options.scaling else "latest.json")
    scratch = output.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    measure, show = (
        (measure_scaling, print_scaling) if options.scaling else (measure_game, print_game)
    )
    games: dict[str, Any] = {}
    try:
        for game in options.games:
            games[game] = measure(game, options, scratch, console)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for game, found in games.items():
        show(console, game, found)
    totals = {}
    if not options.scaling:
        totals = {
            key: max(found[key] for found in games.values())
            for key in ("peak_pss_mib", "seconds_to_first_rollout")
        }
    report = {
        "games": games,
        **totals,
        "first_convolution": str(image_dtype("auto")).removeprefix("torch."),
        "provenance": provenance(),
        "options": asdict(options),
    }
    write_json(output, report)
    console.print(f"written to {output}", highlight=False)


if __name__ == "__main__":
    main()
