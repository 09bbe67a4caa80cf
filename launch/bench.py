"""Measure the whole system beside the emulator alone: agent steps per CPU-second, in one run, as ratios.

Rows: the environments with random actions and no learning; acting without learning; the serial twin; the
whole system on ray (population of 64, learning, tournaments, TensorBoard). They take turns, round after
round, so that a machine whose speed drifts is as slow for one as for the other. Those whose turn it is not
are suspended. CPU-seconds are user and system time of all processes of a row.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table

from launch.presets import PRESETS
from launch.train import build_grid
from pathnet_rl import envs
from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import write_json
from pathnet_rl.config import MOST_AGENT_STEPS, RunConfig
from pathnet_rl.genotype import Genotype, no_modules
from pathnet_rl.network import PathwayNetwork
from pathnet_rl.rollout import RolloutCollector
from pathnet_rl.run_folder import provenance
from pathnet_rl.store import GridStore
from workers.block import block_path

GAMES = {"pong": "ALE/Pong-v5", "riverraid": "ALE/Riverraid-v5"}
ROWS = ("environment_only", "acting", "serial", "system")
ENDLESS = MOST_AGENT_STEPS


@dataclass(frozen=True)
class Options:
    """What to measure."""

    games: tuple[str, ...] = tuple(GAMES)
    """Which of pong and riverraid."""
    rounds: int = 3
    """How often each row has its turn; the median counts."""
    seconds: float = 8.0
    """How long a turn lasts."""
    population: int = 64
    """Pathways of the serial twin and the whole system."""
    only: str = ""
    """Used by the program itself: be this one row of the first game until stopped."""


def config_for(game: str, population: int, row: str, process: int) -> RunConfig:
    """The pong preset on one game, without an end; `process` is the id of the row's process."""
    base = PRESETS["pong"][1]
    return base.model_copy(
        update={
            "name": f"bench-{game}-{row}-{process}",
            "tasks": (GAMES[game],),
            "agent_steps": (ENDLESS,),
            "arms": (Arm.PATHNET,),
            "evolution": base.evolution.model_copy(update={"population": population}),
        }
    )


# The rows: each runs in a process of its own and prints its agent steps when it is asked to -------


def run_environments(config: RunConfig) -> None:
    """Random actions in the environments of a population, one rollout's length at a time."""
    rng = np.random.default_rng(config.seed)
    count = config.learning.environments
    population = [envs.make(config.tasks[0], count, config.protocol) for _ in range(8)]
    for environments in population:
        environments.reset(config.seed)
    counter = _Counter()
    while True:
        for environments in population:
            actions = rng.integers(0, environments.actions, (config.learning.rollout_steps, count))
            for step in actions:
                environments.step(step)
            counter.add(actions.size)


def run_acting(config: RunConfig) -> None:
    """Pathways that act and do not learn."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(config.seed)
    grid = build_grid(config)
    path = Path(f"/dev/shm/{config.name}.block")
    store = GridStore.create(path, grid, config.learning)
    path.unlink()
    store.initialise(grid.all_modules(), rng)
    store.begin_task(0, ENDLESS)
    learning = config.learning
    network = PathwayNetwork(
        grid, config.grid.width, learning.rollout_steps, learning.environments, grid.actions[0]
    )
    population = [
        (
            Genotype.random(rng, grid.depth, grid.modules, config.grid.width),
            RolloutCollector(envs.make(config.tasks[0], learning.environments, config.protocol), i),
        )
        for i in range(8)
    ]
    counter = _Counter()
    while True:
        for genotype, collector in population:
            network.load(store.pull(0, genotype.active, no_modules(grid.depth)))
            rollout = collector.collect(network, learning.rollout_steps, rng)
            counter.add(rollout.actions.size)


def run_crew(config: RunConfig, serial: bool) -> None:
    """The serial twin or the whole system, learning, reporting and saving nothing."""
    from pathnet_rl.run_folder import RunFolder

    folder = RunFolder(config)
    folder.open()
    grid = build_grid(config)
    if serial:
        from workers.serial import SerialCrew

        crew: Any = SerialCrew(config, Arm.PATHNET, grid)
    else:
        from workers.ray_crew import RayCrew, connect

        crew = RayCrew(config, Arm.PATHNET, grid, connect(config))
    counter = _Counter()
    crew.server.begin_first_task(0)
    crew.hub.begin_task(0, 0)
    crew.start()
    report = time.monotonic()
    while not crew.wait(0.2):
        store = crew.store
        counter.set(store.agent_steps)
        if time.monotonic() - report >= config.report_seconds:
            report = time.monotonic()
            crew.hub.report(
                store.agent_steps, store.updates, store.learning_rate, 0.0, 0, store.frozen,
                crew.coordinator.snapshot(),
            )  # fmt: skip


class _Counter:
    """Writes agent steps to the file that the parent reads."""

    def __init__(self) -> None:
        self._file = np.memmap(os.environ["PATHNET_BENCH_COUNTER"], dtype=np.int64, mode="r+")

    def add(self, steps: int) -> None:
        self._file[0] += steps

    def set(self, steps: int) -> None:
        self._file[0] = steps


# The parent: turns, CPU-seconds, ratios -----------------------------------------------------------


@dataclass
class Contender:
    """One row at work in a process tree of its own."""

    row: str
    game: str
    process: subprocess.Popen[bytes]
    counter: Path
    started: float
    first_rollout: float | None = None
    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peak_pss: float = 0.0

    @classmethod
    def start(cls, row: str, game: str, population: int, scratch: Path) -> Contender:
        counter = scratch / f"{row}-{game}.counter"
        np.zeros(1, dtype=np.int64).tofile(counter)
        command = [sys.executable, "-m", "launch.bench", "--only", row, "--games", game]
        process = subprocess.Popen(
            [*command, "--population", str(population)],
            env={**os.environ, "PATHNET_BENCH_COUNTER": str(counter)},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls(row, game, process, counter, time.monotonic())

    @property
    def steps(self) -> int:
        return int(np.fromfile(self.counter, dtype=np.int64)[0])

    def tree(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

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

    def warm_up(self, steps: int) -> None:
        """Run until every emulator exists; note when the first rollout was done."""
        while self.steps < steps:
            if self.process.poll() is not None:
                raise SystemExit(f"error: the row {self.row} ended with {self.process.returncode}")
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

    def end(self) -> None:
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()
        config = config_for(self.game, 1, self.row, self.process.pid)
        block_path(config, Arm.PATHNET).unlink(missing_ok=True)


def measure_game(game: str, options: Options, scratch: Path, console: Console) -> dict[str, Any]:
    """All rows of one game, in turns."""
    contenders: list[Contender] = []
    try:
        learning = PRESETS["pong"][1].learning
        round_of_all = options.population * learning.rollout_steps * learning.environments
        for row in ROWS:
            console.print(f"{game}: starting {row} ...", highlight=False)
            contender = Contender.start(row, game, options.population, scratch)
            contenders.append(contender)
            contender.warm_up(round_of_all * 3 // 2)
            contender.signal_all(signal.SIGSTOP)
        for turn in range(options.rounds):
            console.print(f"{game}: round {turn + 1} of {options.rounds}", highlight=False)
            for contender in contenders:
                contender.turn(options.seconds)
    finally:
        for contender in contenders:
            contender.end()
    found: dict[str, Any] = {
        c.row: {
            "agent_steps_per_second": statistics.median(c.rates),
            "agent_steps_per_cpu_second": statistics.median(c.cpu_rates),
            "lowest": min(c.cpu_rates),
            "highest": max(c.cpu_rates),
            "cpus_busy": statistics.median(c.busy),
        }
        for c in contenders
    }
    by_row = {c.row: c for c in contenders}
    paired = {
        row: statistics.median(
            d / other
            for d, other in zip(by_row["system"].cpu_rates, by_row[row].cpu_rates, strict=True)
        )
        for row in ("environment_only", "serial")
    }
    found["system_over_environment"] = paired["environment_only"]
    found["ray_overhead"] = 1.0 - paired["serial"]
    found["peak_pss_mib"] = by_row["system"].peak_pss
    found["seconds_to_first_rollout"] = by_row["system"].first_rollout
    return found


def print_table(console: Console, games: dict[str, Any]) -> None:
    """What was found, for people."""
    for game, found in games.items():
        table = Table(title=f"{game}: agent steps")
        for column in ("", "per second", "per CPU-second (lowest-highest)", "CPUs busy"):
            table.add_column(column, justify="right" if column else "left")
        for row in ROWS:
            figures = found[row]
            table.add_row(
                row.replace("_", " "),
                f"{figures['agent_steps_per_second']:,.0f}",
                f"{figures['agent_steps_per_cpu_second']:,.0f}"
                f" ({figures['lowest']:,.0f}-{figures['highest']:,.0f})",
                f"{figures['cpus_busy']:.2f}",
            )
        console.print(table)
        console.print(
            f"system / environment only: {found['system_over_environment']:.3f}   ray overhead:"
            f" {found['ray_overhead']:.1%}   peak memory (PSS): {found['peak_pss_mib']:,.0f} MiB  "
            f" first rollout after {found['seconds_to_first_rollout']:.1f} s",
            highlight=False,
        )


def main() -> None:
    """The command line: `python -m launch.bench`."""
    options = tyro.cli(Options, prog="python -m launch.bench", description=__doc__)
    unknown = set(options.games) - set(GAMES)
    if unknown or not options.games:
        got = ", ".join(sorted(unknown)) or "none"
        sys.exit(f"error: --games takes {', '.join(GAMES)}, got {got}")
    if options.only not in ("", *ROWS):
        sys.exit(f"error: --only takes {', '.join(ROWS)}, got {options.only}")
    if options.rounds < 1 or options.seconds <= 0 or options.population < 1:
        sys.exit("error: --rounds, --seconds and --population must be positive")
    if options.only:
        config = config_for(options.games[0], options.population, options.only, os.getpid())
        if options.only == "environment_only":
            run_environments(config)
        elif options.only == "acting":
            run_acting(config)
        else:
            run_crew(config, serial=options.only == "serial")
        return
    console = Console()
    output = Path("runs/bench/latest.json")
    scratch = output.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        games = {game: measure_game(game, options, scratch, console) for game in options.games}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for leftover in Path("runs").glob("bench-*-*-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    print_table(console, games)
    worst = max(games.values(), key=lambda found: float(found["peak_pss_mib"]))
    write_json(
        output,
        {
            "games": games,
            "peak_pss_mib": worst["peak_pss_mib"],
            "seconds_to_first_rollout": max(g["seconds_to_first_rollout"] for g in games.values()),
            "provenance": provenance(),
            "options": json.loads(json.dumps(options.__dict__)),
        },
    )
    console.print(f"written to {output}", highlight=False)


if __name__ == "__main__":
    main()
