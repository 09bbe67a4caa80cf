"""Modules of a user's own: what the README shows, and one that attends."""

from __future__ import annotations

import sys

import torch


class Residual(torch.nn.Module):
    """x + relu(convolution of x), for images and of the same shape."""

    def __init__(self, shape: tuple[int, ...], size: int = 3) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(shape[0], shape[0], size, padding=size // 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + torch.relu(self.convolution(inputs))


class Attention(torch.nn.Module):
    """Every place of an image asks every other; the answers are averaged: a vector."""

    def __init__(self, shape: tuple[int, ...], heads: int = 2, units: int = 8) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(shape[0])
        self.attend = torch.nn.MultiheadAttention(shape[0], heads, batch_first=True)
        self.out = torch.nn.Linear(shape[0], units)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        places = self.norm(inputs.flatten(2).transpose(1, 2))
        answers, _ = self.attend(places, places, places, need_weights=False)
        responses: torch.Tensor = torch.relu(self.out((places + answers).mean(1)))
        return responses


class Normed(torch.nn.Module):
    """It keeps running means, which nobody could share or save."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(shape[0])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(inputs)
        return normed


class WantsMore(torch.nn.Module):
    """It takes in images of eight channels, whatever it is given."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(8, 4, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        responses: torch.Tensor = self.convolution(inputs)
        return responses


def not_a_module(shape: tuple[int, ...]) -> str:
    """A factory of something else."""
    return f"of {shape}"


class Gated(torch.nn.Module):
    """A linear map times a gate, for vectors; its outputs have either sign."""

    def __init__(self, shape: tuple[int, ...], units: int) -> None:
        super().__init__()
        self.both = torch.nn.Linear(shape[0], 2 * units)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values, gates = self.both(inputs).chunk(2, dim=1)
        return torch.tanh(values) * torch.sigmoid(gates)


class InPlace(torch.nn.Module):
    """It rectifies what it is given where it lies, as many networks do."""

    def __init__(self, shape: tuple[int, ...], units: int = 4) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(shape[0], units)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        responses: torch.Tensor = self.linear(inputs.relu_())
        return responses


class OutOfPlace(InPlace):
    """The same, leaving alone what it is given."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        responses: torch.Tensor = self.linear(inputs.relu())
        return responses


class Lazy(torch.nn.Module):
    """It finds out its size when it is first used."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = torch.nn.LazyLinear(3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        responses: torch.Tensor = self.linear(inputs.flatten(1))
        return responses


class Faulty(torch.nn.Module):
    """Linear, with the fault that is asked for."""

    def __init__(self, shape: tuple[int, ...], fault: str) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(shape[0] * shape[1] * shape[2], 3)
        self.fault = fault
        if fault == "fixed":
            self.linear.bias.requires_grad_(False)
        if fault == "raises":
            raise ValueError("this\nis\nlong")
        if fault == "exits":
            sys.exit("no licence")
        if fault == "changes torch":
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)

    def forward(self, inputs: torch.Tensor) -> object:
        responses: torch.Tensor = self.linear(inputs.flatten(1))
        if self.fault == "double":
            return responses.double()
        if self.fault == "squeezed":
            return responses.squeeze()
        return (responses, responses) if self.fault == "two" else responses


class Pair(torch.nn.Module):
    """Two linear maps; `swapped` says which of them is registered first."""

    first: torch.nn.Module
    second: torch.nn.Module
    swapped = False

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        names = ("first", "second") if not Pair.swapped else ("second", "first")
        sizes = {"first": (shape[0], 4), "second": (4, shape[0])}
        for name in names:
            setattr(self, name, torch.nn.Linear(*sizes[name]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        responses: torch.Tensor = torch.relu(self.second(self.first(inputs)))
        return responses
