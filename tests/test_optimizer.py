"""Shared RMSProp against a literal loop, and the annealed rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pathnet_rl.optimizer import annealed, shared_rmsprop

RATE, DECAY = 7e-4, 0.99

Floats = NDArray[np.float32]


def step(parameters: Floats, squares: Floats, gradients: Floats, epsilon: float) -> None:
    """One step on a block of one row."""
    rows = np.zeros(1, np.int64)
    blocks = parameters[None], squares[None]
    shared_rmsprop(*blocks, rows, gradients[None], RATE, DECAY, epsilon)


@pytest.mark.parametrize("epsilon", [0.1, 1e-5])
def test_thirty_steps_equal_the_literal_loop(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    parameters = rng.standard_normal(6).astype(np.float32)
    squares = np.zeros(6, np.float32)
    theta, g = parameters.tolist(), [0.0] * 6
    for _ in range(30):
        gradients = rng.standard_normal(6).astype(np.float32)
        step(parameters, squares, gradients, epsilon)
        for i in range(6):
            d = float(gradients[i])
            g[i] = DECAY * g[i] + (1 - DECAY) * d * d
            theta[i] = theta[i] - RATE * d / math.sqrt(g[i] + epsilon)
    np.testing.assert_allclose(parameters, theta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(squares, g, rtol=1e-4)


def test_epsilon_is_inside_the_root_as_it_is_not_in_torchs_rmsprop() -> None:
    epsilon = 0.1
    ours = np.zeros(1, np.float32)
    step(ours, np.zeros(1, np.float32), np.ones(1, np.float32), epsilon)
    assert ours.item() == pytest.approx(-RATE / math.sqrt(0.01 + epsilon), rel=1e-6)
    theirs = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.RMSprop([theirs], lr=RATE, alpha=DECAY, eps=epsilon)
    theirs.grad = torch.ones(1)
    optimizer.step()
    assert theirs.item() == pytest.approx(-RATE / (math.sqrt(0.01) + epsilon), rel=1e-6)
    assert abs(ours.item()) < 0.7 * abs(theirs.item())


def test_gradients_are_left_as_they_were() -> None:
    gradients = np.array([1.0, -2.0], np.float32)
    step(np.zeros(2, np.float32), np.zeros(2, np.float32), gradients, 0.1)
    assert gradients.tolist() == [1.0, -2.0]


def test_only_the_chosen_rows_are_stepped_and_each_by_its_own_gradient() -> None:
    block, squares = np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32)
    gradients = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]], np.float32)
    shared_rmsprop(block, squares, np.array([3, 1]), gradients, RATE, DECAY, 0.1)
    assert np.sign(block[:, 0]).tolist() == [0, 1, 0, -1, 0]
    assert (block == block[:, :1]).all()
    assert (squares != 0).all(axis=1).tolist() == [False, True, False, True, False]


def test_the_rate_is_annealed_linearly_to_zero_and_not_below() -> None:
    assert [annealed(0.8, done, 100) for done in (0, 25, 50, 100, 130)] == pytest.approx(
        [0.8, 0.6, 0.4, 0.0, 0.0]
    )
