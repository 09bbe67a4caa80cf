"""One pathway, ready to act and to learn: the fast forward pass and its hand-written backward pass.

Axes: T steps, E environments, B = T x E samples; n active modules of k outputs in a layer.

The weights of a pathway do not change during a rollout, so what acting computed is kept and the
backward pass starts from it: no second forward pass. Arrays are channels-last throughout, in which
the first convolution's weight gradient costs a quarter of what it costs otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.grid import Grid, ModuleLayer

PIXEL_SCALE = 1.0 / 255.0


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
        norm = math.sqrt(sum(float(torch.dot(t.view(-1), t.view(-1))) for t in tensors))
        if norm > limit:
            for tensor in tensors:
                tensor.mul_(limit / norm)
        return norm


class _Layer:
    """One layer's buffers for (T + 1) x E samples, and the prepared weights of the current path."""

    def __init__(self, shape: ModuleLayer, most_modules: int, samples: int, scale: float) -> None:
        self.shape = shape
        self.scale = scale
        positions = math.prod(shape.output_shape) // shape.outputs
        self.positions = positions
        self._activations = torch.zeros(samples * positions * most_modules * shape.outputs)
        self.summed = torch.zeros(samples, *shape.output_shape)
        # Summing modules is a product with stacked identity matrices: 2.4 times as fast as sum().
        self._stacked_identity = torch.eye(shape.outputs).repeat(most_modules, 1)
        self.samples = samples

    def load(self, rows: torch.Tensor, trainable: int) -> None:
        shape = self.shape
        self.active = len(rows)
        self.trainable = trainable
        columns = self.active * shape.outputs
        weight = rows[:, : shape.weights]
        if shape.convolutional:
            weight = weight.reshape(columns, *shape.weight_shape[1:])
            self.weight = (weight * self.scale).contiguous(memory_format=torch.channels_last)
        else:
            self.weight = weight.reshape(columns, -1) * self.scale
        self.bias = rows[:, shape.weights :].reshape(-1)
        self.activations = self._activations[: self.samples * self.positions * columns].view(
            self.samples * self.positions, columns
        )
        self.sum_modules = self._stacked_identity[:columns]

    def forward(self, inputs: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Summed outputs of samples start..stop; inputs [samples, *input_shape]."""
        shape = self.shape
        if shape.convolutional:
            raw = torch.conv2d(
                inputs.permute(0, 3, 1, 2), self.weight, self.bias, stride=shape.stride
            ).permute(0, 2, 3, 1)
        else:
            raw = torch.addmm(self.bias, inputs.reshape(stop - start, -1), self.weight.t())
        kept = self.activations[start * self.positions : stop * self.positions]
        torch.clamp_min(raw.reshape(kept.shape), 0.0, out=kept)
        summed = self.summed[start:stop]
        torch.mm(kept, self.sum_modules, out=summed.view(-1, shape.outputs))
        return summed

    def backward(
        self, inputs: torch.Tensor, upstream: torch.Tensor, need_inputs: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Gradients of the trainable rows [trainable, module_size] and of the inputs.

        Args:
            inputs: [B, *input_shape]. upstream: gradient of the summed outputs, [B, *output_shape].
        """
        shape = self.shape
        batch = len(inputs)
        kept = self.activations[: batch * self.positions]
        # Spreading over the modules by a product, then masking: a quarter of the time of where().
        raw = upstream.reshape(-1, shape.outputs) @ self.sum_modules.t()
        torch.ops.aten.threshold_backward.grad_input(raw, kept, 0.0, grad_input=raw)
        learned = raw[:, : self.trainable * shape.outputs]
        gradient = torch.empty(self.trainable, shape.module_size)
        input_gradient: torch.Tensor | None = None
        if shape.convolutional:
            image = (batch, *shape.output_shape[:2], -1)
            channels_last = inputs.permute(0, 3, 1, 2)
            if self.trainable:
                columns = self.trainable * shape.outputs
                _, weight_gradient, _ = self._convolution_backward(
                    learned.reshape(image), channels_last, self.weight[:columns], (False, True)
                )
                gradient[:, : shape.weights] = weight_gradient.reshape(self.trainable, -1)
            if need_inputs:
                input_gradient, _, _ = self._convolution_backward(
                    raw.view(image), channels_last, self.weight, (True, False)
                )
                input_gradient = input_gradient.permute(0, 2, 3, 1)
        else:
            flat = inputs.reshape(batch, -1)
            if self.trainable:
                gradient[:, : shape.weights] = (learned.t() @ flat).view(self.trainable, -1)
            if need_inputs:
                input_gradient = raw @ self.weight
        if self.trainable:
            gradient[:, : shape.weights] *= self.scale
            gradient[:, shape.weights :] = learned.sum(0).view(self.trainable, -1)
        return gradient, input_gradient

    def _convolution_backward(
        self,
        upstream: torch.Tensor,
        inputs: torch.Tensor,
        weight: torch.Tensor,
        wanted: tuple[bool, bool],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        stride = self.shape.stride
        return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
            upstream.permute(0, 3, 1, 2),
            inputs,
            weight,
            None,
            [stride, stride],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [*wanted, False],
        )


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
        self._image = len(grid.observation_shape) == 3
        first = grid.layers[0]
        input_shape = first.input_shape
        if self._image:
            channels, height, width = grid.observation_shape
            self._planes = torch.zeros(environments, channels, height, width)
            if not first.convolutional:
                input_shape = (height, width, channels)
        self._inputs = torch.zeros(samples, *input_shape)
        self._layers = [
            _Layer(layer, most_modules, samples, PIXEL_SCALE if self._image and not depth else 1.0)
            for depth, layer in enumerate(grid.layers)
        ]
        self._features = grid.heads[0].features if grid.heads else 0
        self._outputs = torch.zeros(samples, actions + 1)

    @torch.no_grad()
    def load(self, weights: PathwayWeights) -> None:
        """Prepare a pathway's numbers; they stay what they are until the next `load`."""
        for layer, rows, trainable in zip(
            self._layers, weights.layers, weights.trainable, strict=True
        ):
            layer.load(rows, trainable)
        matrix = weights.head[: (self.actions + 1) * self._features]
        self._head = matrix.view(self.actions + 1, self._features)
        self._head_bias = weights.head[matrix.numel() :]

    @torch.no_grad()
    def forward(
        self, observations: NDArray[np.generic], step: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [E, A] and values [E] of one step's observations [E, ...], kept for `backward`.

        The returned arrays are views: they change when the same step is computed again.
        """
        start, stop = step * self.environments, (step + 1) * self.environments
        current = self._inputs[start:stop]
        incoming = torch.from_numpy(observations)
        if self._image:
            # Widening first and reordering second is faster than both in one copy.
            self._planes.copy_(incoming)
            current.permute(0, 3, 1, 2).copy_(self._planes)
        else:
            current.copy_(incoming)
        for layer in self._layers:
            current = layer.forward(current, start, stop)
        outputs = self._outputs[start:stop]
        torch.addmm(
            self._head_bias, current.reshape(self.environments, -1), self._head.t(), out=outputs
        )
        array = outputs.numpy()
        return array[:, :-1], array[:, -1]

    def outputs(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [B, A] and values [B] of the T steps acted since `load`."""
        array = self._outputs[: self.steps * self.environments].numpy()
        return array[:, :-1], array[:, -1]

    @torch.no_grad()
    def backward(
        self, gradient_logits: NDArray[np.float32], gradient_values: NDArray[np.float32]
    ) -> PathwayWeights:
        """Gradients of the trainable modules and the head, given d loss / d outputs [B, A], [B]."""
        batch = self.steps * self.environments
        upstream = torch.from_numpy(
            np.concatenate([gradient_logits, gradient_values[:, None]], axis=1)
        )
        features = self._layers[-1].summed[:batch].reshape(batch, -1)
        head = torch.cat([(upstream.t() @ features).view(-1), upstream.sum(0)])
        current = upstream @ self._head
        gradients: list[torch.Tensor] = []
        for depth in range(len(self._layers) - 1, -1, -1):
            inputs = self._layers[depth - 1].summed if depth else self._inputs
            gradient, below = self._layers[depth].backward(
                inputs[:batch], current, need_inputs=depth > 0
            )
            gradients.append(gradient)
            if below is not None:
                current = below
        return PathwayWeights(
            tuple(reversed(gradients)), head, tuple(layer.trainable for layer in self._layers)
        )
