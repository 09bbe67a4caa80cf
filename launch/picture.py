"""Draw the grid of a run as its newest checkpoint has it: `python -m launch.picture runs/laptop`.

How many pathways of the population use each module, the best pathway, the modules that are frozen, and which
were copied over which.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from launch.command_line import from_options
from launch.display import terminal
from launch.signals import ends_with_one_line
from pathnet_rl.arms import Arm
from pathnet_rl.duplication import saved
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype
from pathnet_rl.pictures import draw_grid
from pathnet_rl.places import is_url
from pathnet_rl.remote import at_hand
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.tournament import UNEVALUATED, fittest


@dataclass(frozen=True)
class Options:
    """What to draw, and where the picture goes."""

    run: tyro.conf.Positional[str | Path]
    """The run folder, such as runs/laptop or s3://bucket/runs/laptop."""
    output: Path | None = None
    """The file to write, or its folder; grid_<arm>.png in the run folder when not given (here, for a URL)."""
    arm: Arm = Arm.PATHNET
    """Which arm of the run."""


def draw(options: Options) -> Path:
    """Draw the picture; the file it was written to.

    Raises:
        UserError: no such run or arm, or the file cannot be written.
    """
    with at_hand(options.run) as run:
        folder = RunFolder.existing(run)
        _, state = folder.saved(options.arm)
    population = [Genotype.from_array(genes) for genes in state["coordinator"]["population"]]
    fitness = np.array([UNEVALUATED if f is None else f for f in state["coordinator"]["fitness"]])
    best = population[fittest(fitness)] if np.isfinite(fitness).any() else None
    store, grid = state["store"], folder.config.grid
    frozen = tuple(tuple(layer) for layer in store["frozen"])
    title = (
        f"{len(population)} pathways ({options.arm.value}) after {store['agent_steps']:,} agent steps"
        f" of task {store['task'] + 1}, {short_name(folder.config.tasks[store['task']])}"
    )
    copied = saved(state["coordinator"].get("duplication"))
    figure = draw_grid(population, len(grid.layers), grid.modules, frozen, best, title, copied)
    beside = Path() if is_url(str(options.run)) else folder.path
    name = f"grid_{options.arm.value}.png"
    output = options.output or beside / name
    if output.is_dir():
        output /= name
    elif not output.suffix:
        output = output.with_suffix(".png")  # As matplotlib would, and not tell.
    try:
        figure.savefig(output, dpi=160)
    except OSError as error:
        raise UserError(
            f"cannot write {output}: {error.strerror}; choose another --output"
        ) from error
    except ValueError as error:  # A format that matplotlib does not know.
        raise UserError(f"cannot write {output}: {error}") from error
    return output


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.picture RUN`."""
    options = from_options(Options, "python -m launch.picture", __doc__)
    try:
        terminal().print(str(draw(options)), soft_wrap=True)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
