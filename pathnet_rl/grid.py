"""The L x M grid: what its modules look like, and where their numbers lie in one flat block.

The block of P float32 numbers holds, in this order,

* layer 0, modules 0..M-1, then layer 1, ...: a module is its weights (torch order: [out, in, k, k] or
  [out, in]) followed by its biases [out];
* one head a task, tasks in order: a matrix [A + 1, F] (A policy rows, then the value row) followed by
  its A + 1 biases, where F is the number of features the last layer hands on.

Images enter as [C, H, W]; between layers the arrays are channels-last ([H, W, C]) and are flattened in
that order before the first linear layer. A module's outputs are summed over the active modules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pathnet_rl import envs
from pathnet_rl.config import GridConfig, RunConfig
from pathnet_rl.envs import Described
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.module_layer import ModuleLayer, Shape, place_affine
from pathnet_rl.modules import CustomModule, Module

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Head:
    """One task's readout: policy rows and a value row on the last layer's F features."""

    start: int
    actions: int
    features: int

    @property
    def size(self) -> int:
        return (self.actions + 1) * (self.features + 1)

    def numbers(self, block: torch.Tensor) -> torch.Tensor:
        """The head's numbers as a view of the block, shape [size]."""
        return block[self.start : self.start + self.size]


@dataclass(frozen=True)
class Grid:
    """The geometry of a grid for given observations and tasks; holds no numbers.

    Args:
        config: layers, modules a layer (M), width of a pathway (N).
        observation_shape: (C, H, W) for images, (D,) for vectors.
        actions: number of discrete actions of each task, in order.

    Raises:
        UserError: the observations do not fit the layers.
    """

    config: GridConfig
    observation_shape: tuple[int, ...]
    actions: tuple[int, ...]

    def __post_init__(self) -> None:
        _ = self.layers

    @cached_property
    def layers(self) -> tuple[ModuleLayer, ...]:
        layers: list[ModuleLayer] = []
        start = 0
        if len(self.observation_shape) == 3:
            channels, height, width = self.observation_shape
            shape: tuple[int, ...] = (height, width, channels)
        else:
            shape = self.observation_shape
        for depth, module in enumerate(self.config.layers):
            try:
                layer = _place(module, start, self.config.modules, shape)
            except UserError as error:
                raise UserError(
                    f"layer {depth} of the grid (observations are {self.observation_shape}): {error}"
                ) from error
            layers.append(layer)
            start += layer.modules * layer.module_size
            shape = layer.output_shape
        return tuple(layers)

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def modules(self) -> int:
        """M."""
        return self.config.modules

    @property
    def grid_size(self) -> int:
        """Numbers in all modules of all layers, without heads."""
        return sum(layer.modules * layer.module_size for layer in self.layers)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        features = math.prod(self.layers[-1].output_shape)
        heads: list[Head] = []
        start = self.grid_size
        for actions in self.actions:
            heads.append(Head(start, actions, features))
            start += heads[-1].size
        return tuple(heads)

    @property
    def size(self) -> int:
        """P: numbers in the whole block, heads included."""
        return self.grid_size + sum(head.size for head in self.heads)

    @cached_property
    def rows(self) -> tuple[slice, ...]:
        """Where each module lies in the block, layer by layer, then each head: what is changed as a whole."""
        modules = [
            slice(start, start + layer.module_size)
            for layer in self.layers
            for start in range(
                layer.start, layer.start + layer.modules * layer.module_size, layer.module_size
            )
        ]
        heads = [slice(head.start, head.start + head.size) for head in self.heads]
        return (*modules, *heads)

    def row_of(self, layer: int, module: int = 0) -> int:
        """The number of a module's row in `rows`."""
        return layer * self.modules + module

    @property
    def first_head_row(self) -> int:
        """The number of the first task's head in `rows`; the other tasks' follow it."""
        return self.depth * self.modules

    def one_after_another(self, rows: Iterable[int]) -> Iterator[tuple[int, slice]]:
        """Each of some rows, and where it lies in an array of their numbers alone."""
        end = 0
        for row in rows:
            place = self.rows[row]
            start, end = end, end + place.stop - place.start
            yield row, slice(start, end)

    def path_size(self, active: ActiveModules) -> int:
        """Numbers in the modules of a pathway, without its head."""
        return sum(
            len(modules) * layer.module_size
            for modules, layer in zip(active, self.layers, strict=True)
        )

    def shapes(self, modules: ActiveModules, task: int) -> list[tuple[int, ...]]:
        """Of these modules' numbers, [n, module_size] layer by layer, and of a task's head, [head size]."""
        layers = zip(modules, self.layers, strict=True)
        return [
            *((len(active), layer.module_size) for active, layer in layers),
            (self.heads[task].size,),
        ]

    def describe(self) -> dict[str, Any]:
        """What a checkpoint must agree with, as JSON values."""
        return {
            "observation_shape": list(self.observation_shape),
            "actions": list(self.actions),
            "modules": self.modules,
            "width": self.config.width,
            "layers": [layer.describe() for layer in self.layers],
        }

    def initialise_modules(
        self, block: torch.Tensor, chosen: ActiveModules, rng: np.random.Generator
    ) -> None:
        """Draw the chosen modules anew."""
        for layer, modules in zip(self.layers, chosen, strict=True):
            for module in modules:
                layer.rows(block)[module] = layer.draw(rng)

    def initialise_head(self, block: torch.Tensor, task: int) -> None:
        """A new head is all zeros: a uniform policy and a value of 0.

        A head drawn at random sends its large first errors down into the modules, whose units die of
        it; one that starts at zero has learned the mean return before the modules feel anything.
        """
        self.heads[task].numbers(block).zero_()

    def all_modules(self) -> ActiveModules:
        """Every module of every layer."""
        return (tuple(range(self.modules)),) * self.depth


def _place(module: Module, start: int, modules: int, shape: Shape) -> ModuleLayer:
    if isinstance(module, CustomModule):
        from pathnet_rl.custom_layer import place_custom  # Slow to import, so late.

        return place_custom(module, start, modules, shape)
    return place_affine(module, start, modules, shape)


def describe_tasks(config: RunConfig) -> dict[str, Described]:
    """What each of the configured tasks shows and takes.

    Raises:
        UserError: a task is unknown, or cannot be one here.
    """
    return {name: envs.describe(name, config) for name in dict.fromkeys(config.tasks)}


def build_grid(config: RunConfig, described: Mapping[str, Described] | None = None) -> Grid:
    """The grid's geometry for the configured tasks.

    Args:
        described: what `describe_tasks` says; it is asked if not given.

    Raises:
        UserError: a task is unknown, or its observations do not fit the grid or the other tasks.
    """
    tasks = describe_tasks(config) if described is None else described
    shapes = [tasks[name].shape for name in config.tasks]
    for name, shape in zip(config.tasks, shapes, strict=True):
        if shape != shapes[0]:
            raise UserError(
                f"{name} observes arrays of shape {shape}, but {config.tasks[0]} of {shapes[0]};"
                " the tasks of one run share a grid and must observe the same shape"
            )
    return Grid(config.grid, shapes[0], tuple(tasks[name].actions for name in config.tasks))
