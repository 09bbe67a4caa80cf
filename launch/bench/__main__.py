"""Measure the whole system beside the emulator alone: agent steps per CPU-second, in one run, as ratios.

Rows: the environments with random actions and no learning; acting without learning; the serial twin; the
whole system on ray (population of 64, learning, tournaments, TensorBoard); and, where it is installed,
Stable-Baselines3's A2C on the same environments with the network of one full pathway. The first three
and A2C have one process a CPU, so that all rows load the machine alike. They take turns, round after
round, so that a machine whose speed drifts is as slow for one as for the other. Those whose turn it is
not are suspended. CPU-seconds are user and system time of all processes of a row.

--scaling measures what it costs to have more of something instead: population, frozen pathways, N, L, E,
t_max, workers, and nodes.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tyro

from launch.bench.games import measure_game, print_game
from launch.bench.options import Options
from launch.bench.rows import GAMES, PRESET, Row
from launch.bench.scaling import measure_scaling, print_scaling
from launch.display import terminal
from launch.presets import PRESETS
from launch.signals import ends_with_one_line
from pathnet_rl.checkpoint import write_json
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.engine import image_precision
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.provenance import provenance


@ends_with_one_line
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
    cpus = usable_cpus()
    if options.rounds < 1:
        sys.exit(f"error: --rounds must be at least 1, got {options.rounds}")
    if not 0 < options.seconds < math.inf:
        sys.exit(f"error: --seconds must be a positive number, got {options.seconds}")
    if options.population < cpus:
        sys.exit(f"error: --population must be at least one pathway a CPU, {cpus} here")
    if options.against is not None and not (options.against / "launch" / "bench").is_dir():
        sys.exit(f"error: --against {options.against} is no checkout of this program")
    console = terminal()
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
            try:
                games[game] = measure(game, options, scratch, console)
            except UserError as error:
                if len(options.games) == 1:
                    sys.exit(f"error: {error}")
                console.print(f"{game}: not measured: {error}", soft_wrap=True)
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
    preset = PRESETS[PRESET][1]
    report = {
        "games": games,
        **totals,
        "first_convolution": image_precision(preset, build_grid(preset)),
        "provenance": provenance(),
        "options": json.loads(json.dumps(asdict(options), default=str)),
    }
    write_json(output, report)
    console.print(f"written to {output}")


if __name__ == "__main__":
    main()
