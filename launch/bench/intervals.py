"""What the interval between two exchanges does to learning: a task on one node, and on several.

Nodes are simulated on this machine, one worker each. Every run is an ordinary one, in runs/intervals/, and
what is finished there is not learned again. Settings take turns: a machine that slows down does so for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from launch.display import terminal
from launch.signals import ends_with_one_line
from pathnet_rl.arms import Arm
from pathnet_rl.intervals import mean_interval, ratio_interval
from pathnet_rl.run_folder import RunFolder


@dataclass(frozen=True)
class Options:
    """What to measure."""

    preset: str = "cartpole"
    """Whose grid, population and learning."""
    task: str = "CartPole-v1"
    """What is learned."""
    agent_steps: int = 200_000
    """The budget of a run."""
    nodes: int = 4
    """Nodes of one worker each; the control has as many workers on one node."""
    intervals: tuple[float, ...] = (0.05, 0.2, 1.0, 5.0)
    """Seconds between two exchanges."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of what nodes tell."""
    seeds: int = 3
    """Runs a setting."""
    folder: Path = Path("runs/intervals")
    """Where the runs are."""


ONE_NODE = 0.0
"""In place of an interval."""


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.bench.intervals`."""
    options = tyro.cli(Options, prog="python -m launch.bench.intervals", description=__doc__)
    console = terminal()
    settings = (ONE_NODE, *options.intervals)
    found: dict[float, list[tuple[float, float]]] = {setting: [] for setting in settings}
    for seed in range(options.seeds):
        for setting in settings:
            found[setting].append(measure(options, setting, seed))
            area, staleness = found[setting][-1]
            console.print(
                f"{name_of(options, setting, seed)}: area {area:.1f}, {staleness:.0f} pushes"
            )
    table = Table(
        title=f"{options.task}, {options.agent_steps:,} agent steps, {options.nodes} workers"
    )
    for column in ("nodes, interval", "pushes of others between", "area", "relative to one node"):
        table.add_column(column, justify="left" if column.startswith("nodes") else "right")
    control = np.array([area for area, _ in found[ONE_NODE]])
    for setting, measured in found.items():
        areas = np.array([area for area, _ in measured])
        table.add_row(
            f"{options.nodes}, {setting:g} s" if setting else "1",
            f"{np.mean([staleness for _, staleness in measured]):.0f}" if setting else "-",
            str(mean_interval(areas)),
            str(ratio_interval(areas, control)) if setting else "-",
        )
    console.print(table)


def name_of(options: Options, setting: float, seed: int) -> str:
    """The run's name."""
    where = f"{options.nodes}-nodes-{setting:g}" if setting else "1-node"
    where += "-bfloat16" if setting and options.precision == "bfloat16" else ""
    return f"{options.task.replace('/', '-')}-{options.agent_steps}-{where}-seed-{seed}"


def measure(options: Options, setting: float, seed: int) -> tuple[float, float]:
    """A run's area under the learning curve, and the mean staleness of its exchanges, in pushes.

    Ends the program with what a run says that fails.
    """
    name = name_of(options, setting, seed)
    folder = options.folder / name
    if not (folder / "summary.json").exists():
        from launch.bench.ray_nodes import start_nodes

        nodes = options.nodes if setting else 1
        cpus = options.nodes // nodes
        cluster = start_nodes(nodes, cpus)
        try:
            done = subprocess.run(
                [
                    sys.executable, "-m", "launch.train", options.preset, "--name", name, "--folder",
                    str(options.folder), "--seed", str(seed), "--tasks", options.task,
                    "--agent-steps", str(options.agent_steps), "--arms", "pathnet", "--workers",
                    str(options.nodes), "--report-seconds", "1",
                    *(["--exchange-seconds", str(setting)] if setting else []),
                    "--exchange-precision", options.precision,
                ],
                env={**os.environ, "RAY_ADDRESS": cluster.address},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            cluster.shutdown()
        if done.returncode:
            sys.exit(f"error: {name}: {done.stderr.strip() or done.stdout.strip()}")
    (task,) = json.loads((folder / "summary.json").read_text())["tasks"]
    return float(task["area_under_curve"]), staleness_of(folder)


def staleness_of(folder: Path) -> float:
    """The mean of what TensorBoard has of it; 0 on one node."""
    reader = EventAccumulator(str(RunFolder.existing(folder).events(Arm.PATHNET, 0)))
    reader.Reload()
    tag = "exchange/staleness"
    if tag not in reader.Tags()["scalars"]:
        return 0.0
    return float(np.mean([point.value for point in reader.Scalars(tag)]))


if __name__ == "__main__":
    main()
