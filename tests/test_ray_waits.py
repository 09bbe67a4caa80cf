"""Waits on ray: who waits says what for, and not without end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.run_folder import RunFolder
from tests.support import tiny_config
from workers import ray_waits
from workers.ray_crew import RayCrew
from workers.ray_tasks import as_they_end
from workers.ray_waits import Patience, Silent, answer, reason_of, within


def test_nothing_is_said_of_a_short_wait_one_line_of_a_long_one_and_then_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    patience = Patience(lambda: "waiting for rain")
    said = {}
    for now in range(1001, 1601):
        said[now] = patience.look()
    lines = [second for second, line in said.items() if line]
    assert lines == [1010 + 60 * minute for minute in range(10)]
    assert said[1010] == ["waiting for rain"]
    now = 1601
    with pytest.raises(UserError, match=r"^waiting for rain; nothing came of it in 10 minutes"):
        patience.look()
    assert patience.look(waiting=False) == []
    assert patience.look() == []


def test_a_call_without_a_limit_is_given_one() -> None:
    assert within(5.0, lambda: "here", "nobody") == "here"
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 / 0, "nobody")
    with pytest.raises(Silent, match=r"^nobody$"):
        within(0.1, lambda: time.sleep(3.0), "nobody")


def test_a_reason_is_one_line_without_advice() -> None:
    assert "\n" not in reason_of(ActorDiedError())
    said = "Killed. Worker exit detail: connection error code 2. There are some potential root causes. (1) x"
    assert reason_of(RuntimeError(said)) == "connection error code 2."
    assert reason_of(RuntimeError()) == "RuntimeError"
    assert len(reason_of(RuntimeError("x" * 10_000))) < 400


class Holder:
    """Has CPUs, and answers when it likes."""

    def sleep(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds


@pytest.fixture
def taken(ray_cluster: None) -> Iterator[Any]:
    """Both CPUs of the cluster are somebody else's."""
    made: Any = ray.remote(Holder)
    holder = made.options(num_cpus=2).remote()
    ray.get(holder.sleep.remote(0.0), timeout=60.0)  # Else somebody before has kept a CPU.
    yield holder
    ray.kill(holder)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_waits, "SAY_SECONDS", 1.0)
    monkeypatch.setattr(ray_waits, "AGAIN_SECONDS", 2.0)


WAITS = "waiting for 1 CPU: the cluster has 2, of which 0 are free"


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_does_not_come(taken: Any, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(Silent, match="the sleeper gave no answer in 3 seconds"),
    ):
        answer(taken.sleep.remote(5.0), "the sleeper", seconds=3.0)
    assert "waiting for an answer of the sleeper" in caplog.text
    assert answer(taken.sleep.remote(0.5), "the sleeper") == 0.5


@pytest.mark.usefixtures("taken", "impatient")
def test_workers_without_cpus_say_so_can_be_stopped_and_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(tmp_path, agent_steps=(2000,))
    RunFolder(config).open()
    crew = RayCrew(config, Arm.PATHNET, build_grid(config), workers=1)
    try:
        crew.server.begin_first_task(0)
        crew.hub.begin_task(0, 0)
        crew.start()
        notes: list[str] = []
        until = time.monotonic() + 60.0
        while not notes:
            assert not crew.wait(0.5)
            notes = crew.notes()
            assert time.monotonic() < until
        assert notes[0].startswith(WAITS)
        monkeypatch.setattr(ray_waits, "MOST_SECONDS", 0.0)
        with pytest.raises(UserError, match=f"^{WAITS}.*the same command goes on") as gave_up:
            crew.wait(0.5)
        assert "\n" not in str(gave_up.value)
        monkeypatch.undo()
        crew.store.stopped = True
        assert crew.wait(5.0)
    finally:
        crew.close()


@pytest.mark.usefixtures("taken", "impatient")
def test_tasks_without_cpus_say_so_and_give_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_waits, "MOST_SECONDS", 4.0)
    tasks = as_they_end(abs, [(-1,), (-2,)], 1)
    with (
        caplog.at_level(logging.WARNING),
        contextlib.closing(tasks),
        pytest.raises(UserError, match=f"^{WAITS}"),
    ):
        list(tasks)
    assert WAITS in caplog.text
