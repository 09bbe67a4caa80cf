"""How a run is shown: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from types import TracebackType
from typing import Self, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from launch.streams import Forgiving
from pathnet_rl.crew import Progress

PLAIN_SECONDS = 10.0
"""Seconds between two lines where there is no terminal."""
UNKNOWN_WIDTH = 80


def terminal(file: TextIO | None = None, width: int | None = None) -> Console:
    """Where commands print: text as it is, so that brackets in a path or an option are no markup.

    Control codes go to terminals that know them, whatever FORCE_COLOR says. What cannot be printed is not.
    """
    stream = cast("TextIO", Forgiving(file or sys.stdout))
    if width is None and os.environ.get("COLUMNS", "1").strip("0") == "":
        width = UNKNOWN_WIDTH  # Where the terminal's size is not known, some say 0; rich prints nothing then.
    make = partial(Console, file=stream, width=width, markup=False, highlight=False)
    console = make(force_terminal=stream.isatty())
    return make(force_terminal=False) if console.is_dumb_terminal else console


class Screen:
    """A panel that is kept up to date, or a line now and then; use it as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, line: str) -> None:
        """Say something that stays."""
        self._console.print(line, soft_wrap=True)

    def show(self, panel: Table, line: str, at_once: bool) -> None:
        """Show the panel, or the line if it is time for one (or at once)."""
        if self._live is not None:
            self._live.update(panel)
        elif time.monotonic() >= self._next_line or at_once:
            self._next_line = time.monotonic() + PLAIN_SECONDS
            self.note(line)


class Display(Screen):
    """A `crew.Display`."""

    _last: object = None
    """What was shown: a task, a task that is done, or something else that goes on."""

    def update(self, progress: Progress) -> None:
        """Show where the run stands."""
        done = progress.agent_steps >= progress.budget
        self._show(
            _panel(progress), plain_line(progress), (progress.arm, progress.task, done), done
        )

    def doing(self, what: str, how_far: str) -> None:
        """Show what is under way that learns nothing."""
        table = _table()
        table.add_row("now", what)
        table.add_row("", how_far)
        self._show(table, f"{what}: {how_far}", what, True)

    def _show(self, panel: Table, line: str, kind: object, at_once: bool) -> None:
        """At once only what is of another kind than was shown last."""
        self.show(panel, line, at_once and kind != self._last)
        self._last = kind


def plain_line(progress: Progress) -> str:
    """The whole progress in one line."""
    return (
        f"{progress.arm.value}, task {progress.task + 1} {progress.name}:"
        f" {progress.agent_steps:,}/{progress.budget:,} agent steps,"
        f" {progress.rate:,.0f}/s, {time_left(progress)} left,"
        f" return {_number(progress.mean_return)}, best fitness {_number(progress.best_fitness)},"
        f" overwrites {progress.overwrites}, restarts {progress.restarts}"
    )


def time_left(progress: Progress) -> str:
    """The time left in the task at the present rate, as h:mm:ss."""
    return clock(progress.budget - progress.agent_steps, progress.rate)


def clock(agent_steps: int, rate: float) -> str:
    """How long so many agent steps take, as h:mm:ss."""
    if rate <= 0:
        return "?"
    seconds = int(agent_steps / rate)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _number(value: float | None) -> str:
    return "none yet" if value is None else f"{value:,.1f}"


def _table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column()
    return table


def _panel(progress: Progress) -> Table:
    table = _table()
    table.add_row("task", f"{progress.task + 1}: {progress.name} ({progress.arm.value})")
    table.add_row("", ProgressBar(total=progress.budget, completed=progress.agent_steps, width=50))
    table.add_row(
        "agent steps",
        f"{progress.agent_steps:,} of {progress.budget:,}, {progress.rate:,.0f}/s,"
        f" {time_left(progress)} left",
    )
    table.add_row("mean return (last 100)", _number(progress.mean_return))
    table.add_row("best fitness", _number(progress.best_fitness))
    table.add_row("overwrites", str(progress.overwrites))
    if progress.restarts:
        table.add_row("worker restarts", str(progress.restarts))
    return table
