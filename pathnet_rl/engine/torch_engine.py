"""Many pathways at once: each layer is one grouped call over all of them, differentiated by torch.

For a device whose launches cost more than its arithmetic: a GPU. On a CPU `network.py` is faster.

Axes: G pathways, T steps, E environments, B = T x E samples; n modules of k outputs in a layer, padded
with modules of zeros, which add nothing, to the same n for all pathways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.frames import standardise
from pathnet_rl.grid import Grid, ModuleLayer
from pathnet_rl.pathway_weights import PathwayWeights

Floats = NDArray[np.float32]


def grouped_layer(layer: ModuleLayer, modules: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """One layer of G pathways: affine maps and ReLU. The sum over modules is left to the caller.

    Args:
        modules: [G, n, module_size]. inputs: [G, B, C, H, W] for a convolution, else [G, B, features].

    Returns:
        [G, B, n, k, H', W'] or [G, B, n, k].
    """
    groups, active = modules.shape[:2]
    weights = modules[:, :, : layer.weights]
    biases = modules[:, :, layer.weights :]
    if not layer.convolutional:
        matrix = weights.reshape(groups, active * layer.outputs, layer.fan_in)
        responses = torch.baddbmm(biases.reshape(groups, 1, -1), inputs, matrix.transpose(1, 2))
        return responses.relu().view(groups, -1, active, layer.outputs)
    kernels = weights.reshape(groups * active * layer.outputs, *layer.weight_shape[1:])
    side_by_side = inputs.transpose(0, 1).flatten(1, 2)
    responses = torch.conv2d(
        side_by_side, kernels, biases.reshape(-1), stride=layer.stride, groups=groups
    )
    samples, _, height, width = responses.shape
    by_module = responses.relu().view(samples, groups, active, layer.outputs, height, width)
    return by_module.transpose(0, 1)


class GroupedNetwork:
    """`network.PathwayNetwork` for G pathways at once, on any device.

    Args:
        grid: the geometry. most_modules: the largest number of modules active in a layer.
        steps: T. environments: E. actions: A of the current task. groups: G. device: torch's name.
    """

    def __init__(
        self,
        grid: Grid,
        most_modules: int,
        steps: int,
        environments: int,
        actions: int,
        groups: int,
        device: str,
    ) -> None:
        self._grid, self._most_modules = grid, most_modules
        self.steps, self.environments, self.actions, self.groups = (
            steps,
            environments,
            actions,
            groups,
        )
        self._device = torch.device(device)
        self._observations: torch.Tensor | None = None
        self._outputs = np.zeros((groups, steps + 1, environments, actions + 1), np.float32)
        self._dead = 0.0

    def load(self, weights: Sequence[PathwayWeights]) -> None:
        """Put G pathways' numbers on the device; they stay what they are until the next `load`."""
        self._trainable = [one.trainable for one in weights]
        self._modules = []
        for depth, layer in enumerate(self._grid.layers):
            padded = torch.zeros(self.groups, self._most_modules, layer.module_size)
            for group, one in enumerate(weights):
                padded[group, : len(one.layers[depth])] = one.layers[depth]
            self._modules.append(padded.to(self._device).requires_grad_())
        self._active = [
            torch.tensor([len(one.layers[depth]) for one in weights], device=self._device)
            for depth in range(self._grid.depth)
        ]
        heads = torch.stack([one.head for one in weights])
        self._heads = heads.to(self._device).requires_grad_()

    @torch.no_grad()
    def forward(
        self, observations: Sequence[NDArray[np.generic]], step: int
    ) -> tuple[Floats, Floats]:
        """Logits [G, E, A] and values [G, E] of one step's observations, G times [E, ...]."""
        came = torch.from_numpy(np.stack(observations))
        if self._observations is None:
            shape = (self.groups, self.steps + 1, *came.shape[1:])
            self._observations = torch.zeros(shape, dtype=came.dtype, device=self._device)
        self._observations[:, step] = came.to(self._device)
        outputs = self._apply(self._observations[:, step]).cpu().numpy()
        self._outputs[:, step] = outputs
        return outputs[..., :-1], outputs[..., -1]

    def outputs(self, group: int) -> tuple[Floats, Floats]:
        """Logits [B, A] and values [B] of one pathway in the T steps acted since `load`."""
        flat = self._outputs[group, : self.steps].reshape(-1, self.actions + 1)
        return flat[:, :-1], flat[:, -1]

    def dead_units(self) -> float:
        """As `PathwayNetwork.dead_units`, the mean over pathways, of the last `backward`."""
        return self._dead

    def backward(
        self, gradient_logits: Sequence[Floats], gradient_values: Sequence[Floats]
    ) -> list[PathwayWeights]:
        """Gradients of each pathway, given d loss / d outputs, G times [B, A] and [B].

        The outputs are computed again: what all layers kept of T steps would not fit small devices.
        """
        assert self._observations is not None
        batch = self._observations[:, : self.steps].flatten(1, 2)
        upstream = np.concatenate(
            [np.stack(gradient_logits), np.stack(gradient_values)[..., None]], axis=2
        )
        outputs = self._apply(batch, watch=True)
        leaves = [*self._modules, self._heads]
        found = torch.autograd.grad(
            outputs, leaves, torch.from_numpy(upstream).to(self._device), materialize_grads=True
        )
        layers, heads = [gradient.cpu() for gradient in found[:-1]], found[-1].cpu()
        return [
            PathwayWeights(
                tuple(
                    layer[group, :count].contiguous()
                    for layer, count in zip(layers, trainable, strict=True)
                ),
                heads[group],
                trainable,
            )
            for group, trainable in enumerate(self._trainable)
        ]

    def _apply(self, observations: torch.Tensor, watch: bool = False) -> torch.Tensor:
        """[G, B, A + 1] from [G, B, ...]; `watch` for units that are always 0."""
        # A copy: what is kept for `backward` must not be standardised twice.
        current = observations.to(torch.float32, copy=True)
        if len(self._grid.observation_shape) == 3:
            if self._grid.config.standardise_images:
                standardise(current.flatten(0, 1))
            else:
                current = current / 255.0
        dead = torch.zeros(self.groups, device=self._device)
        for depth, layer in enumerate(self._grid.layers):
            if current.dim() == 5 and not layer.convolutional:
                # Between layers the block's order is channels-last.
                current = current.permute(0, 1, 3, 4, 2).flatten(2)
            activations = grouped_layer(layer, self._modules[depth], current)
            current = activations.sum(2)
            if watch:
                by_unit = activations.detach().reshape(*activations.shape[:4], -1)
                alive = by_unit.amax((1, 4)) > 0
                alive_units = alive.sum((1, 2)) / (self._active[depth] * layer.outputs)
                dead = torch.maximum(dead, 1.0 - alive_units)
        if watch:
            self._dead = float(dead.mean())
        if current.dim() == 5:
            current = current.permute(0, 1, 3, 4, 2).flatten(2)
        rows = self.actions + 1
        features = math.prod(self._grid.layers[-1].output_shape)
        matrix = self._heads[:, : rows * features].view(-1, rows, features)
        bias = self._heads[:, None, rows * features :]
        return torch.baddbmm(bias, current, matrix.transpose(1, 2))
