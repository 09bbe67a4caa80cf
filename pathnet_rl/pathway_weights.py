"""The numbers of one pathway, on their way between the store and an engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PathwayWeights:
    """The numbers of one pathway and its head, or gradients of the same shape.

    Attributes:
        layers: per layer, [n, module_size]; trainable modules first, then frozen ones. Gradients
            have the trainable rows only.
        head: [head size].
        trainable: per layer, how many of the first rows are trained.
    """

    layers: tuple[torch.Tensor, ...]
    head: torch.Tensor
    trainable: tuple[int, ...]

    def scale_to_norm(self, limit: float) -> float:
        """Scale gradients in place so that their global norm is at most `limit`; the norm before."""
        tensors = (*self.layers, self.head)
        norm = math.sqrt(sum(float(t.view(-1).dot(t.view(-1))) for t in tensors))
        if norm > limit:
            for tensor in tensors:
                tensor.mul_(limit / norm)
        return norm
