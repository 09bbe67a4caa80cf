"""Comparisons of every ordered pair of some tasks, whose runs share one random policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathnet_rl.comparison.experiment import Comparison
from pathnet_rl.errors import UserError
from pathnet_rl.random_policy import RandomPolicy
from tests.small_comparison import small_comparison
from workers.one_run import Instructions, learn

TASKS = ("CartPole-v1", "Acrobot-v1")


def test_a_matrix_is_every_ordered_pair(tmp_path: Path) -> None:
    comparison = Comparison(base=small_comparison(tmp_path).base, matrix=("a-v0", "b-v0", "c-v0"))
    assert comparison.sequences == (
        "a-v0>a-v0", "a-v0>b-v0", "a-v0>c-v0", "b-v0>a-v0", "b-v0>b-v0", "b-v0>c-v0", "c-v0>a-v0",
        "c-v0>b-v0", "c-v0>c-v0",
    )  # fmt: skip


def test_pairs_and_a_matrix_are_not_both_given(tmp_path: Path) -> None:
    base = small_comparison(tmp_path).base
    with pytest.raises(UserError, match="--pairs or --matrix, not both"):
        Comparison(base=base, pairs=("CartPole-v1",), matrix=TASKS)


def test_runs_share_the_random_policys_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = small_comparison(tmp_path, seeds=2)
    shared = given.random_policy_file
    told = Instructions("start", given.path / ".stop", shared, 3)
    first, second = given.members()
    assert learn(first, told).error is None
    known = RandomPolicy(shared).known("CartPole-v1", "dqn")
    assert len(known) == 3
    before = shared.read_bytes()

    def never(*_: object) -> None:
        raise AssertionError("what is known is not played again")

    monkeypatch.setattr("pathnet_rl.random_policy.random_episodes", never)
    assert learn(second, told).error is None
    assert shared.read_bytes() == before
    assert not list(given.path.rglob("seed-*/random_policy.csv"))
    summary = json.loads((second.path / "summary.json").read_text())
    mean = sum(episode.episode_return for episode in known) / 3
    assert mean in [task["random_policy"] for task in summary["tasks"]]
