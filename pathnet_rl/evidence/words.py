"""Numbers and commands as people read them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from pathnet_rl.intervals import Interval

NOTHING = "-"


def number(value: float | None) -> str:
    """A number with about three digits that count; a dash for none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def value_of(interval: Interval | None) -> str:
    """The statistic alone."""
    return NOTHING if interval is None else number(interval.value)


def spread_of(interval: Interval | None) -> str:
    """The interval and the number of seeds."""
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return f"n = {interval.seeds}: no interval"
    return f"[{number(interval.low)}, {number(interval.high)}], n = {interval.seeds}"


def command_of(start: dict[str, Any]) -> str:
    """The command of a start, as one types it."""
    words: Sequence[str] = start.get("command") or ["(unknown)"]
    if isinstance(words, str):
        return words
    path = PurePath(str(words[0]))
    given = shlex.join(str(word) for word in words[1:])
    if path.suffix == ".py" and path.parent.name:
        return f"python -m {path.parent.name}.{path.stem} {given}".rstrip()
    return shlex.join(str(word) for word in words)
