"""Workers that die again and again end the run; those that get on between do not."""

from __future__ import annotations

import pytest

from pathnet_rl.errors import UserError
from workers.restarts import MOST_IN_A_ROW, Restarts


def test_restarts_with_work_in_between_are_counted_and_nothing_more() -> None:
    restarts = Restarts()
    for agent_steps in range(100, 2000, 100):
        restarts.note(agent_steps)
    assert restarts.count == 19


def test_restarts_without_work_in_between_end_the_run() -> None:
    restarts = Restarts()
    for _ in range(MOST_IN_A_ROW):
        restarts.note(700)
    with pytest.raises(UserError, match="workers died 6 times without an agent step"):
        restarts.note(700)
