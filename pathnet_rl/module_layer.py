"""The shape of the modules of one layer, and where their numbers lie in the block.

Shapes here are (height, width, channels) for images and (features,) for vectors: between layers, arrays are
channels-last, and are flattened in that order before the first linear layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pathnet_rl.errors import UserError
from pathnet_rl.modules import ConvModule, LinearModule

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ModuleLayer:
    """M modules of one kind.

    Attributes:
        start: where the layer begins in the block. modules: M.
        input_shape, output_shape: of one module, and of the sum over modules.
        module_size: numbers in a module.
    """

    start: int
    modules: int
    input_shape: Shape
    output_shape: Shape
    module_size: int

    def rows(self, block: torch.Tensor) -> torch.Tensor:
        """The layer's modules as a view of the block, shape [M, module_size]."""
        return block[self.start : self.start + self.modules * self.module_size].view(
            self.modules, self.module_size
        )

    def draw(self, rng: np.random.Generator) -> torch.Tensor:
        """The numbers of a fresh module, [module_size]."""
        raise NotImplementedError

    def describe(self) -> list[Any]:
        """What a checkpoint must agree with, as JSON values."""
        raise NotImplementedError


@dataclass(frozen=True)
class AffineLayer(ModuleLayer):
    """Convolutions or linear maps, then ReLU.

    A module is its weights (torch's order: [out, in, k, k] or [out, in]), followed by its biases.

    Attributes:
        weight_shape: of a module. stride: of a convolution, else 1.
    """

    weight_shape: Shape
    stride: int

    @property
    def convolutional(self) -> bool:
        return len(self.weight_shape) == 4

    @property
    def outputs(self) -> int:
        """Kernels of a convolution, units of a linear layer."""
        return self.weight_shape[0]

    @property
    def weights(self) -> int:
        """Numbers in a module before its biases."""
        return math.prod(self.weight_shape)

    @property
    def fan_in(self) -> int:
        return math.prod(self.weight_shape[1:])

    def draw(self, rng: np.random.Generator) -> torch.Tensor:
        return uniform(self.module_size, self.fan_in, rng)

    def describe(self) -> list[Any]:
        return [*self.weight_shape, self.stride]


def affine_layers(layers: Sequence[ModuleLayer]) -> list[AffineLayer]:
    """The layers, which are all of that kind.

    Raises:
        TypeError: there is another; `RunConfig` refuses it for engines that have no other.
    """
    found = [layer for layer in layers if isinstance(layer, AffineLayer)]
    if len(found) < len(layers):
        raise TypeError("these are not all convolutions and linear modules")
    return found


def torch_order(shape: Shape) -> Shape:
    """(channels, height, width) of (height, width, channels); vectors stay."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def uniform(count: int, fan_in: int, rng: np.random.Generator) -> torch.Tensor:
    """Torch's default initialisation, as A3C used it: so many numbers, uniform in +-1/sqrt(fan in)."""
    import torch  # Slow to import, so late.

    bound = 1.0 / math.sqrt(fan_in)
    return torch.from_numpy(rng.uniform(-bound, bound, size=count).astype(np.float32))


def place_affine(
    module: ConvModule | LinearModule, start: int, modules: int, shape: Shape
) -> AffineLayer:
    """The layer of M such modules that begins at `start` in the block and takes in arrays of `shape`.

    Raises:
        UserError: a module of that kind cannot take them in.
    """
    if isinstance(module, ConvModule):
        if len(shape) != 3 or min(shape[:2]) < module.size:
            raise UserError(
                f"a {module.size}x{module.size} convolution does not fit an input of shape {shape}; choose a"
                f" grid of {'smaller kernels' if len(shape) == 3 else 'linear modules'}"
            )
        out = tuple((side - module.size) // module.stride + 1 for side in shape[:2])
        weights = (module.kernels, shape[2], module.size, module.size)
        size = math.prod(weights) + module.kernels
        return AffineLayer(
            start, modules, shape, (*out, module.kernels), size, weights, module.stride
        )
    features = math.prod(shape)
    size = module.units * (features + 1)
    return AffineLayer(
        start, modules, (features,), (module.units,), size, (module.units, features), 1
    )
