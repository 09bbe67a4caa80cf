"""What the benchmark is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from launch.bench.rows import GAMES

Family = Literal["population", "frozen", "workers", "nodes", "N", "L", "E", "t_max"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class Options:
    """What to measure."""

    games: tuple[str, ...] = tuple(GAMES)
    """Which of pong, riverraid and maze: images in colour, recorded from a maze that is installed."""
    rounds: int = 3
    """How often each row has its turn; the median counts."""
    seconds: float = 10.0
    """How long a turn lasts, after a second of waking up; two fifths of it for rows that write no reports.
    The others report when they wake and 10 seconds later."""
    population: int = 64
    """Pathways of a row, all its processes together."""
    against: Path | None = None
    """Another checkout of this program, such as the commit before: its twin and system take turns too."""
    engine: Literal["auto", "compiled", "torch"] = "auto"
    """What computes with weights in this version's rows."""
    scaling: bool = False
    """Measure what it costs to have more of something instead."""
    families: tuple[Family, ...] = FAMILIES
    """What to have more of, with --scaling."""
    row: str = ""
    """Used by the program itself: be this row, given as JSON, until killed."""
