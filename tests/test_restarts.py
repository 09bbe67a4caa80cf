"""Workers that die again and again end the run; those that get on between do not."""

from __future__ import annotations

import pytest

from pathnet_rl.errors import UserError
from workers.restarts import MOST_IN_A_ROW, MOST_OF_ONE, Restarts


def test_restarts_with_work_in_between_are_counted_and_nothing_more() -> None:
    restarts = Restarts()
    for agent_steps in range(100, 2000, 100):
        restarts.note(0, agent_steps)
    assert restarts.count == 19


def test_restarts_without_work_in_between_end_the_run() -> None:
    restarts = Restarts()
    restarts.died("killed by signal 11")
    for _ in range(MOST_IN_A_ROW):
        restarts.note(0, 700)
    with pytest.raises(UserError, match="died 6 times without an agent step in between: killed by"):
        restarts.note(1, 700)


def test_one_that_never_works_ends_the_run_though_others_get_on() -> None:
    restarts = Restarts()
    for agent_steps in range(MOST_OF_ONE):
        restarts.note(0, agent_steps + 1)
    restarts.worked(0)
    for agent_steps in range(100, 100 + MOST_OF_ONE):
        restarts.note(0, agent_steps)
        restarts.worked(1)
    with pytest.raises(
        UserError, match=rf"worker 0 died {MOST_OF_ONE + 1} times before it had done"
    ):
        restarts.note(0, 999)
