"""Shared RMSProp against a literal loop, and the annealed rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pathnet_rl.optimizer import annealed, shared_rmsprop

RATE, DECAY = 7e-4, 0.99


@pytest.mark.parametrize("epsilon", [0.1, 1e-5])
def test_thirty_steps_equal_the_literal_loop(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    parameters, squares = torch.randn(6, generator=torch.Generator().manual_seed(0)), torch.zeros(6)
    theta, g = parameters.double().tolist(), [0.0] * 6
    for _ in range(30):
        gradients = rng.standard_normal(6).astype(np.float32)
        shared_rmsprop(parameters, squares, torch.from_numpy(gradients), RATE, DECAY, epsilon)
        for i in range(6):
            d = float(gradients[i])
            g[i] = DECAY * g[i] + (1 - DECAY) * d * d
            theta[i] = theta[i] - RATE * d / math.sqrt(g[i] + epsilon)
    np.testing.assert_allclose(parameters, theta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(squares, g, rtol=1e-4)


def test_epsilon_is_inside_the_root_as_it_is_not_in_torchs_rmsprop() -> None:
    epsilon = 0.1
    ours, squares = torch.zeros(1), torch.zeros(1)
    shared_rmsprop(ours, squares, torch.ones(1), RATE, DECAY, epsilon)
    assert ours.item() == pytest.approx(-RATE / math.sqrt(0.01 + epsilon), rel=1e-6)
    theirs = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.RMSprop([theirs], lr=RATE, alpha=DECAY, eps=epsilon)
    theirs.grad = torch.ones(1)
    optimizer.step()
    assert theirs.item() == pytest.approx(-RATE / (math.sqrt(0.01) + epsilon), rel=1e-6)
    assert abs(ours.item()) < 0.7 * abs(theirs.item())


def test_gradients_are_left_as_they_were() -> None:
    gradients = torch.tensor([1.0, -2.0])
    shared_rmsprop(torch.zeros(2), torch.zeros(2), gradients, RATE, DECAY, 0.1)
    assert gradients.tolist() == [1.0, -2.0]


def test_a_view_of_the_block_is_stepped_in_place() -> None:
    block, squares = torch.zeros(5), torch.zeros(5)
    shared_rmsprop(block[1:3], squares[1:3], torch.ones(2), RATE, DECAY, 0.1)
    assert (block != 0).tolist() == [False, True, True, False, False]
    assert (squares != 0).tolist() == [False, True, True, False, False]


def test_the_rate_is_annealed_linearly_to_zero_and_not_below() -> None:
    assert [annealed(0.8, done, 100) for done in (0, 25, 50, 100, 130)] == pytest.approx(
        [0.8, 0.6, 0.4, 0.0, 0.0]
    )
