"""A layer of modules of the user's own: what is asked of them, and where their numbers lie in the block."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import UninitializedParameter

from pathnet_rl.errors import UserError, said
from pathnet_rl.module_layer import ModuleLayer, Shape, torch_order
from pathnet_rl.modules import CustomModule
from pathnet_rl.others_code import FAILURES, all_kept


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


def place_custom(module: CustomModule, start: int, modules: int, shape: Shape) -> CustomLayer:
    """The layer of M such modules that begins at `start` in the block and takes in arrays of `shape`.

    Raises:
        UserError: the factory fails, or its modules cannot be shared or cannot take such arrays in.
    """
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
