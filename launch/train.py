"""Learn a sequence of tasks: PathNet and the controls it is compared with.

The same command goes on with a run that was stopped or killed; a finished run says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

if not __package__:
    # Executed by its path, as `ray submit` does: its own folder is no place to import from.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console
from rich.table import Table

from launch.command_line import (
    from_presets,
    given_options,
    note_idle_options,
    to_go_on,
)
from launch.display import Display, terminal
from launch.presets import PRESETS
from launch.signals import StopSignal, ends_with_one_line, status
from pathnet_rl import engine
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Crew
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid, build_grid, describe_tasks
from pathnet_rl.places import in_job
from pathnet_rl.report import TaskSummary, summarise, write_report
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import TaskResult
from pathnet_rl.transfer import finished_results, run
from pathnet_rl.watching import Interrupted, Watch


def train(config: RunConfig, console: Console, given: Collection[str] = ()) -> None:
    """Run the experiment that `config` describes, to its end or to Ctrl-C.

    Args:
        given: options that somebody chose, who is told of those that change nothing.

    Raises:
        UserError: something is wrong with the configuration or the surroundings.
        Interrupted: the run was asked to stop and has saved everything.
    """
    here = config.serial or not os.environ.get("RAY_ADDRESS")
    if here:
        engine.check_device(config)
    described = describe_tasks(config)
    grid = build_grid(config, described)
    engine.check_fit(config, grid)
    folder = RunFolder(config)
    resumed = folder.open(lambda line: console.print(line, soft_wrap=True))
    try:
        results = _finished(config, folder)
        stop = StopSignal()
        stop.listen()
        if results is None:
            if resumed:
                folder.note_resumption()
                console.print(f"Going on with {folder.where}", soft_wrap=True)
            for name, task in described.items():
                line = f"{name} shows {task.meaning}, and takes {task.actions} actions"
                console.print(line, soft_wrap=True)
            note_idle_options(console, given, described)
        else:
            line = f"{folder.where} is finished: nothing is left to do."
            console.print(line, soft_wrap=True)
        with Display(console) as display:
            if results is None:
                make_crew = _CrewMaker(config, grid)
                results = run(config, folder, make_crew, display, lambda: stop.requested)
            watch = Watch(display, lambda: stop.requested)
            summaries = summarise(config, folder, results, watch=watch)
        files = write_report(config, folder, summaries)
        folder.upload()
        print_summary(console, config, summaries)
        console.print("\nLook at:")
        for path in (*files, folder.returns, folder.path / "checkpoints"):
            console.print(f"  {folder.shown(path)}", soft_wrap=True)
        console.print(
            f"  TensorBoard: tensorboard --logdir {folder.shown(folder.path / 'tensorboard')}",
            soft_wrap=True,
        )
    except Interrupted:
        folder.upload()  # The last rows and points, too.
        raise
    except UserError as error:
        raise UserError(folder.shown(error)) from error
    finally:
        folder.close()


def _finished(config: RunConfig, folder: RunFolder) -> dict[Arm, list[TaskResult]] | None:
    results = {arm: finished_results(folder, arm) for arm in config.arms}
    done = {arm: result for arm, result in results.items() if result is not None}
    return done if len(done) == len(results) else None


class _CrewMaker:
    """Makes each arm's crew; starts ray when the first one is wanted."""

    def __init__(self, config: RunConfig, grid: Grid) -> None:
        self._config, self._grid = config, grid
        self._connected = False

    def __call__(self, arm: Arm) -> Crew:
        import torch  # Slow to import, so late.

        torch.set_num_threads(1)  # As the workers: sums in another order would be other numbers.
        if self._config.serial:
            from workers.serial import SerialCrew

            return SerialCrew(self._config, arm, self._grid)
        from workers.ray_cluster import connect
        from workers.ray_crew import RayCrew

        if not self._connected:
            connect(self._config)
            self._connected = True
        return RayCrew(self._config, arm, self._grid, self._config.workers)


def print_summary(console: Console, config: RunConfig, summaries: list[TaskSummary]) -> None:
    """A table a task, an arm a column: returns over time, area, speedup, and what was forgotten."""
    for task, name in enumerate(config.tasks):
        rows = [summary for summary in summaries if summary.result.finished.task == task]
        if not rows:
            continue
        table = Table(
            title=f"task {task + 1}: {name}, {config.steps_of(task):,} agent steps, seed {config.seed}"
        )
        table.add_column("mean return")
        for row in rows:
            table.add_column(row.arm.value, justify="right")
        for tenth in range(10):
            table.add_row(
                f"at {tenth * 10}-{tenth * 10 + 10}% of the task",
                *(
                    _cell(
                        None if row.curve is None else row.curve.reshape(10, -1).mean(axis=1)[tenth]
                    )
                    for row in rows
                ),
            )
        table.add_section()
        for label, values in (
            ("over the task (area under the curve)", [row.area for row in rows]),
            ("of the last 100 episodes", [row.mean_return_last_100 for row in rows]),
            ("of the best pathway, greedy", [row.result.after_task.mean for row in rows]),
            ("speedup over independent", [row.speedup for row in rows]),
            ("forgotten after all tasks", [row.result.forgetting for row in rows]),
        ):
            table.add_row(label, *(_cell(value) for value in values))
        console.print(table)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def read(arguments: Sequence[str] | None = None) -> RunConfig:
    """The run that a command line describes."""
    return from_presets(PRESETS, "python -m launch.train", __doc__, arguments)


def place_of(arguments: Sequence[str]) -> tuple[str, str]:
    """The folder and the name of the run that a command line describes.

    Raises:
        UserError: it cannot be run.
    """
    config = read(arguments)
    engine.check_fit(config, build_grid(config))
    return config.folder, config.name


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.train PRESET [options]`."""
    console = terminal()
    try:
        train(read(), console, given_options())
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted:
        how = "submit the same command again" if in_job() else to_go_on("launch.train")
        console.print(f"Stopped and saved. To go on: {how}", soft_wrap=True)
        sys.exit(130)
    except KeyboardInterrupt as error:
        line = f"Ended at once; to go on from the last checkpoint: {to_go_on('launch.train')}"
        console.print(line, soft_wrap=True)
        sys.exit(status(error))


if __name__ == "__main__":
    main()
