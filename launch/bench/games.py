"""The first table: the whole system beside the emulator alone, on each game."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from launch.bench.contender import compare
from launch.bench.options import Options
from launch.bench.recorded_maze import record
from launch.bench.rows import A2C, ROWS, SILENT_ROWS, Row
from launch.bench.tables import print_rows
from pathnet_rl.cpus import usable_cpus

MOST_SILENT_PATHWAYS = 16
"""Pathways of rows that do not learn: their rate does not depend on it, and emulators take long to make."""


SHOWN = (*ROWS, A2C, "serial_before", "system_before")


def measure_game(game: str, options: Options, scratch: Path, console: Console) -> dict[str, Any]:
    """The rows of one game.

    Raises:
        UserError: it is the maze, and none is installed that could be recorded.
    """
    recording = record(scratch.resolve() / "maze.npy") if game == "maze" else None
    cpus = usable_cpus()
    kinds = [*ROWS, *([A2C] if importlib.util.find_spec("stable_baselines3") else [])]
    few = min(options.population, max(MOST_SILENT_PATHWAYS, cpus))
    rows = [
        Row(
            kind,
            game,
            few if kind in SILENT_ROWS else options.population,
            processes=1 if kind == "system" else cpus,
            engine=options.engine,
        )
        for kind in kinds
    ]
    if options.against is not None:
        there = str(options.against.resolve())
        rows += [replace(row, checkout=there) for row in rows if row.kind in ("serial", "system")]
    measured = compare(rows, options.rounds, options.seconds, scratch, console)
    by_kind = {_name(contender.row): contender for contender in measured}
    system = by_kind["system"]
    found: dict[str, Any] = {kind: contender.figures() for kind, contender in by_kind.items()}
    found["system_over_environment"] = system.relative_to(by_kind["environment_only"])
    found["ray_overhead"] = 1.0 - system.relative_to(by_kind["serial"])
    if options.against is not None:
        for kind in ("serial", "system"):
            found[f"{kind}_over_before"] = by_kind[kind].relative_to(by_kind[f"{kind}_before"])
    found["system_milliseconds"] = system.milliseconds()
    found["peak_pss_mib"] = system.peak_pss
    found["seconds_to_first_rollout"] = system.first_rollout
    if recording is not None:
        system_rate = found["system"]["agent_steps_per_cpu_second"]
        found["recorded"] = {
            "task": recording.task,
            "agent_steps_per_cpu_second": recording.rate,
            "system_with_rendering": 1.0 / (1.0 / system_rate + 1.0 / recording.rate),
        }
    return found


def _name(row: Row) -> str:
    return f"{row.kind}_before" if row.checkout else row.kind


def print_game(console: Console, game: str, found: dict[str, Any]) -> None:
    """One game's rows, ratios and times."""
    print_rows(console, f"{game}: agent steps", {r: found[r] for r in SHOWN if r in found})
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
    if "recorded" in found:
        lines.append(
            "the environment is a recording of {task}, which gives {agent_steps_per_cpu_second:,.0f}"
            " agent steps a CPU-second; with its rendering the system would have"
            " {system_with_rendering:,.0f}".format(**found["recorded"])
        )
    if "system_over_before" in found:
        lines.append(
            "this version / the one before: serial twin {serial_over_before:.3f},"
            " system {system_over_before:.3f}".format(**found)
        )
    if A2C not in found:
        lines.append("Stable-Baselines3's A2C was not measured: pip install -e '.[bench]'")
    for line in lines:
        console.print(line)
