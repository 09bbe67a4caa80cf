"""Draw the README's picture: `python -m launch.picture docs/grid.png`.

The population is made up: 64 random pathways through the Atari grid, drawn together by tournaments whose
fitness is how many modules a pathway shares with a wanted one, and noise. Nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from pathnet_rl.config import EvolutionConfig, GridConfig
from pathnet_rl.genotype import Genotype
from pathnet_rl.pictures import draw_grid
from pathnet_rl.tournament import asynchronous_tournament, fittest

TOURNAMENTS = 140


@dataclass(frozen=True)
class Options:
    """Where the picture goes, and what it is drawn from."""

    path: Annotated[Path, tyro.conf.Positional]
    """The file to write."""
    seed: int = 3
    """Of the population and its tournaments."""


def evolved_population(
    grid: GridConfig, evolution: EvolutionConfig, rng: np.random.Generator
) -> tuple[list[Genotype], Genotype]:
    """A population after some tournaments, and its fittest pathway."""
    depth = len(grid.layers)
    population = [
        Genotype.random(rng, depth, grid.modules, grid.width) for _ in range(evolution.population)
    ]
    wanted = Genotype.random(rng, depth, grid.modules, grid.width)

    def judged(genotype: Genotype) -> float:
        pairs = zip(genotype.active, wanted.active, strict=True)
        return sum(len(set(mine) & set(theirs)) for mine, theirs in pairs) + rng.normal()

    fitness = np.array([judged(genotype) for genotype in population])
    for _ in range(TOURNAMENTS):
        challenger = int(rng.integers(len(population)))
        outcome = asynchronous_tournament(challenger, fitness, evolution.rivals, rng)
        if outcome is not None:
            child = population[outcome.winner].mutate(rng, grid.modules, 1 / (grid.width * depth))
            population[challenger] = child
            fitness[challenger] = judged(child)
    return population, population[fittest(fitness)]


def main() -> None:
    """The command line: `python -m launch.picture FILE`."""
    options = tyro.cli(Options, prog="python -m launch.picture", description=__doc__)
    rng = np.random.default_rng(options.seed)
    grid = GridConfig()
    depth = len(grid.layers)
    frozen = Genotype.random(rng, depth, grid.modules, grid.width).active
    population, best = evolved_population(grid, EvolutionConfig(), rng)
    title = "64 pathways on the second task: hatched modules are frozen, the best path is outlined"
    figure = draw_grid(population, depth, grid.modules, frozen, best, title)
    options.path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.path, dpi=160)


if __name__ == "__main__":
    main()
