"""Environments in a process of their own: the same as in this one; if it dies, nothing else is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs import isolated
from pathnet_rl.envs.interface import MOST_LOST_IN_A_ROW
from pathnet_rl.envs.isolated import IsolatedEnvironments
from pathnet_rl.errors import UserError
from pathnet_rl.first_episodes import first_episodes
from pathnet_rl.watching import Interrupted
from tests.events import read_scalars
from tests.support import TapeDisplay, run_experiment, tiny_config
from tests.test_envs import check, play, same

CRASHING = "tests.crashing:tests/Crashing-v0"
ISOLATED = EnvironmentOptions(isolate=True)


def children() -> list[psutil.Process]:
    """Processes of environments that this one has."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "pathnet_rl.envs.player" in " ".join(child.cmdline())
    ]


@pytest.fixture(autouse=True)
def _nobody_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("CRASHED", str(tmp_path / "crashed"))
    yield
    assert children() == []


@pytest.mark.parametrize("name", ["CartPole-v1", "ALE/Pong-v5"])
def test_what_they_show_is_what_they_show_in_this_process(name: str) -> None:
    apart, here = envs.make(name, 2, ISOLATED), envs.make(name, 2)
    assert isinstance(apart, IsolatedEnvironments)
    assert (apart.observation_shape, apart.observation_dtype, apart.actions) == (
        here.observation_shape, here.observation_dtype, here.actions,
    )  # fmt: skip
    tape = play(apart, 3, 60)
    check(apart, tape)
    assert same(tape, play(here, 3, 60))
    assert apart.elsewhere_seconds > 0.0
    apart.close()
    here.close()


def crash(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("CRASHING", how)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("signal 11 after 7 once", "SIGSEGV"),
        ("exit 3 after 7 once", "exit status 3"),
    ],
)
def test_a_death_costs_the_episodes_under_way_and_nothing_else(
    how: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crash(monkeypatch, how)
    environments = envs.make(CRASHING, 2, ISOLATED, tmp_path / "log")
    tape = play(environments, 5, 30)
    check(environments, tape)
    lost = [number for number, step in enumerate(tape) if step.lost]
    assert lost == [6]
    step = tape[6]
    assert set(step.lost) == {0, 1}
    assert said in step.lost[0]
    assert str(tmp_path / "log") in step.lost[1]
    assert step.truncated.all()
    assert step.ended.all()
    assert not step.rewards.any()
    assert step.final_observations is not None
    assert (step.final_observations == tape[5].observations).all()
    assert (step.observations[:, 1] == 0).all()
    assert [n for n, s in enumerate(tape) if s.ended.all() and not s.lost] == [16, 26]
    assert "freed a freed pointer" in (tmp_path / "log").read_text()
    environments.close()


def test_one_that_dies_again_and_again_ends_with_its_own_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crash(monkeypatch, "signal 6 after 4")
    environments = envs.make(CRASHING, 1, ISOLATED)
    with pytest.raises(UserError, match="SIGABRT") as refused:
        play(environments, 0, 100)
    assert f"{MOST_LOST_IN_A_ROW + 1} times" in str(refused.value)
    assert "freed a freed pointer" in str(refused.value)
    environments.close()


def test_deaths_with_episodes_in_between_are_not_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, "exit 1 after 14")
    environments = envs.make(CRASHING, 1, ISOLATED)
    tape = play(environments, 0, 14 * (MOST_LOST_IN_A_ROW + 3))
    assert sum(bool(step.lost) for step in tape) == MOST_LOST_IN_A_ROW + 3
    environments.close()


def test_one_that_cannot_begin_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, "fails to begin")
    with pytest.raises(UserError, match="no licence for this simulator") as refused:
        envs.make(CRASHING, 1, ISOLATED)
    assert "exit status 7" in str(refused.value)


def test_a_name_that_is_wrong_is_refused_as_in_this_process() -> None:
    with pytest.raises(UserError, match=r"did you mean .*CartPole-v1"):
        envs.make("CartPol-v1", 1, ISOLATED)


def test_one_that_is_stuck_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, "sleep 100 after 3 once")
    environments = envs.make(CRASHING, 1, ISOLATED)
    environments.reset(0)
    monkeypatch.setattr(isolated, "LONGEST_SILENCE", 8.0)  # Enough to start the next.
    steps = [environments.step(np.array([1])) for _ in range(3)]
    assert [bool(step.lost) for step in steps] == [False, False, True]
    assert "did not answer" in steps[2].lost[0]
    environments.close()


@pytest.mark.parametrize("how", ["never", "sleep 2 after 1"])
def test_it_ends_with_who_asks(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, the one leaves the other without commands, or in one: it ends, and leaves nothing."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    crash(monkeypatch, how)
    pid = os.fork()
    if pid == 0:
        try:
            environments = envs.make(CRASHING, 1, ISOLATED, tmp_path / "log")
            environments.reset(0)
            assert len(list(temporary.iterdir())) == 1
            (tmp_path / "children").write_text(str(children()[0].pid))
            environments.step(np.array([1]))
            signal.pause()
        finally:
            os._exit(1)
    until = time.monotonic() + 60.0
    told = tmp_path / "children"
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    child = psutil.Process(int(told.read_text()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    child.wait(10.0)
    assert list(temporary.iterdir()) == []
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_first_episodes_are_played_again_if_they_were_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, "exit 1 after 7 once")
    environments = envs.make(CRASHING, 3, ISOLATED)
    played = first_episodes(environments, 1, lambda seen: np.ones(len(seen), np.int64), 1000)
    assert played.returns.tolist() == [10.0] * 3
    assert played.lengths.tolist() == [10] * 3
    assert not played.cut.any()
    environments.close()


def test_first_episodes_that_are_always_lost_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    crash(monkeypatch, "exit 1 after 7")
    environments = envs.make(CRASHING, 1, ISOLATED)
    with pytest.raises(UserError, match="exit status 1"):
        first_episodes(environments, 1, lambda seen: np.ones(len(seen), np.int64), 1000)
    environments.close()


def test_a_run_goes_on_and_tells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash(monkeypatch, "signal 11 after 200 once")
    config = tiny_config(tmp_path, tasks=(CRASHING,), agent_steps=(1600,), isolate=True)
    display = TapeDisplay()
    run_experiment(config, display=display)
    told = [note for note in display.notes if "SIGSEGV" in note]
    assert len(told) == 1
    assert "lost" in told[0]
    assert display.shown[-1].restarts == 1
    folder = tmp_path / "tiny"
    assert "freed a freed pointer" in (folder / "environments.log").read_text()
    lengths = {row.split(",")[-1] for row in (folder / "returns.csv").read_text().split()[1:]}
    assert lengths == {"10"}
    assert read_scalars(folder / "tensorboard/pathnet/1-tests-Crashing")["run/restarts"][-1] == 1.0


def test_a_run_whose_environments_die_again_and_again_is_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crash(monkeypatch, "never")
    config = tiny_config(
        tmp_path, tasks=(CRASHING,), agent_steps=(1000,), isolate=True, report_seconds=0.05
    )
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: True)
    crash(monkeypatch, "exit 5 after 3")
    monkeypatch.setattr(isolated, "MOST_LOST_IN_A_ROW", 1)
    with pytest.raises(UserError, match="exit status 5"):
        run_experiment(config)
    crash(monkeypatch, "never")
    run_experiment(config)
