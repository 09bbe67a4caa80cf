"""What staleness does to learning: nodes of one worker each in this process, in turn, without a clock.

Each node exchanges with the parameter server after every so many pushes of its own, so that a run is the same
whatever the machine does. With 0 all workers are on one block. Seconds are those pushes at the rate of one
worker alone.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from rich.table import Table

from launch.display import terminal
from launch.presets import PRESETS
from launch.signals import ends_with_one_line
from pathnet_rl.arms import Arm
from pathnet_rl.block import SLOTS
from pathnet_rl.block_files import block_folder
from pathnet_rl.checkpoint import write_json
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.grid import build_grid
from pathnet_rl.intervals import mean_interval, ratio_interval
from pathnet_rl.metrics import area_under_curve, learning_curve
from pathnet_rl.provenance import provenance
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import EpisodeRecord, Telemetry
from workers.coordinator import TournamentCoordinator
from workers.courier import Courier
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker

Setting = tuple[int, str]
"""Pushes of a node between two of its exchanges, and the precision of what it tells."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: str = "laptop"
    """Whose grid, population and learning."""
    task: str = "ALE/Riverraid-v5"
    """What is learned."""
    agent_steps: int = 200_000
    """The budget of a run."""
    nodes: int = 4
    """Nodes of one worker each."""
    pushes: tuple[int, ...] = (0, 1, 5, 25, 125)
    """Of a node, between two of its exchanges."""
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32",)
    """Of what nodes tell (`--exchange-precision`)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Runs a setting."""
    output: Path = Path("runs/staleness.json")
    """Where figures are kept; those that are there are not measured again."""


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.bench.staleness`."""
    options = tyro.cli(Options, prog="python -m launch.bench.staleness", description=__doc__)
    console = terminal()
    torch.set_num_threads(1)
    kept = json.loads(options.output.read_text()) if options.output.exists() else {"areas": {}}
    for seed in options.seeds:
        for setting in settings(options):
            name = name_of(options, setting, seed)
            if name not in kept["areas"]:
                kept["areas"][name] = measure(options, setting, seed)
                kept["provenance"] = provenance()
                options.output.parent.mkdir(parents=True, exist_ok=True)
                write_json(options.output, kept)
            area, rate = kept["areas"][name]
            console.print(f"{name}: area {area:.1f}, {rate:.0f} pushes a CPU-second")
    show(options, kept["areas"])


def settings(options: Options) -> list[Setting]:
    """What is measured; on one block nobody tells anything."""
    return [
        (pushes, precision)
        for pushes in options.pushes
        for precision in (options.precisions if pushes else ("float32",))
    ]


def name_of(options: Options, setting: Setting, seed: int) -> str:
    """Under which figures are kept."""
    pushes, precision = setting
    start = f"{options.preset} {options.task} {options.agent_steps} {options.nodes} {pushes}"
    return f"{start} {seed}" if precision == "float32" else f"{start} {precision} {seed}"


def show(options: Options, areas: dict[str, tuple[float, float]]) -> None:
    """The table."""

    def column(setting: Setting, part: int) -> np.ndarray:
        return np.array([areas[name_of(options, setting, seed)][part] for seed in options.seeds])

    table = Table(
        title=f"{options.task}, {options.agent_steps:,} agent steps, {options.nodes} nodes"
    )
    first, *_ = every = settings(options)
    columns = ["pushes between", "of others", "seconds", "area", f"relative to {first[0]} pushes"]
    for words in ("precision", *columns, "relative to float32"):
        table.add_column(words, justify="right")
    for setting in every:
        pushes, precision = setting
        measured, exact = column(setting, 0), (pushes, "float32")
        table.add_row(
            precision,
            str(pushes),
            str(pushes * (options.nodes - 1)),
            f"{pushes / column(setting, 1).mean():.2f}",
            str(mean_interval(measured)),
            str(ratio_interval(measured, column(first, 0))),
            str(ratio_interval(measured, column(exact, 0)))
            if exact in every and setting != exact
            else "",
        )
    terminal().print(table)


def measure(options: Options, setting: Setting, seed: int) -> tuple[float, float]:
    """Area under the learning curve; pushes a CPU-second of one worker."""
    pushes, precision = setting
    config = PRESETS[options.preset][1].model_copy(
        update={
            "tasks": (options.task,), "agent_steps": (options.agent_steps,), "seed": seed,
            "exchange_precision": precision,
        }
    )  # fmt: skip
    grid = build_grid(config)
    episodes: list[EpisodeRecord] = []

    def hear(telemetry: Telemetry) -> None:
        episodes.extend(telemetry.episodes)

    with tempfile.TemporaryDirectory(dir=block_folder()) as folder:
        home = Path(folder) / "server.block"
        server = ParameterServer(config, Arm.PATHNET, grid, home)
        server.begin_first_task(0)
        coordinator = TournamentCoordinator(config, Arm.PATHNET)
        couriers, workers = [], []
        for node in range(options.nodes):
            block = Path(folder) / f"{node}.block" if pushes else home
            if pushes:
                courier = Courier(config, grid, block, server)
                courier.join(SLOTS - 1 - node)
                couriers.append(courier)
            store = GridStore.open(block, grid, config.learning, rmsprop_step(config))
            mine = range(node, config.evolution.population, options.nodes)
            workers.append(PathwayWorker(config, Arm.PATHNET, node, mine, store, coordinator, hear))
            workers[-1].begin_task()
        store, turn, began = GridStore.open(home, grid, config.learning), 0, time.process_time()
        while not store.over:
            for node, worker in enumerate(workers):
                worker.step()
                # Not all at once: node by node.
                if pushes and (turn + node * pushes // options.nodes) % pushes == 0:
                    couriers[node].exchange()
            turn += 1
        seconds = time.process_time() - began
        for worker in workers:
            worker.end_task()
    steps = np.array([episode.agent_steps for episode in episodes], np.int64)
    returns = np.array([episode.episode_return for episode in episodes])
    order = np.argsort(steps, kind="stable")
    curve = learning_curve(steps[order], returns[order], options.agent_steps)
    return area_under_curve(curve), turn * options.nodes / seconds


if __name__ == "__main__":
    main()
