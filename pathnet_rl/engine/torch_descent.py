"""Gradient descent on one pathway of linear modules, in plain torch: what `compiled/descent.py` must do.

Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy

from pathnet_rl.engine.interface import Floats, Integers


class TorchDescent:
    """A `Descent` that autograd differentiates.

    Args:
        units: k.
    """

    def __init__(self, units: int) -> None:
        self._units = units

    def train(
        self,
        grid: Sequence[Floats],
        head: Floats,
        learned: Sequence[Integers],
        used: Sequence[Integers],
        images: Floats,
        labels: Integers,
        order: Integers,
        learning_rate: float,
        mean: bool,
    ) -> int:
        rows, readout = [torch.from_numpy(layer) for layer in grid], torch.from_numpy(head)
        numbers, answers = torch.from_numpy(images), torch.from_numpy(labels)
        # Taking rows of a layer copies them: what is learned is written back at the end.
        trained = [layer[mine].requires_grad_() for layer, mine in zip(rows, learned, strict=True)]
        beside = [layer[mine] for layer, mine in zip(rows, used, strict=True)]
        last = readout.clone().requires_grad_()
        leaves = [*trained, last]
        right = 0
        for minibatch in order:
            pathway = [torch.cat(both) for both in zip(trained, beside, strict=True)]
            logits = self._logits(pathway, last, numbers[minibatch], mean)
            right += int((logits.argmax(1) == answers[minibatch]).sum())
            loss = cross_entropy(logits, answers[minibatch])
            gradients = torch.autograd.grad(loss, leaves)
            with torch.no_grad():
                for leaf, gradient in zip(leaves, gradients, strict=True):
                    leaf.sub_(gradient, alpha=learning_rate)
        for layer, mine, new in zip(rows, learned, trained, strict=True):
            layer[mine] = new.detach()
        readout.copy_(last.detach())
        return right

    def _logits(
        self, pathway: Sequence[torch.Tensor], head: torch.Tensor, images: torch.Tensor, mean: bool
    ) -> torch.Tensor:
        """[B, C] of images [B, inputs], through modules [n, k inputs + k] of each layer and the head."""
        current = images
        for modules in pathway:
            weights = modules[:, : -self._units].reshape(len(modules), self._units, -1)
            biases = modules[:, -self._units :, None]
            responses = torch.relu(weights @ current.T + biases)  # [n, k, B]
            current = responses.sum(0).T
        if mean:
            current = current / len(pathway[-1])
        return current @ head[:, :-1].T + head[:, -1]
