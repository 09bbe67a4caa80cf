"""Asynchronous advantage actor-critic (Mnih et al. 2016): pure functions of arrays.

Axes: T steps of a rollout, E environments, A actions; B = T x E samples. Losses are sums over the
rollout, as in the authors' code, not means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.config import LearningConfig

Floats = NDArray[np.float32]


@dataclass
class Rollout:
    """T steps in E environments, all [T, E] but `bootstrap` [E]; see `n_step_returns`."""

    actions: NDArray[np.int64]
    rewards: Floats
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_values: Floats
    bootstrap: Floats


def n_step_returns(
    rewards: Floats,
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    final_values: Floats,
    bootstrap: Floats,
    discount: float,
) -> Floats:
    """R_t = r_t + discount * (what follows), bootstrapped with the value where the rollout stops.

    What follows is nothing after a termination; the value of the state the episode was cut in
    after a truncation (the episode could have gone on); else R_{t+1}, or `bootstrap` at the end.

    Args:
        rewards: [T, E].
        terminated, truncated: [T, E]; termination wins where both are set.
        final_values: [T, E], V of an episode's last state; read only where truncated.
        bootstrap: [E], V of the state after the last step.

    Returns:
        [T, E] float32.
    """
    returns = np.empty_like(rewards, dtype=np.float32)
    following = bootstrap.astype(np.float32)
    for step in range(len(rewards) - 1, -1, -1):
        following = np.where(truncated[step], final_values[step], following)
        following = np.where(terminated[step], np.float32(0), following)
        following = rewards[step] + np.float32(discount) * following
        returns[step] = following
    return returns


@dataclass(frozen=True)
class Losses:
    """Sums over a rollout of B samples."""

    policy: float
    value: float
    entropy: float


def loss_gradients(
    logits: Floats,
    values: Floats,
    actions: NDArray[np.int64],
    returns: Floats,
    entropy_cost: float,
    value_weight: float,
) -> tuple[Floats, Floats, Losses]:
    """The A3C loss and its gradient with respect to the two heads' outputs.

    loss = sum_B [ -log pi(a) (R - V) - entropy_cost H(pi) + value_weight (R - V)^2 / 2 ], where the
    advantage R - V of the first term is a constant.

    Args:
        logits: [B, A]. values, actions, returns: [B].

    Returns:
        d loss / d logits [B, A], d loss / d values [B], and the three sums (unweighted).
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_policy = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    policy = np.exp(log_policy)
    entropy = -(policy * log_policy).sum(axis=1)
    advantages = returns - values
    rows = np.arange(len(actions))

    toward_action = policy * advantages[:, None]
    toward_action[rows, actions] -= advantages
    from_entropy = policy * (log_policy + entropy[:, None])
    gradient_logits = toward_action + np.float32(entropy_cost) * from_entropy
    gradient_values = np.float32(-value_weight) * advantages
    losses = Losses(
        policy=float(-(log_policy[rows, actions] * advantages).sum()),
        value=float(0.5 * np.square(advantages).sum()),
        entropy=float(entropy.sum()),
    )
    return gradient_logits, gradient_values, losses


def rollout_gradients(
    rollout: Rollout,
    logits: Floats,
    values: Floats,
    learning: LearningConfig,
    entropy_factor: float = 1.0,
    reward_scale: float = 1.0,
) -> tuple[Floats, Floats, Losses]:
    """What a rollout says about the outputs that it was acted with.

    Args:
        entropy_factor: of the configured entropy cost.
        reward_scale: of the rewards, before they are clipped.
        logits: [B, A]. values: [B]. Not finite numbers lead to gradients that are not finite either.

    Returns:
        As `loss_gradients`, of the n-step returns of the rollout's rewards, clipped if so configured.
    """
    rewards = rollout.rewards * np.float32(reward_scale)
    if learning.clip_rewards:
        rewards = rewards.clip(-1.0, 1.0)
    returns = n_step_returns(
        rewards,
        rollout.terminated,
        rollout.truncated,
        rollout.final_values,
        rollout.bootstrap,
        learning.discount,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        return loss_gradients(
            logits,
            values,
            rollout.actions.reshape(-1),
            returns.reshape(-1),
            learning.entropy_cost * entropy_factor,
            learning.value_weight,
        )
