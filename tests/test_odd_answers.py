"""Environments and modules of users that exit, or answer in other types and shapes than they promise."""

from __future__ import annotations

import csv
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from gymnasium.spaces import Box

from launch.signals import StopSignal
from pathnet_rl import envs, places
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from tests import misbehaving
from tests.misbehaving import ShowsAnother
from tests.support import ROOT, TapeDisplay, last_moment, run_experiment, tiny_config
from tests.test_envs import check, play
from tests.test_misbehaving import task

SMALL_IMAGE = Box(0, 255, (3, 40, 40), np.uint8)


def test_an_exit_costs_one_episode_and_closing_may_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    misbehaving.Exits.steps_of_all = 0
    environments = envs.make(task("Exits"), 2)
    tape = play(environments, 3, 30)
    check(environments, tape)
    assert [(n, dict(step.lost)) for n, step in enumerate(tape) if step.lost] == [
        (
            7,
            {
                0: "SystemExit: no licence is left (and when it was closed: RuntimeError: closed already)"
            },
        )
    ]
    with caplog.at_level(logging.WARNING):
        environments.close()
    assert "Exits-v0 could not be closed: RuntimeError: closed already" in caplog.text


def test_a_run_whose_environment_exits_is_finished_and_says_so(tmp_path: Path) -> None:
    misbehaving.Exits.steps_of_all = -1000
    display = TapeDisplay()
    config = tiny_config(tmp_path, tasks=(task("Exits"),), agent_steps=(2000,))
    run_experiment(config, display=display)
    assert len([note for note in display.notes if "no licence is left" in note]) == 1
    with (tmp_path / "tiny/returns.csv").open() as file:
        assert {row["length"] for row in csv.DictReader(file)} == {"10"}


def test_a_run_stays_in_its_folder_whatever_the_environment_changes_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "_HERE", tmp_path)
    config = tiny_config(Path("runs"), tasks=(task("ChangesFolder"),), agent_steps=(500,))
    run_experiment(config)
    assert Path.cwd() != tmp_path
    assert (tmp_path / "runs/tiny/returns.csv").stat().st_size
    assert RunFolder(config).latest_state(config.arms[0]) is not None
    assert RunFolder(config).where == "runs/tiny"


def test_signals_stay_the_runs_whatever_a_simulator_sets() -> None:
    stop = StopSignal()
    stop.listen()
    try:
        environments = envs.make(task("TakesSignals"), 2)
        play(environments, 3, 25)
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        assert misbehaving.TakesSignals.taken == 0
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN
        environments.close()
    finally:
        stop.leave()


def test_a_run_computes_the_same_whatever_its_environments_tell_torch_and_numpy(
    tmp_path: Path,
) -> None:
    learned = []
    before = np.geterr()
    for name in ("Behaving", "ChangesTorch"):
        config = tiny_config(
            tmp_path, name=name, tasks=(task(name),), agent_steps=(400,), engine="torch"
        )
        run_experiment(config)
        learned.append(last_moment(RunFolder(config).path))
    assert torch.equal(learned[0][0]["parameters"], learned[1][0]["parameters"])
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_device() == torch.device("cpu")
    assert np.geterr() == before


def test_torch_is_as_it_comes_if_an_environment_is_the_first_to_import_it() -> None:
    script = (
        "import sys; from pathnet_rl import envs; assert 'torch' not in sys.modules\n"
        f"envs.describe({task('ChangesTorch')!r}); torch = sys.modules['torch']\n"
        "print(torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device())"
    )
    found = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    assert found == "True torch.float32 cpu\n"


def sleepers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.process_iter(["cmdline"])
        if child.info["cmdline"] == ["sleep", misbehaving.SLEEPER]
    ]


def test_what_isolated_environments_start_and_forget_ends_with_them() -> None:
    environments = envs.make(task("LeavesProcesses"), 2, EnvironmentOptions(isolate=True))
    play(environments, 3, 10)
    first = sleepers()
    assert len(first) == 2
    tape = play(environments, 3, 10)
    assert [len(step.lost) for step in tape if step.lost] == [2], "its process ended"
    assert len(sleepers()) == 2
    assert not set(first) & set(sleepers())
    environments.close()
    assert sleepers() == []


def test_an_exit_in_a_constructor_is_one_line() -> None:
    with pytest.raises(UserError, match="ExitsWhenMade-v0 cannot be made: SystemExit"):
        envs.make(task("ExitsWhenMade"), 1)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import argparse; argparse.ArgumentParser().parse_args(['--no-such'])", "SystemExit: 2"),
        ("raise KeyError('SIMULATOR_HOME')", "KeyError: 'SIMULATOR_HOME'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("import no_such_simulator", "No module named 'no_such_simulator'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"simulator_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        UserError, match=f"module '{name}' of task X-v0 cannot be imported"
    ) as refused:
        envs.make(f"{name}:X-v0", 1)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("isolate", [False, True])
def test_other_types_that_mean_the_same_are_taken(isolate: bool) -> None:
    as_ever = play(envs.make(task("Behaving"), 2), 3, 25)
    environments = envs.make(task("AnswersOddly"), 2, EnvironmentOptions(isolate=isolate))
    tape = play(environments, 3, 25)
    check(environments, tape)
    for odd, plain in zip(tape, as_ever, strict=True):
        assert (odd.observations == plain.observations).all()
        assert (odd.rewards == plain.rewards).all()
        assert (odd.ended == plain.ended).all()
    environments.close()


@pytest.mark.parametrize(
    ("space", "shown", "said"),
    [
        (ShowsAnother.space, np.zeros(3), "an observation of shape (3,)"),
        (ShowsAnother.space, None, "an observation of shape ()"),
        (ShowsAnother.space, {"a": 1}, "an observation of shape ()"),
        (ShowsAnother.space, [0.5, [1, 2]], "inhomogeneous"),
        (ShowsAnother.space, np.array(["a", "b"]), "numbers of type <U1"),
        (
            ShowsAnother.space,
            np.array([0.0, 1e300]),
            "1e+300), after 3 steps of an episode, which is beyond",
        ),
        (SMALL_IMAGE, np.zeros((40, 40, 3), np.uint8), "an observation of shape (40, 40, 3)"),
        (SMALL_IMAGE, np.full((3, 40, 40), 0.5), "numbers of type float64 that are none of uint8"),
        (SMALL_IMAGE, np.full((3, 40, 40), 256), "numbers of type int64 that are none of uint8"),
        (
            Box(0, 9, (2,), np.int64),
            np.array([0.5, 1.0]),
            "numbers of type float64 that are none of int64",
        ),
    ],
)
def test_what_is_not_in_the_space_is_named_as_the_environments(
    space: Box, shown: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShowsAnother, "space", space)
    monkeypatch.setattr(ShowsAnother, "shown", shown)
    environments = envs.make(task("ShowsAnother"), 2)
    with pytest.raises(UserError) as refused:
        play(environments, 0, 20)
    assert said in str(refused.value)
    assert "tests/ShowsAnother-v0 shows" in str(refused.value)
    assert "after 3 steps of an episode" in str(refused.value)
    environments.close()


@pytest.mark.parametrize(
    ("space", "shown"),
    [
        (ShowsAnother.space, np.array([1.5, 2.5], np.float64)),
        (ShowsAnother.space, np.ma.masked_array([1, 2], [False, True])),
        (Box(0, 9, (2,), np.int64), np.array([1.0, 2.0])),
        (SMALL_IMAGE, np.full((3, 40, 40), 255.0)),
        (Box(0.0, 255.0, (3, 40, 40), np.float32), np.full((3, 40, 40), 7, np.uint8)),
    ],
)
def test_numbers_that_the_space_holds_are_taken_in_any_type(
    space: Box, shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShowsAnother, "space", space)
    monkeypatch.setattr(ShowsAnother, "shown", shown)
    environments = envs.make(task("ShowsAnother"), 2)
    tape = play(environments, 0, 5)
    check(environments, tape)
    assert (tape[3].observations == np.asarray(shown)).all()
    environments.close()


def test_a_reward_beyond_what_can_be_learned_from_is_named_as_the_environments() -> None:
    environments = envs.make(task("PaysTooMuch"), 2)
    with pytest.raises(UserError, match=r"PaysTooMuch-v0 paid 1e.39 in step 1 .* beyond float32"):
        play(environments, 0, 2)
    environments.close()
