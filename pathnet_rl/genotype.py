"""Genotypes: which modules of each layer make a pathway (paper, section 2.2 "Pathway evolution").

Axes: a genotype is an L x N matrix of module indices, L layers deep and N modules wide, each index
in 0..M-1. A module named twice in a layer counts once (set semantics), so a pathway has at most N
distinct modules in a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.hyperparameters import AS_CONFIGURED, Factors

ActiveModules = tuple[tuple[int, ...], ...]
"""Per layer, the sorted distinct modules that are in use."""

MUTATION_REACH = 2
"""A mutated gene moves by an integer drawn uniformly from -2..2 inclusive, so 0 is possible."""


@dataclass(frozen=True)
class Genotype:
    """One pathway through the grid, as an immutable L x N matrix of module indices.

    Attributes:
        builds_on: for each finished task, whether what it was solved with is active beside this pathway.
            The paper has no such genes: there, all that is frozen always is.
        factors: of the hyperparameters that it learns with. Nor does it have these.
    """

    genes: tuple[tuple[int, ...], ...]
    builds_on: tuple[bool, ...] = ()
    factors: Factors = AS_CONFIGURED

    @classmethod
    def from_array(cls, array: NDArray[np.integer] | Iterable[Iterable[int]]) -> Genotype:
        """A genotype from an integer array of shape [L, N].

        Raises:
            ValueError: the array is not a non-empty two-dimensional matrix of indices >= 0.
        """
        matrix = np.asarray(array)
        if matrix.ndim != 2 or matrix.size == 0 or not np.issubdtype(matrix.dtype, np.integer):
            raise ValueError(
                f"a genotype is a non-empty L x N integer matrix, got shape {matrix.shape} of {matrix.dtype}"
            )
        if matrix.min() < 0:
            raise ValueError(f"a genotype names modules from 0 up, got {matrix.min()}")
        return cls(tuple(tuple(int(gene) for gene in layer) for layer in matrix))

    @classmethod
    def random(cls, rng: np.random.Generator, layers: int, modules: int, width: int) -> Genotype:
        """Every gene drawn uniformly from the M modules, duplicates allowed."""
        return cls.from_array(rng.integers(0, modules, size=(layers, width)))

    @classmethod
    def fixed(cls, layers: int, width: int) -> Genotype:
        """The fixed path of the largest size: modules 0..N-1 of every layer (the controls' path)."""
        return cls.from_array(np.tile(np.arange(width), (layers, 1)))

    def building_on(self, tasks: Iterable[bool]) -> Genotype:
        """The same path beside what some finished tasks were solved with."""
        return replace(self, builds_on=tuple(tasks))

    def learning_with(self, factors: Factors) -> Genotype:
        """The same path with other factors of hyperparameters."""
        return replace(self, factors=factors)

    def to_array(self) -> NDArray[np.int64]:
        """The genes as an int64 array of shape [L, N]."""
        return np.array(self.genes, dtype=np.int64)

    @property
    def active(self) -> ActiveModules:
        """Per layer, the distinct modules of this pathway in ascending order."""
        return tuple(tuple(sorted(set(layer))) for layer in self.genes)

    def mutate(
        self,
        rng: np.random.Generator,
        modules: int,
        rate: float,
        wrap: bool = False,
        evolve_building: bool = False,
    ) -> Genotype:
        """A mutated copy: each gene independently, with probability `rate`, moves by -2..2 inclusive.

        Moved genes are clamped to 0..M-1, or wrapped around when `wrap` is set; duplicates are not
        repaired. Factors stay as they are. Every call draws 2 x L x N numbers, whatever the outcome, so that
        the stream of random numbers does not depend on which genes move.

        Args:
            evolve_building: genes of `builds_on` flip with the same probability.
        """
        genes = self.to_array()
        hit = rng.random(genes.shape) < rate
        offset = rng.integers(-MUTATION_REACH, MUTATION_REACH + 1, size=genes.shape)
        moved = genes + np.where(hit, offset, 0)
        child = Genotype.from_array(moved % modules if wrap else moved.clip(0, modules - 1))
        child = child.learning_with(self.factors)
        building = np.array(self.builds_on, dtype=np.bool_)
        if evolve_building:
            building ^= rng.random(len(building)) < rate
        return child.building_on(bool(gene) for gene in building)


def union(*paths: ActiveModules) -> ActiveModules:
    """Per layer, the modules that any of the paths uses."""
    return tuple(tuple(sorted(set().union(*layer))) for layer in zip(*paths, strict=True))


def difference(path: ActiveModules, other: ActiveModules) -> ActiveModules:
    """Per layer, the modules of `path` that are not in `other`."""
    return tuple(
        tuple(sorted(set(mine) - set(theirs))) for mine, theirs in zip(path, other, strict=True)
    )


def no_modules(layers: int) -> ActiveModules:
    """The empty path: no module in any layer (what is frozen before the first task ends)."""
    return ((),) * layers
