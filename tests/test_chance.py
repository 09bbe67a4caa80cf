"""What a policy gets that learns nothing, and that it is played once for many reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pathnet_rl.errors import UserError
from pathnet_rl.evidence.chance import measured
from pathnet_rl.random_policy import random_episodes


def test_the_random_policy_is_the_same_each_time_and_no_good_at_cartpole() -> None:
    episodes = random_episodes("CartPole-v1", "dqn", 30)
    assert episodes == random_episodes("CartPole-v1", "dqn", 30)
    returns = np.array([episode.episode_return for episode in episodes])
    assert len(set(returns)) > 5
    assert 15 < returns.mean() < 32


def test_episodes_of_the_random_policy_are_kept_for_the_next_report(tmp_path: Path) -> None:
    path, key = tmp_path / "random_policy.csv", ("CartPole-v1", "dqn")
    found, silent = measured([key, key], path, 3)
    assert (len(found[key]), silent) == (3, [])
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], *(f"{row.rpartition(',')[0]},101.0" for row in rows[1:])]))
    assert measured([key], path, 2)[0][key].min() > 100  # Read, not played.
    assert measured([key], path, 0)[0][key].min() > 100
    assert measured([key], path, 4)[0][key].min() < 100
    assert measured([("Acrobot-v1", "dqn")], path, 0) == ({}, [])


def test_a_task_that_cannot_be_played_here_is_named(tmp_path: Path) -> None:
    found, (why,) = measured([("CartPoel-v1", "dqn")], tmp_path / "random_policy.csv", 3)
    assert found == {}
    assert why.startswith("CartPoel-v1: unknown task 'CartPoel-v1'")


def test_a_damaged_file_of_the_random_policy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "random_policy.csv"
    path.write_text("task,protocol,agent_steps,episode_return\nCartPole-v1,dqn,9,many\n")
    with pytest.raises(UserError, match="delete it, and it is made anew"):
        measured([("CartPole-v1", "dqn")], path, 3)
