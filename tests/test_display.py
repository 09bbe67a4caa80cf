"""What a run shows where there is no terminal."""

from __future__ import annotations

import io
import shlex
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from launch.command_line import to_go_on
from launch.display import Display, plain_line, terminal, time_left
from pathnet_rl.arms import Arm
from pathnet_rl.crew import Progress

PROGRESS = Progress(Arm.PATHNET, 1, "ALE/Pong-v5", 250_000, 1_000_000, 500.0, None, None, 7, 0)


def test_the_command_to_go_on_can_be_pasted_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["cartpole", "--grid.layers", "mine:Gated(units=4)", "--folder", "it's here"]
    monkeypatch.setattr(sys, "argv", ["launch/train.py", *given])
    assert shlex.split(to_go_on("launch.train"))[1:] == ["-m", "launch.train", *given]


def test_a_line_says_where_the_run_stands() -> None:
    line = plain_line(PROGRESS)
    for part in (
        "pathnet",
        "task 2 ALE/Pong-v5",
        "250,000/1,000,000",
        "500/s",
        "none yet",
        "0:25:00",
    ):
        assert part in line
    assert "-20.5" in plain_line(replace(PROGRESS, mean_return=-20.5))
    assert "overwrites 7" in line


def test_time_left_is_that_of_the_task_at_the_present_rate() -> None:
    assert time_left(PROGRESS) == "0:25:00"
    assert time_left(replace(PROGRESS, rate=0.0)) == "?"
    assert time_left(replace(PROGRESS, agent_steps=1_000_000)) == "0:00:00"
    assert time_left(replace(PROGRESS, rate=10.0)) == "20:50:00"


def test_lines_come_seldom_and_at_the_end_of_a_task() -> None:
    out = io.StringIO()
    with Display(terminal(out, 60)) as display:
        for done in (1000, 2000, 3000, 1_000_000):
            display.update(replace(PROGRESS, agent_steps=done))
        display.note("[bold]as it is[/bold]")
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert "1,000/1,000,000" in lines[0]
    assert "1,000,000/1,000,000" in lines[1]
    assert lines[2] == "[bold]as it is[/bold]"


def test_what_is_done_is_said_once_and_what_comes_after_it_at_once() -> None:
    out = io.StringIO()
    done = replace(PROGRESS, agent_steps=1_000_000)
    with Display(terminal(out, 60)) as display:
        for _ in range(3):
            display.update(done)
        for agent_steps in range(3):
            display.doing("replaying ALE/Pong-v5", f"{agent_steps} agent steps")
        display.doing("replaying ALE/Alien-v5", "0 agent steps")
        display.update(replace(done, task=2))
    lines = out.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "pathnet, task 2 ALE/Pong-v5", "replaying ALE/Pong-v5", "replaying ALE/Alien-v5",
        "pathnet, task 3 ALE/Pong-v5",
    ]  # fmt: skip


def test_a_terminal_gets_a_panel_for_what_learns_nothing() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=100, force_terminal=True)) as display:
        display.doing("replaying ALE/Pong-v5", "1 of 4 episodes done")
    assert "replaying ALE/Pong-v5" in out.getvalue()
    assert "1 of 4 episodes done" in out.getvalue()


def test_a_terminal_gets_a_panel_with_everything_on_it() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=100, force_terminal=True)) as display:
        display.update(replace(PROGRESS, mean_return=-20.5, best_fitness=-19.0, restarts=2))
    for part in ("ALE/Pong-v5", "250,000 of 1,000,000", "-20.5", "-19.0", "0:25:00"):
        assert part in out.getvalue()
