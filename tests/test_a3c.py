"""A3C's returns against a literal loop, its gradients against autograd, its actions against the policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pathnet_rl.a3c import Floats, loss_gradients, n_step_returns


def literal_return(
    step: int,
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    final_values: NDArray[np.float64],
    bootstrap: float,
    discount: float,
) -> float:
    """One sample of one environment, forward in time: add rewards until something stops it."""
    total, weight = 0.0, 1.0
    for t in range(step, len(rewards)):
        total += weight * float(rewards[t])
        weight *= discount
        if terminated[t]:
            return total
        if truncated[t]:
            return total + weight * float(final_values[t])
    return total + weight * bootstrap


@given(
    steps=st.integers(1, 7),
    environments=st.integers(1, 3),
    often=st.sampled_from([0.0, 0.2, 0.7]),
    discount=st.sampled_from([0.0, 0.9, 0.99, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_returns_equal_the_literal_sum(
    steps: int, environments: int, often: float, discount: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (steps, environments)
    rewards = rng.standard_normal(shape).astype(np.float32)
    terminated, truncated = rng.random(shape) < often, rng.random(shape) < often
    final_values = rng.standard_normal(shape).astype(np.float32)
    bootstrap = rng.standard_normal(environments).astype(np.float32)
    found = n_step_returns(rewards, terminated, truncated, final_values, bootstrap, discount)
    assert found.dtype == np.float32
    for e in range(environments):
        for t in range(steps):
            wanted = literal_return(
                t,
                rewards[:, e].astype(np.float64),
                terminated[:, e],
                truncated[:, e],
                final_values[:, e].astype(np.float64),
                float(bootstrap[e]),
                discount,
            )
            assert found[t, e] == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def one_environment(
    terminated: list[bool], truncated: list[bool], final_value: float = 50.0
) -> list[float]:
    """Rewards 1, 2, 4; bootstrap 100; discount 0.5."""
    column = np.array([[1.0], [2.0], [4.0]], dtype=np.float32)
    returns = n_step_returns(
        column,
        np.array(terminated)[:, None],
        np.array(truncated)[:, None],
        np.full((3, 1), final_value, dtype=np.float32),
        np.array([100.0], dtype=np.float32),
        0.5,
    )
    return [float(value) for value in returns[:, 0]]


NO = [False, False, False]


def test_an_episode_that_goes_on_is_bootstrapped_with_the_value_after_the_rollout() -> None:
    assert one_environment(NO, NO) == [15.5, 29.0, 54.0]


def test_nothing_follows_a_termination() -> None:
    assert one_environment([False, True, False], NO) == [2.0, 2.0, 54.0]


def test_a_truncation_is_bootstrapped_with_the_value_of_the_final_observation() -> None:
    assert one_environment(NO, [False, True, False]) == [14.5, 27.0, 54.0]


def test_termination_wins_over_truncation() -> None:
    assert one_environment([False, True, False], [False, True, False]) == [2.0, 2.0, 54.0]


def test_the_arguments_are_left_as_they_were() -> None:
    rewards, bootstrap = np.ones((2, 2), np.float32), np.full(2, 3.0, np.float32)
    nothing = np.zeros((2, 2), np.bool_)
    n_step_returns(rewards, nothing, nothing, rewards * 7, bootstrap, 0.9)
    assert (rewards == 1).all()
    assert (bootstrap == 3).all()


def sample(seed: int) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
    rng = np.random.default_rng(seed)
    logits = (3 * rng.standard_normal((10, 5))).astype(np.float32)
    values, returns = (rng.standard_normal(10).astype(np.float32) for _ in range(2))
    return logits, values, rng.integers(0, 5, 10), returns


@pytest.mark.parametrize("entropy_cost", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("value_weight", [0.0, 0.5, 1.0])
def test_gradients_equal_those_of_autograd(entropy_cost: float, value_weight: float) -> None:
    logits, values, actions, returns = sample(0)
    d_logits, d_values, losses = loss_gradients(
        logits, values, actions, returns, entropy_cost, value_weight
    )
    leaf_logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    leaf_values = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    policy = torch.distributions.Categorical(logits=leaf_logits)
    advantage = torch.tensor(returns, dtype=torch.float64) - leaf_values
    log_probability = policy.log_prob(torch.tensor(actions))  # type: ignore[no-untyped-call]
    policy_loss = -(log_probability * advantage.detach()).sum()
    value_loss = 0.5 * advantage.square().sum()
    entropy = policy.entropy().sum()  # type: ignore[no-untyped-call]
    (policy_loss + value_weight * value_loss - entropy_cost * entropy).backward()
    assert leaf_logits.grad is not None
    assert leaf_values.grad is not None
    np.testing.assert_allclose(d_logits, leaf_logits.grad, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(d_values, leaf_values.grad, rtol=1e-4, atol=1e-5)
    assert losses.policy == pytest.approx(policy_loss.item(), rel=1e-5)
    assert losses.value == pytest.approx(value_loss.item(), rel=1e-5)
    assert losses.entropy == pytest.approx(entropy.item(), rel=1e-5)
    assert d_logits.dtype == d_values.dtype == np.float32


def test_losses_are_sums_over_the_rollout() -> None:
    logits, values, actions, returns = sample(1)
    once = loss_gradients(logits, values, actions, returns, 0.01, 0.5)[2]
    twice = loss_gradients(
        np.tile(logits, (2, 1)), np.tile(values, 2), np.tile(actions, 2), np.tile(returns, 2),
        0.01, 0.5,
    )[2]  # fmt: skip
    assert twice.policy == pytest.approx(2 * once.policy)
    assert twice.value == pytest.approx(2 * once.value)
    assert twice.entropy == pytest.approx(2 * once.entropy)


def test_extreme_logits_give_finite_gradients() -> None:
    logits = np.array([[1000.0, -1000.0, 0.0]], dtype=np.float32)
    ones = np.ones(1, dtype=np.float32)
    d_logits, _, losses = loss_gradients(logits, 0 * ones, np.array([0]), ones, 0.01, 0.5)
    assert np.isfinite(d_logits).all()
    assert losses.entropy == pytest.approx(0.0)
