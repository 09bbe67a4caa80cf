"""Measure exchanges between one parameter server and couriers of up to 64 nodes, without ray and emulators.

The server and its port are those of a run, and so are the couriers and blocks of the nodes; workers are
simulated: they push gradients that a real worker has recorded, at the rate of workers with a core each.
All is on this machine: nodes are processes (up to 16, each with as many nodes as it takes), and their network
is the loopback. Settings take turns, round after round; medians count. A model is fitted to some settings,
compared with the others, and says what other clusters would do. Writes runs/scaling/latest.json.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from launch.bench import node_tables, predictions
from launch.bench.exchange_model import Shape
from launch.bench.exchanges import Setting, measure
from launch.bench.recorded import record
from launch.display import terminal
from launch.presets import PRESETS
from launch.signals import ends_with_one_line
from pathnet_rl.checkpoint import write_json
from pathnet_rl.config import MOST_AGENT_STEPS, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.provenance import provenance

AGENT_STEPS_PER_CPU_SECOND = 1566.0
"""Of one worker, E = 1, on Pong: the fastest that docs/performance.md has."""
OUTPUT = Path("runs/scaling/latest.json")
RAW = OUTPUT.with_name("turns.json")
"""What has been measured so far."""
SETTING = tuple(field.name for field in fields(Setting))


@dataclass(frozen=True)
class Options:
    """What to measure."""

    quick: bool = False
    """A few settings, once, for two seconds each: a minute or two in all."""
    rounds: int | None = None
    """How often each setting has its turn: 3, or 1 with --quick."""
    seconds: float | None = None
    """How long a turn lasts: 10, or 2 with --quick; longer where there are fewer than 4 exchanges a node."""
    preset: str = "paper"
    """Whose grid, first game, E and t_max."""
    agent_steps_per_cpu_second: float = AGENT_STEPS_PER_CPU_SECOND
    """Of one worker; its pushes a second are this by E t_max."""
    turns: Path | None = None
    """Measure nothing: let the model be fitted to the turns of this turns.json."""


def settings(rate: float, quick: bool) -> tuple[list[Setting], list[Setting]]:
    """Those that the model is fitted to, and those that it is compared with.

    Among the first are few workers that exchange often: elsewhere every row is changed in every interval, and
    what a byte costs could not be told from what an exchange costs.
    """
    fitted = [Setting(2, 2, rate, 0.05), Setting(4, 4, rate, 0.05), Setting(64, 4, rate, 0.2)]
    if quick:
        return fitted, [Setting(256, 16, rate, 0.2)]
    fitted.insert(2, Setting(8, 4, rate, 0.05))
    slow = rate / 4
    return fitted, [
        *(Setting(64, 4, slow, 0.2, together) for together in (False, True)),
        *(Setting(256, 16, rate, interval) for interval in (0.05, 0.2, 1.0, 5.0)),
        *(Setting(1024, 64, rate, interval) for interval in (0.2, 1.0, 5.0)),
        Setting(4096, 64, rate, 0.2),
        Setting(4096, 64, rate, 1.0),
    ]


def shape_of(grid: Grid) -> Shape:
    """What the model knows of a grid."""
    sizes = tuple(layer.module_size for layer in grid.layers)
    return Shape(sizes, grid.heads[0].size, grid.modules, grid.config.width)


def measure_all(
    turns: dict[str, Any],
    config: RunConfig,
    rounds: int,
    seconds: float,
    recordings: tuple[int, int],
    console: Console,
) -> None:
    """Let all settings of `turns` have their turns, which go in there and, each time, to RAW.

    A turn that is lost is said, and not counted.

    Args:
        recordings: pathways, and gradients of each.
    """
    config = config.model_copy(update={"agent_steps": (MOST_AGENT_STEPS,)})
    grid = build_grid(config)
    with tempfile.TemporaryDirectory() as folder:
        console.print("recording gradients ...")
        recorded = record(config, grid, Path(folder), *recordings)
        turns["recording_cpu_seconds_per_push"] = recorded.cpu_seconds
        for number in range(rounds):
            for row in turns["settings"]:
                setting = Setting(**{key: row[key] for key in SETTING})
                console.print(f"round {number + 1} of {rounds}: {setting.name}")
                try:
                    row["rounds"].append(measure(setting, config, grid, recorded, seconds))
                except UserError as error:
                    console.print(f"lost: {error}")
                    row["lost"].append(str(error))
                write_json(RAW, turns)


def report_of(turns: dict[str, Any]) -> dict[str, Any]:
    """Turns, what they come to, and what the model makes of it.

    Raises:
        UserError: every turn of a setting was lost.
    """
    rows = []
    for row in turns["settings"]:
        found = row["rounds"]
        if not found:
            raise UserError(f"{Setting(**{key: row[key] for key in SETTING}).name} has no turn")
        rows.append(
            {
                **row,
                "median": {key: statistics.median(turn[key] for turn in found) for key in found[0]},
                "least_disturbed": min(found, key=_disturbance),
            }
        )
    shape = Shape(**{**turns["shape"], "module_sizes": tuple(turns["shape"]["module_sizes"])})
    derived = predictions.from_measured(
        shape, rows, turns["fitted"], turns["pushes_per_second_of_a_worker"]
    )
    return {**turns, "settings": rows, **derived}


def _disturbance(turn: dict[str, float]) -> float:
    """CPUs that were busy with other things."""
    return turn["cpus_busy_with_other_things"]


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.bench.nodes`."""
    options = tyro.cli(Options, prog="python -m launch.bench.nodes", description=__doc__)
    rounds = options.rounds if options.rounds is not None else 1 if options.quick else 3
    seconds = options.seconds if options.seconds is not None else 2.0 if options.quick else 10.0
    if options.preset not in PRESETS:
        sys.exit(f"error: --preset takes {', '.join(PRESETS)}, got {options.preset}")
    if rounds < 1:
        sys.exit(f"error: --rounds must be at least 1, got {rounds}")
    for name, value in (
        ("--seconds", seconds),
        ("--agent-steps-per-cpu-second", options.agent_steps_per_cpu_second),
    ):
        if not 0 < value < math.inf:
            sys.exit(f"error: {name} must be a positive number, got {value}")
    console = terminal()
    try:
        turns = read_turns(options.turns) if options.turns else new_turns(options)
        if not options.turns:
            size = (8, 1) if options.quick else (32, 3)
            measure_all(turns, PRESETS[options.preset][1], rounds, seconds, size, console)
        report = report_of(turns)
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        write_json(OUTPUT, report)
    except UserError as error:
        sys.exit(f"error: {error}")
    node_tables.print_all(console, report)
    console.print(f"written to {OUTPUT}")


def new_turns(options: Options) -> dict[str, Any]:
    """What is to be measured, and no turn of it yet."""
    config = PRESETS[options.preset][1]
    learning = config.learning
    rate = options.agent_steps_per_cpu_second / (learning.environments * learning.rollout_steps)
    fitted, compared = settings(rate, options.quick)
    RAW.parent.mkdir(parents=True, exist_ok=True)
    return {
        "options": json.loads(json.dumps(asdict(options), default=str)),
        "pushes_per_second_of_a_worker": rate,
        "shape": asdict(shape_of(build_grid(config))),
        "fitted": len(fitted),
        "settings": [{**asdict(s), "rounds": [], "lost": []} for s in (*fitted, *compared)],
        "provenance": provenance(),
    }


def read_turns(path: Path) -> dict[str, Any]:
    """Turns of an earlier measurement.

    Raises:
        UserError: there are none in the file.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"--turns {path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not {"settings", "shape", "fitted"} <= set(found):
        raise UserError(f"--turns {path} is no turns.json of this command")
    return found


if __name__ == "__main__":
    main()
