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

MEDIAN_STRIDE = 8
"""Every eighth pixel of every eighth row tells a frame's background."""


def standardise(planes: torch.Tensor) -> None:
    """Bring each frame to median 0 and standard deviation 1, in place.

    The median, because a game's background is of one grey: it becomes 0 and is no part of the gradient.
    `planes` holds values in [0, 255] as float32, shape [E, C, H, W]; the median is that of a sample of
    pixels. A deviation below one grey level counts as one: a blank frame stays blank.
    """
    flat = planes.view(*planes.shape[:2], -1)
    sample = planes[:, :, ::MEDIAN_STRIDE, ::MEDIAN_STRIDE].flatten(2)
    flat.sub_(sample.median(2, keepdim=True).values)
    # The same as flat.std(), at a fifth of its cost.
    mean = flat.mean(2, keepdim=True)
    square = torch.linalg.vector_norm(flat, dim=2, keepdim=True).square_().div_(flat.shape[2])
    flat.div_(square.sub_(mean.square_()).clamp_(min=1.0).sqrt_())


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
    """One layer at work: buffers for (T + 1) x E samples, and the prepared weights of the current path.

    A layer is three matrix products: inputs times weights, ReLU, times stacked identity matrices,
    which sums the modules (2.4 times as fast as sum() over an axis of 4).
    """

    def __init__(self, shape: ModuleLayer, most_modules: int, samples: int) -> None:
        self.shape, self.samples = shape, samples
        self.positions = math.prod(shape.output_shape) // shape.outputs
        self._activations = torch.zeros(samples * self.positions * most_modules * shape.outputs)
        self.summed = torch.zeros(samples, *shape.output_shape)
        self._stacked_identity = torch.eye(shape.outputs).repeat(most_modules, 1)

    def load(self, rows: torch.Tensor, trainable: int) -> None:
        """Prepare the numbers of the active modules, [n, module_size], trainable ones first."""
        shape = self.shape
        self.active, self.trainable = len(rows), trainable
        columns = self.active * shape.outputs
        self.prepare(rows[:, : shape.weights].reshape(columns, *shape.weight_shape[1:]))
        self.bias = rows[:, shape.weights :].reshape(-1)
        self.activations = self._activations[: self.samples * self.positions * columns].view(
            self.samples * self.positions, columns
        )
        self.sum_modules = self._stacked_identity[:columns]

    def prepare(self, weight: torch.Tensor) -> None:
        """Lay out the weights, [n k, ...] as torch has them, as `responses` wants them."""
        self.weight = weight

    def responses(self, inputs: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Before the ReLU: [positions of samples start..stop, n k]."""
        return torch.addmm(self.bias, inputs.reshape(stop - start, -1), self.weight.t())

    def weight_gradient(self, inputs: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        """[trainable x k, ...] as torch has weights; `learned` is the gradient of the responses."""
        return learned.t() @ inputs.reshape(len(inputs), -1)

    def input_gradient(self, inputs: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        """[B, *input_shape]; `raw` is the gradient of the responses, [B x positions, n k]."""
        return raw @ self.weight

    def forward(self, inputs: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Summed outputs of samples start..stop, which are `inputs` [stop - start, *input_shape]."""
        kept = self.activations[start * self.positions : stop * self.positions]
        torch.clamp_min(self.responses(inputs, start, stop), 0.0, out=kept)
        summed = self.summed[start:stop]
        torch.mm(kept, self.sum_modules, out=summed.view(-1, self.shape.outputs))
        return summed

    def backward(
        self, inputs: torch.Tensor, upstream: torch.Tensor, need_inputs: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Gradients of the trainable rows [trainable, module_size] and of the inputs.

        Args:
            inputs: [B, *input_shape]. upstream: gradient of the summed outputs, [B, *output_shape].
        """
        shape = self.shape
        kept = self.activations[: len(inputs) * self.positions]
        # Spreading over the modules by a product, then masking: a quarter of the time of where().
        raw = upstream.reshape(-1, shape.outputs) @ self.sum_modules.t()
        torch.ops.aten.threshold_backward.grad_input(raw, kept, 0.0, grad_input=raw)
        gradient = torch.empty(self.trainable, shape.module_size)
        if self.trainable:
            learned = raw[:, : self.trainable * shape.outputs]
            weights = self.weight_gradient(inputs, learned)
            gradient[:, : shape.weights] = weights.reshape(self.trainable, -1)
            gradient[:, shape.weights :] = learned.sum(0).view(self.trainable, -1)
        return gradient, self.input_gradient(inputs, raw) if need_inputs else None


class _ImageLayer(_Layer):
    """The first convolution, on images: oneDNN is fastest here, and nothing lies below it."""

    def prepare(self, weight: torch.Tensor) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last)

    def responses(self, inputs: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        images = inputs.permute(0, 3, 1, 2)
        outputs = torch.conv2d(images, self.weight, self.bias, stride=self.shape.stride)
        return outputs.permute(0, 2, 3, 1).reshape(-1, len(self.bias))

    def weight_gradient(self, inputs: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        shape = self.shape
        upstream = learned.reshape(len(inputs), *shape.output_shape[:2], -1).permute(0, 3, 1, 2)
        _, gradient, _ = torch.ops.aten.convolution_backward(
            upstream,
            inputs.permute(0, 3, 1, 2),
            self.weight[: learned.shape[1]],
            None,
            [shape.stride, shape.stride],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [False, True, False],
        )
        return gradient  # type: ignore[no-any-return]


class _ConvolutionLayer(_Layer):
    """A later convolution, as a product with the unfolded inputs, which are kept for learning.

    On such small arrays that takes half the time of oneDNN's convolution.
    """

    def __init__(self, shape: ModuleLayer, most_modules: int, samples: int) -> None:
        super().__init__(shape, most_modules, samples)
        self._kernel, self._channels = shape.weight_shape[2], shape.weight_shape[1]
        # A row of a kernel is contiguous in a channels-last array.
        self._row = self._kernel * self._channels
        self._columns = torch.zeros(samples, *shape.output_shape[:2], self._kernel, self._row)

    def prepare(self, weight: torch.Tensor) -> None:
        self.weight = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)

    def responses(self, inputs: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        columns = self._columns[start:stop]
        columns.copy_(self._windows(inputs, 0, self._row, self._kernel))
        return torch.addmm(self.bias, columns.view(-1, self.shape.fan_in), self.weight.t())

    def _windows(self, images: torch.Tensor, offset: int, width: int, rows: int) -> torch.Tensor:
        """A view of [samples, H, W, C] images: a piece of the window under each output.

        Shape [samples, out H, out W, rows, width], from `offset` numbers behind a window's first.
        """
        image, row, pixel, _ = images.stride()
        stride = self.shape.stride
        return images.as_strided(
            (len(images), *self.shape.output_shape[:2], rows, width),
            (image, row * stride, pixel * stride, row, 1),
            images.storage_offset() + offset,
        )

    def weight_gradient(self, inputs: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        gradient = learned.t() @ self._columns[: len(inputs)].view(-1, self.shape.fan_in)
        torch_order = gradient.view(-1, self._kernel, self._kernel, self._channels)
        return torch_order.permute(0, 3, 1, 2)

    def input_gradient(self, inputs: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        columns = (raw @ self.weight).view(len(inputs), *self._columns.shape[1:])
        gradient = torch.zeros_like(inputs)
        row = inputs.stride(1)
        # Windows overlap, so they are added a piece at a time that is no wider than the stride:
        # within one piece no two windows touch the same number.
        piece = self.shape.stride * self._channels
        for line in range(self._kernel):
            for start in range(0, self._row, piece):
                width = min(piece, self._row - start)
                target = self._windows(gradient, line * row + start, width, 1)
                target += columns[:, :, :, line : line + 1, start : start + width]
        return gradient


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
        self._standardise = grid.config.standardise_images
        first = grid.layers[0]
        input_shape = first.input_shape
        if self._image:
            channels, height, width = grid.observation_shape
            self._planes = torch.zeros(environments, channels, height, width)
            if not first.convolutional:
                input_shape = (height, width, channels)
        self._inputs = torch.zeros(samples, *input_shape)
        self._layers: list[_Layer] = []
        for depth, layer in enumerate(grid.layers):
            kind = (
                _Layer if not layer.convolutional else _ConvolutionLayer if depth else _ImageLayer
            )
            self._layers.append(kind(layer, most_modules, samples))
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
            if self._standardise:
                standardise(self._planes)
            else:
                self._planes.mul_(1.0 / 255.0)
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

    def dead_units(self) -> float:
        """The share of units that were 0 in all T steps since `load`, in the layer with most of them.

        A convolution's units are its kernels.
        """
        samples = self.steps * self.environments
        shares = []
        for layer in self._layers:
            kept = layer.activations[: samples * layer.positions]
            shares.append(float((kept.amax(0) <= 0.0).float().mean()))
        return max(shares)

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
