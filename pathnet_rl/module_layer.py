"""The shape of the modules of one layer, and where their numbers lie in the block.

Shapes here are (height, width, channels) for images and (features,) for vectors: between layers, arrays are
channels-last, and are flattened in that order before the first linear layer.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedParameter

from pathnet_rl.errors import UserError, said
from pathnet_rl.modules import ConvModule, CustomModule, LinearModule
from pathnet_rl.others_code import FAILURES, all_kept

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


@dataclass(frozen=True)
class CustomLayer(ModuleLayer):
    """Modules of the user's own: a factory makes a `torch.nn.Module` of the input's shape and the options.

    The shape is (channels, height, width) for images and (features,) for vectors. The module maps
    [B, *shape] to [B, channels, height, width] or [B, features]; what it returns is summed over the active
    modules as it is, so it ends with a nonlinearity of its own. It is used in evaluation mode (no dropout).
    """

    custom: CustomModule

    def make_module(self) -> torch.nn.Module:
        """One module; its parameters have yet to be given to it."""
        return _call_factory(self.custom, torch_order(self.input_shape))

    @functools.cached_property
    def parameters(self) -> dict[str, torch.Size]:
        """Names and shapes of a module's parameters, in the order in which they lie in a row of the block."""
        named = self.make_module().named_parameters()
        return {name: parameter.shape for name, parameter in named}

    def draw(self, rng: np.random.Generator) -> torch.Tensor:
        """As the module initialises itself, with torch's generator seeded from `rng` meanwhile."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            module = self.make_module()
        return torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()])

    def describe(self) -> list[Any]:
        settings = self.custom.model_dump(mode="json")
        parameters = [[name, *shape] for name, shape in self.parameters.items()]
        return [settings, list(self.output_shape), parameters]


def torch_order(shape: Shape) -> Shape:
    """(channels, height, width) of (height, width, channels); vectors stay."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape


def uniform(count: int, fan_in: int, rng: np.random.Generator) -> torch.Tensor:
    """Torch's default initialisation, as A3C used it: so many numbers, uniform in +-1/sqrt(fan in)."""
    bound = 1.0 / math.sqrt(fan_in)
    return torch.from_numpy(rng.uniform(-bound, bound, size=count).astype(np.float32))


def place_layer(
    module: ConvModule | LinearModule | CustomModule, start: int, modules: int, shape: Shape
) -> ModuleLayer:
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
    if isinstance(module, LinearModule):
        features = math.prod(shape)
        size = module.units * (features + 1)
        return AffineLayer(
            start, modules, (features,), (module.units,), size, (module.units, features), 1
        )
    return _place_custom(module, start, modules, shape)


def _place_custom(module: CustomModule, start: int, modules: int, shape: Shape) -> CustomLayer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # The numbers do not matter here, but the global generator does.
        made = _call_factory(module, torch_order(shape))
        fault = _fault_of(made)
        if fault:
            raise UserError(f"{module.kind} {fault}")
        found = [_try(module, made, count, torch_order(shape)) for count in (1, 2)]
    if len({one[1:] for one in found}) > 1:
        raise UserError(
            f"{module.kind} returns arrays of shape {found[0]} and {found[1]} for a batch of 1 and of 2"
        )
    one = found[1]
    output = (one[2], one[3], one[1]) if len(one) == 4 else one[1:]
    size = sum(parameter.numel() for parameter in made.parameters())
    return CustomLayer(start, modules, shape, output, size, module)


def _fault_of(made: torch.nn.Module) -> str:
    """What keeps a module from being shared, or nothing."""
    parameters = list(made.parameters())
    if any(isinstance(p, UninitializedParameter) for p in parameters):
        return "finds out its size when it is first used; give it its size"
    if not parameters:
        return "has no numbers to learn"
    if list(made.buffers()) or any(p.dtype != torch.float32 for p in parameters):
        return (
            "keeps buffers or numbers that are not float32; only float32 parameters are shared and saved"
            " (LayerNorm and GroupNorm have no buffers)"
        )
    if not all(parameter.requires_grad for parameter in parameters):
        return "has parameters that are not to be learned (requires_grad = False); all of a module's are"
    return ""


def _try(module: CustomModule, made: torch.nn.Module, count: int, shape: Shape) -> Shape:
    """The shape of what a module returns for a batch of so many; forward and backward are tried."""
    given = torch.zeros(count, *shape, requires_grad=True)
    try:
        with all_kept():
            found = made(given.clone())
            if isinstance(found, torch.Tensor):
                found.sum().backward()  # type: ignore[no-untyped-call]
    except FAILURES as error:
        sides = ", ".join(str(side) for side in shape)
        raise UserError(
            f"{module.kind} cannot take in arrays of shape (batch, {sides}): {first_line(error)}"
        ) from error
    if (
        not isinstance(found, torch.Tensor)
        or found.dtype != torch.float32
        or found.dim() not in (2, 4)
        or len(found) != count
    ):
        what = (
            f"an array of shape {tuple(found.shape)} and {found.dtype}"
            if isinstance(found, torch.Tensor)
            else type(found).__name__
        )
        raise UserError(
            f"{module.kind} returns {what} for a batch of {count}; it must be float32 of shape"
            " (batch, features) or (batch, channels, height, width)"
        )
    return tuple(found.shape)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    said = str(error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def _call_factory(module: CustomModule, shape: Shape) -> torch.nn.Module:
    place, _, name = module.kind.partition(":")
    try:
        with all_kept():
            factory = importlib.import_module(place)
        for part in name.split("."):
            factory = getattr(factory, part)
    except FAILURES as error:  # Whatever the user's file raises.
        raise UserError(f"{module.kind} cannot be imported: {said(error)}") from error
    try:
        with all_kept():
            made: Any = factory(shape, **module.options)  # type: ignore[operator]
    except FAILURES as error:
        raise UserError(f"{module.kind} cannot be made: {said(error)}") from error
    if not isinstance(made, torch.nn.Module):
        raise UserError(f"{module.kind} makes no torch.nn.Module but {made!r}")
    return made.eval()
