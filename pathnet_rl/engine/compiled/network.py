"""One pathway, ready to act and to learn: the fast forward pass and its hand-written backward pass.

Axes: T steps, E environments, B = T x E samples.

The weights of a pathway do not change during a rollout, so what acting computed is kept and the
backward pass starts from it: no second forward pass.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.images import ImageInputs, image_dtype
from pathnet_rl.engine.compiled.layer_loops import head_kernel
from pathnet_rl.engine.compiled.layers import Layer, pairs_fit
from pathnet_rl.engine.compiled.registers import LANE, VECTOR
from pathnet_rl.engine.compiled.room import padded, zeros
from pathnet_rl.engine.compiled.tiles import tile_positions
from pathnet_rl.grid import Grid
from pathnet_rl.pathway_weights import PathwayWeights


class PathwayNetwork:
    """Acts with one pathway at a time and differentiates the rollout it acted in.

    Usage: `load` a pathway's weights; `forward` steps 0..T-1 (and T for the bootstrap value);
    `backward` with the gradients of the T x E outputs; `load` the next pathway.

    Args:
        grid: the geometry. most_modules: the largest number of modules active in a layer.
        steps: T. environments: E. actions: A of the current task.
    """

    def __init__(
        self, grid: Grid, most_modules: int, steps: int, environments: int, actions: int
    ) -> None:
        self.steps, self.environments, self.actions = steps, environments, actions
        samples = (steps + 1) * environments
        first = grid.layers[0]
        self._images: ImageInputs | None = None
        if len(grid.observation_shape) == 3:
            self._images = ImageInputs(
                grid.observation_shape,
                steps + 1,
                environments,
                grid.config.standardise_images,
                image_dtype(grid.config.image_precision, pairs_fit(first)),
            )
            inputs: ImageInputs | NDArray[np.float32] = self._images
        else:
            inputs = zeros(samples * first.fan_in + LANE)
            self._vectors = inputs[: samples * first.fan_in].reshape(samples, first.fan_in)
        self._layers: list[Layer] = []
        for shape in grid.layers:
            layer = Layer(shape, inputs, most_modules, steps + 1, environments)
            self._layers.append(layer)
            inputs = layer.outputs
        self._features = grid.heads[0].features if grid.heads else 0
        self._last = self._layers[-1].summed.reshape(samples, -1)
        self._head_lanes, step = padded(actions + 1), padded(actions + 1, VECTOR)
        self._outputs: NDArray[np.float32] = zeros(samples, step)
        self._head_columns, self._head_bias = zeros(self._features, step), zeros(step)
        self._head_forward = head_kernel(tile_positions(environments))

    @torch.no_grad()
    def load(self, weights: PathwayWeights) -> None:
        """Prepare a pathway's numbers; they stay what they are until the next `load`."""
        for layer, rows, trainable in zip(
            self._layers, weights.layers, weights.trainable, strict=True
        ):
            layer.load(rows, trainable)
        matrix = weights.head[: (self.actions + 1) * self._features]
        self._head = matrix.view(self.actions + 1, self._features)
        self._head_columns[:, : self.actions + 1] = self._head.t()
        self._head_bias[: self.actions + 1] = weights.head[matrix.numel() :]

    def forward(
        self, observations: NDArray[np.generic], step: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [E, A] and values [E] of one step's observations [E, ...], kept for `backward`.

        The returned arrays are views: they change when the same step is computed again.
        """
        first = step * self.environments
        samples = slice(first, first + self.environments)
        if self._images is not None:
            self._images.keep(observations, step)
        else:
            self._vectors[samples] = observations.reshape(self.environments, -1)
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
        outputs = self._outputs[samples]
        return outputs[:, : self.actions], outputs[:, self.actions]

    def outputs(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [B, A] and values [B] of the T steps acted since `load`."""
        outputs = self._outputs[: self.steps * self.environments]
        return outputs[:, : self.actions], outputs[:, self.actions]

    def dead_units(self) -> float:
        """The share of units that were 0 in all T steps since `load`, in the layer with most of them.

        A convolution's units are its kernels.
        """
        samples = self.steps * self.environments
        return max(layer.dead_units(samples) for layer in self._layers)

    @torch.no_grad()
    def backward(
        self, gradient_logits: NDArray[np.float32], gradient_values: NDArray[np.float32]
    ) -> PathwayWeights:
        """Gradients of the trainable modules and the head, given d loss / d outputs [B, A], [B]."""
        batch = self.steps * self.environments
        upstream = torch.from_numpy(
            np.concatenate([gradient_logits, gradient_values[:, None]], axis=1)
        )
        features = torch.from_numpy(self._last[:batch])
        head = torch.cat([(upstream.t() @ features).view(-1), upstream.sum(0)])
        current = (upstream @ self._head).numpy()
        gradients: list[torch.Tensor] = []
        for depth in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[depth]
            rows = current.reshape(-1, layer.shape.outputs)
            gradient, below = layer.backward(batch, rows, need_inputs=depth > 0)
            gradients.append(gradient)
            if below is not None:
                current = below
        return PathwayWeights(
            tuple(reversed(gradients)), head, tuple(layer.trainable for layer in self._layers)
        )
