"""What learns nothing is said and can be stopped; and tasks that nothing can be kept of are refused."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.errors import UserError
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.report import summarise
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted, Watch
from tests.support import ROOT, TapeDisplay, command, run_experiment, tiny_config

EVOLUTION = EvolutionConfig(population=4, episodes=2, rivals=2, finalists=2, final_episodes=3)


def short_config(folder: Path) -> RunConfig:
    return tiny_config(folder, agent_steps=(2000,), evolution=EVOLUTION, report_seconds=0.05)


def nobody(arm: Arm) -> Crew:
    raise AssertionError("nobody is to be set to work")


# A budget too small for one evaluation --------------------------------------------------------------


@pytest.fixture
def hopeless(tmp_path: Path) -> RunConfig:
    evolution = EvolutionConfig(population=4, episodes=1000)
    return tiny_config(tmp_path, agent_steps=(1500, 9000), evolution=evolution, report_seconds=0.02)


def test_a_task_that_evaluates_nobody_is_warned_of_once_and_in_time(hopeless: RunConfig) -> None:
    display = TapeDisplay()
    with pytest.raises(UserError, match="T = 1000 episodes") as refused:
        run_experiment(hopeless, display=display)
    (warned,) = (note for note in display.notes if note.startswith("half of CartPole-v1 is done"))
    for said in (warned, str(refused.value)):
        assert "agent_steps" in said
        assert "--name" in said


def test_it_is_not_gone_on_with_and_no_report_promises_that(hopeless: RunConfig) -> None:
    with pytest.raises(UserError, match="is over"):
        run_experiment(hopeless)
    with pytest.raises(UserError, match=r"task 1, CartPole-v1, is over: no pathway has played"):
        run_experiment(hopeless, make_crew=nobody)
    records, (left_out,) = read_runs([Path(hopeless.folder) / hopeless.name])
    assert records == []
    assert "is over" in left_out.reason
    assert "goes on" not in left_out.reason


def test_a_task_that_evaluates_somebody_is_not_warned_of(tmp_path: Path) -> None:
    display = TapeDisplay()
    run_experiment(short_config(tmp_path), display=display)
    assert not [note for note in display.notes if "half of" in note]


# Episodes of those who do not learn -----------------------------------------------------------------

PHASES = (
    "pathnet, finalist 2 of 2 plays CartPole-v1 again",
    "pathnet, replaying task 1 CartPole-v1",
    "pathnet, replaying task 2 CartPole-v1",
)


class StopIn:
    """Asks to stop as soon as a display shows this."""

    def __init__(self, display: TapeDisplay, what: str) -> None:
        self._display, self._what = display, what

    def __call__(self) -> bool:
        return any(what == self._what for what, _ in self._display.done)


def test_all_that_is_played_again_is_shown(tmp_path: Path) -> None:
    display = TapeDisplay()
    config = short_config(tmp_path).model_copy(update={"arms": (Arm.PATHNET, Arm.INDEPENDENT)})
    results = run_experiment(config, display=display)
    said = dict(display.done)
    for what in (*PHASES, "independent, replaying task 2 CartPole-v1"):
        assert "agent steps" in said[what]
    summarise(config, RunFolder(config), results, watch=Watch(display, lambda: False))
    what, how_far = display.done[-1]
    assert what == "a random policy plays CartPole-v1"
    assert how_far.startswith("0 of 20 episodes done, 0 agent steps")


@pytest.mark.parametrize("phase", PHASES)
def test_what_is_stopped_while_episodes_are_played_again_learns_nothing_twice(
    phase: str, tmp_path: Path
) -> None:
    whole = run_experiment(short_config(tmp_path / "whole"))
    config, display, later = short_config(tmp_path / "cut"), TapeDisplay(), TapeDisplay()
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=StopIn(display, phase), display=display)
    assert "stopping" in display.notes[-1]
    assert run_experiment(config, display=later) == whole
    assert {progress.task for progress in later.shown} <= {1} - {display.shown[-1].task}


def test_a_random_policy_can_be_stopped(tmp_path: Path) -> None:
    config = short_config(tmp_path).model_copy(update={"arms": (Arm.PATHNET, Arm.INDEPENDENT)})
    results, folder = run_experiment(config), RunFolder(config)
    with pytest.raises(Interrupted):
        summarise(config, folder, results, watch=Watch(TapeDisplay(), lambda: True))
    assert summarise(config, folder, results, watch=Watch(TapeDisplay(), lambda: False))


LONG_REPLAY = (
    "cartpole", "--serial", "--tasks", "Acrobot-v1", "--arms", "pathnet", "--agent-steps", "12000",
    "--evolution.population", "2", "--evolution.episodes", "1", "--replay.episodes", "1000",
)  # fmt: skip
"""A thousand episodes of 500 steps each, which take long enough for anybody."""


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_a_command_in_a_terminal_saves_and_says_how_to_go_on(how: str, tmp_path: Path) -> None:
    """Ctrl-C is for everybody in the terminal's foreground, SIGTERM for the command alone."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *command(*LONG_REPLAY, "--folder", str(tmp_path))],
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed, asked = b"", False
    with contextlib.suppress(OSError), os.fdopen(ours, "r+b", buffering=0) as terminal:
        while some := terminal.read(4096):  # It ends in an error, once nobody is there.
            printed += some
            if b"replaying task 1" in printed and not asked:
                asked = True
                if how == "Ctrl-C":
                    terminal.write(b"\x03")
                else:
                    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130, printed
    assert b"Stopped and saved. To go on: " in printed
    assert b"Traceback" not in printed
    state = RunFolder.existing(tmp_path / "cartpole").latest_state(Arm.PATHNET)
    assert state is not None
    assert state["store"]["agent_steps"] >= 12_000
