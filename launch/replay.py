"""Play a finished task again: load a finished run and let the task's best pathway act greedily."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from launch.command_line import from_options
from launch.display import terminal
from launch.signals import ends_with_one_line
from pathnet_rl.arms import Arm
from pathnet_rl.config import ReplayConfig, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.foreign_code import check_imports
from pathnet_rl.grid import build_grid
from pathnet_rl.remote import at_hand
from pathnet_rl.replay import greedy_returns
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult

MOST_EPISODES = 1000


@dataclass(frozen=True)
class Options:
    """What to play."""

    run: tyro.conf.Positional[str | Path]
    """The run folder, such as runs/laptop or s3://bucket/runs/laptop."""
    task: int = 1
    """Which of its tasks, from 1."""
    arm: Arm = Arm.PATHNET
    """Which arm of the run."""
    episodes: int = 4
    """Episodes to play."""
    seed: int = 0
    """Seed of the environments."""
    most_steps: int = 5000
    """Agent steps after which an episode is cut."""
    engine: Literal["auto", "compiled", "torch"] = "auto"
    """What computes; auto is compiled wherever that can do it."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it computes."""
    imports: tuple[str, ...] = ()
    """Python modules that the run's tasks and layers may import, such as my_modules: that runs their code."""


def replay(options: Options, console: Console) -> None:
    """Print the greedy return of each episode.

    Raises:
        UserError: no such run, arm or finished task.
    """
    if options.seed < 0 or options.episodes < 1 or options.most_steps < 1:
        raise UserError("--seed must be at least 0, --episodes and --most-steps at least 1")
    if options.episodes > MOST_EPISODES:
        raise UserError(f"--episodes is at most {MOST_EPISODES:,}: they are played side by side")
    with at_hand(options.run) as run:
        folder = RunFolder.existing(run)
        config = folder.config
        check_imports(config, options.imports, options.run)
        tensors, state = folder.saved(options.arm)
    results = {r["finished"]["task"] + 1: TaskResult.from_state(r) for r in state["results"]}
    if options.task not in results:
        finished = ", ".join(str(task) for task in results) or "none"
        raise UserError(f"task {options.task} is not finished in that arm; finished: {finished}")
    from pathnet_rl.store import GridStore  # Slow to import, so late.

    finished_task = results[options.task].finished
    grid = build_grid(config)
    with tempfile.TemporaryDirectory() as scratch:
        store = GridStore.create(Path(scratch) / "grid.block", grid, config.learning)
        store.load_state(tensors, state["store"])
        replayed = ReplayConfig(episodes=options.episodes, most_steps=options.most_steps)
        computed = {"engine": options.engine, "device": options.device, "grouped": False}
        config = RunConfig.model_validate({**config.model_dump(), **computed, "replay": replayed})
        played = greedy_returns(store, config, finished_task, options.seed)
    for number, value in enumerate(played.returns, 1):
        console.print(f"episode {number}: return {value:,.1f}")
    cut = f" ({played.cut} cut at {options.most_steps:,} agent steps)" if played.cut else ""
    console.print(f"{finished_task.name}: mean {played.mean:,.2f}{cut}")


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.replay runs/laptop --task 1`."""
    options = from_options(Options, "python -m launch.replay", __doc__)
    try:
        replay(options, terminal())
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
