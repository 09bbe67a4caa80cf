"""The layers of one pathway at work: forward a step at a time, backward over a rollout. By hand, for speed.

Axes: T steps, E environments, B = T x E samples; n active modules of k outputs in a layer. Arrays are
channels-last throughout, in which the first convolution's weight gradient costs a quarter of what it
costs otherwise.
"""

from __future__ import annotations

import math

import torch

from pathnet_rl.grid import ModuleLayer
from pathnet_rl.kernels import add_windows


class Layer:
    """One layer at work: buffers for T + 1 steps of E samples, and the prepared weights of the current path.

    A layer is three matrix products: inputs times weights, ReLU, times stacked identity matrices,
    which sums the modules (2.4 times as fast as sum() over an axis of 4).

    Args:
        most_modules: the largest number of active modules. steps: T + 1. environments: E.
        dtype: of the activations and the products; weights and gradients are float32.
    """

    def __init__(
        self,
        shape: ModuleLayer,
        most_modules: int,
        steps: int,
        environments: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.shape, self._steps, self._dtype = shape, steps, dtype
        samples = steps * environments
        self.positions = math.prod(shape.output_shape) // shape.outputs
        self._rows = samples * self.positions
        self._activations = torch.zeros(self._rows * most_modules * shape.outputs, dtype=dtype)
        self.summed = torch.zeros(samples, *shape.output_shape)
        self._summed_steps = self.summed.chunk(steps)
        self._sums_steps = self.summed.view(-1, shape.outputs).chunk(steps)
        self._stacked_identity = torch.eye(shape.outputs, dtype=dtype).repeat(most_modules, 1)
        self._kept: dict[int, tuple[torch.Tensor, tuple[torch.Tensor, ...]]] = {}

    def load(self, rows: torch.Tensor, trainable: int) -> None:
        """Prepare the numbers of the active modules, [n, module_size], trainable ones first."""
        shape = self.shape
        self.trainable = trainable
        columns = len(rows) * shape.outputs
        self.prepare(rows[:, : shape.weights].reshape(columns, *shape.weight_shape[1:]))
        self.bias = rows[:, shape.weights :].flatten().to(self._dtype)
        if columns not in self._kept:
            # Views of one buffer: a slice costs as much as a small product, so it is taken once.
            views = self._activations[: self._rows * columns].view(self._rows, columns)
            self._kept[columns] = views, views.chunk(self._steps)
        self.activations, self._activations_steps = self._kept[columns]
        self._identities = self._stacked_identity[:columns]

    def prepare(self, weight: torch.Tensor) -> None:
        """Lay out the weights, [n k, ...] as torch has them, as `responses` wants them."""
        self.weight = weight
        self._weight_columns = weight.t()

    def responses(self, inputs: torch.Tensor, step: int) -> torch.Tensor:
        """Before the ReLU: [E x positions, n k]."""
        return torch.addmm(self.bias, inputs.reshape(len(inputs), -1), self._weight_columns)

    def weight_gradient(self, inputs: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        """[trainable x k, ...] as torch has weights; `learned` is the gradient of the responses."""
        return learned.t() @ inputs.reshape(len(inputs), -1)

    def input_gradient(self, inputs: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        """[B, *input_shape]; `raw` is the gradient of the responses, [B x positions, n k]."""
        return raw @ self.weight

    def forward(self, inputs: torch.Tensor, step: int) -> torch.Tensor:
        """Summed outputs [E, *output_shape] of one step's inputs [E, *input_shape], kept for `backward`."""
        kept = self._activations_steps[step]
        torch.clamp_min(self.responses(inputs, step), 0.0, out=kept)
        self.sum_modules_into(self._sums_steps[step], kept)
        return self._summed_steps[step]

    def sum_modules_into(self, sums: torch.Tensor, kept: torch.Tensor) -> None:
        """Add up the modules at each position: [E x positions, n k] to [E x positions, k]."""
        torch.mm(kept, self._identities, out=sums)

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
        spread = upstream.reshape(-1, shape.outputs).to(self._dtype)
        raw = spread @ self._identities.t()
        torch.ops.aten.threshold_backward.grad_input(raw, kept, 0.0, grad_input=raw)
        gradient = torch.empty(self.trainable, shape.module_size)
        if self.trainable:
            learned = raw[:, : self.trainable * shape.outputs]
            weights = self.weight_gradient(inputs, learned)
            gradient[:, : shape.weights] = weights.reshape(self.trainable, -1)
            biases = learned.sum(0, dtype=torch.float32)
            gradient[:, shape.weights :] = biases.view(self.trainable, -1)
        return gradient, self.input_gradient(inputs, raw) if need_inputs else None


class ImageLayer(Layer):
    """The first convolution, on images: oneDNN is fastest here, and nothing lies below it."""

    def prepare(self, weight: torch.Tensor) -> None:
        self.weight = weight.to(self._dtype, memory_format=torch.channels_last)

    def responses(self, inputs: torch.Tensor, step: int) -> torch.Tensor:
        images = inputs.permute(0, 3, 1, 2)
        outputs = torch.conv2d(images, self.weight, self.bias, stride=self.shape.stride)
        return outputs.permute(0, 2, 3, 1).reshape(-1, len(self.bias))

    def sum_modules_into(self, sums: torch.Tensor, kept: torch.Tensor) -> None:
        if self._dtype == torch.float32:
            super().sum_modules_into(sums, kept)
        else:
            sums.copy_(torch.mm(kept, self._identities))

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


class ConvolutionLayer(Layer):
    """A later convolution, as a product with the unfolded inputs, which are kept for learning.

    On such small arrays that takes half the time of oneDNN's convolution.
    """

    def __init__(
        self,
        shape: ModuleLayer,
        most_modules: int,
        steps: int,
        environments: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(shape, most_modules, steps, environments, dtype)
        self._kernel, self._channels = shape.weight_shape[2], shape.weight_shape[1]
        # A row of a kernel is contiguous in a channels-last array.
        self._row = self._kernel * self._channels
        samples = steps * environments
        self._columns = torch.zeros(samples, *shape.output_shape[:2], self._kernel, self._row)
        self._columns_steps = self._columns.chunk(steps)
        self._unfolded = self._columns.view(-1, shape.fan_in)
        self._unfolded_steps = self._unfolded.chunk(steps)

    def prepare(self, weight: torch.Tensor) -> None:
        super().prepare(weight.permute(0, 2, 3, 1).reshape(len(weight), -1))

    def responses(self, inputs: torch.Tensor, step: int) -> torch.Tensor:
        self._columns_steps[step].copy_(self._windows(inputs))
        return torch.addmm(self.bias, self._unfolded_steps[step], self._weight_columns)

    def _windows(self, images: torch.Tensor) -> torch.Tensor:
        """A view of [samples, H, W, C] images: the window under each output.

        Shape [samples, out H, out W, kernel, kernel x C].
        """
        image, row, pixel, _ = images.stride()
        stride = self.shape.stride
        return images.as_strided(
            (len(images), *self._columns.shape[1:]),
            (image, row * stride, pixel * stride, row, 1),
            images.storage_offset(),
        )

    def weight_gradient(self, inputs: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        gradient = learned.t() @ self._unfolded[: len(learned)]
        torch_order = gradient.view(-1, self._kernel, self._kernel, self._channels)
        return torch_order.permute(0, 3, 1, 2)

    def input_gradient(self, inputs: torch.Tensor, raw: torch.Tensor) -> torch.Tensor:
        columns = (raw @ self.weight).view(len(inputs), *self._columns.shape[1:])
        gradient = torch.zeros_like(inputs)
        add_windows(columns.numpy(), gradient.flatten(2).numpy(), self.shape.stride)
        return gradient
