"""One pathway, ready to act and to learn: the fast forward pass and its hand-written backward pass.

Axes: T steps, E environments, B = T x E samples.

The weights of a pathway do not change during a rollout, so what acting computed is kept and the
backward pass starts from it: no second forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.images import ImageInputs, image_dtype
from pathnet_rl.engine.compiled.layer_loops import head_kernel
from pathnet_rl.engine.compiled.layers import Layer, pairs_fit
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.engine.compiled.room import padded, zeros
from pathnet_rl.engine.compiled.tiles import tile_positions
from pathnet_rl.engine.interface import EngineSize
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import affine_layers
from pathnet_rl.pathway_weights import PathwayWeights

Floats = NDArray[np.float32]


def first_layer_dtype(grid: Grid) -> torch.dtype:
    """The number format of images.

    Raises:
        UserError: bfloat16 is asked for and cannot be had.
    """
    return image_dtype(grid.config.image_precision, pairs_fit(affine_layers(grid.layers)[0]))


class CompiledEngine:
    """An `interface.Engine` of one pathway at a time (G = 1)."""

    def __init__(self, grid: Grid, size: EngineSize) -> None:
        if size.pathways != 1:
            raise ValueError(f"one pathway at a time, not {size.pathways}")
        self.size = size
        self.steps, self.environments, self.actions = size.steps, size.environments, size.actions
        steps, environments, actions = size.steps, size.environments, size.actions
        samples = (steps + 1) * environments
        shapes = affine_layers(grid.layers)
        first = shapes[0]
        self._images: ImageInputs | None = None
        if len(grid.observation_shape) == 3:
            self._images = ImageInputs(
                grid.observation_shape,
                steps + 1,
                environments,
                grid.config.standardise_images,
                first_layer_dtype(grid),
            )
            inputs: ImageInputs | Floats = self._images
        else:
            inputs = zeros(samples * first.fan_in + LANE)
            self._vectors = inputs[: samples * first.fan_in].reshape(samples, first.fan_in)
        self._layers: list[Layer] = []
        for shape in shapes:
            layer = Layer(shape, inputs, size.modules, steps + 1, environments)
            self._layers.append(layer)
            inputs = layer.outputs
        self._features = grid.heads[0].features if grid.heads else 0
        self._last = self._layers[-1].summed.reshape(samples, -1)
        self._head_lanes, step = padded(actions + 1), padded(actions + 1, VECTOR)
        self._outputs: Floats = zeros(samples, step)
        self._head_columns, self._head_bias = zeros(self._features, step), zeros(step)
        self._head_forward = head_kernel(tile_positions(environments))

    @torch.no_grad()
    def load(self, weights: Sequence[PathwayWeights]) -> None:
        (one,) = weights
        for layer, rows, trainable in zip(self._layers, one.layers, one.trainable, strict=True):
            layer.load(rows, trainable)
        matrix = one.head[: (self.actions + 1) * self._features]
        self._head = matrix.view(self.actions + 1, self._features)
        self._head_columns[:, : self.actions + 1] = self._head.t()
        self._head_bias[: self.actions + 1] = one.head[matrix.numel() :]

    def forward(
        self, observations: Sequence[NDArray[np.generic]], step: int
    ) -> tuple[Floats, Floats]:
        (seen,) = observations
        first = step * self.environments
        samples = slice(first, first + self.environments)
        if self._images is not None:
            self._images.keep(seen, step)
        else:
            self._vectors[samples] = seen.reshape(self.environments, -1)
        for layer in self._layers:
            layer.forward(step)
        self._head_forward(
            self._last,
            self._head_columns,
            self._head_bias,
            self._outputs,
            first,
            self.environments,
            self._head_lanes,
        )
        outputs = self._outputs[None, samples]
        return outputs[..., : self.actions], outputs[..., self.actions]

    def outputs(self, pathway: int) -> tuple[Floats, Floats]:
        outputs = self._outputs[: self.steps * self.environments]
        return outputs[:, : self.actions], outputs[:, self.actions]

    def dead_units(self) -> float:
        samples = self.steps * self.environments
        return max(layer.dead_units(samples) for layer in self._layers)

    @torch.no_grad()
    def backward(self, upstream: Sequence[tuple[Floats, Floats]]) -> list[PathwayWeights]:
        ((of_logits, of_values),) = upstream
        batch = self.steps * self.environments
        of_outputs = torch.from_numpy(np.concatenate([of_logits, of_values[:, None]], axis=1))
        features = torch.from_numpy(self._last[:batch])
        head = torch.cat([(of_outputs.t() @ features).view(-1), of_outputs.sum(0)])
        current = (of_outputs @ self._head).numpy()
        gradients: list[torch.Tensor] = []
        for depth in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[depth]
            rows = current.reshape(-1, layer.shape.outputs)
            gradient, below = layer.backward(batch, rows, need_inputs=depth > 0)
            gradients.append(gradient)
            if below is not None:
                current = below
        trainable = tuple(layer.trainable for layer in self._layers)
        return [PathwayWeights(tuple(reversed(gradients)), head, trainable)]
