"""The supervised experiments of the paper: pairs of image tasks, PathNet beside its controls, many seeds.

A sequence is tasks joined by '>': two digits of MNIST ('5-6'), 'cifar10', 'svhn' or 'mnist-on-cifar'. What
is measured is how the last task of a sequence is learned.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Generator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from launch.command_line import from_presets, to_go_on
from launch.display import terminal
from launch.presets import SUPERVISED_PRESETS
from launch.signals import ends_with_one_line, status
from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.datasets import DataMissing
from pathnet_rl.supervised.experiment import Experiment, load, make_task
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.supervised.jobs import Done, Job, missing_jobs
from pathnet_rl.supervised.report import write_report
from pathnet_rl.supervised.summary import ArmSummary, summarise
from pathnet_rl.supervised.tasks import sets_of

CONTROLS = (Arm.INDEPENDENT, Arm.FINE_TUNE)
OPTIONS = {"mnist": "--data", "cifar10": "--cifar", "svhn": "--svhn"}


def run(experiment: Experiment, console: Console) -> None:
    """Run what is not done yet, and report on everything that is there.

    Raises:
        UserError: bad input, or data that are not there.
    """
    sequences = _runnable(experiment, console)
    folder = ExperimentFolder(experiment)
    resumed = folder.open(lambda line: console.print(line, soft_wrap=True))
    try:
        jobs = list(missing_jobs(experiment, sequences, folder))
        if jobs:
            if resumed:
                folder.note_resumption()
            _work(experiment, folder, jobs, console)
        else:
            console.print(f"{folder.where} is finished: nothing is left to do.", soft_wrap=True)
        results = folder.everything()
        limit, threshold = experiment.learning.generations, experiment.learning.threshold
        summaries = summarise(results, [control.value for control in CONTROLS], threshold is None)
        files = write_report(folder.path, results, summaries, limit, threshold, folder.identity)
        folder.upload()
    except UserError as error:
        raise UserError(folder.shown(error)) from error
    finally:
        folder.close()
    print_summary(console, summaries)
    console.print("\nLook at:")
    for path in files:
        console.print(f"  {folder.shown(path)}", soft_wrap=True)


def _runnable(experiment: Experiment, console: Console) -> list[str]:
    """The sequences whose data are there; of the others it is said what would run them.

    Raises:
        UserError: no data are there, or what is there is damaged.
    """
    missing: dict[str, DataMissing] = {}
    names = [name for s in experiment.sequences for task in s.split(">") for name in sets_of(task)]
    for name in dict.fromkeys(names):
        try:
            load(name, experiment.source(name))
        except DataMissing as reason:
            missing[name] = reason
    found = []
    for sequence in experiment.sequences:
        lacking = [n for task in sequence.split(">") for n in sets_of(task) if n in missing]
        if not lacking:
            found.append(sequence)
            continue
        console.print(f"{sequence}: not run: data not available")
        for name in dict.fromkeys(lacking):
            console.print(f"  {missing[name]}", soft_wrap=True)
        console.print(f"  to run it: {_command_with(lacking)}", soft_wrap=True)
    if not found:
        raise UserError("no sequence can be run without its data")
    for sequence in found:
        for task in sequence.split(">"):
            make_task(experiment, task)
    return found


def _command_with(names: list[str]) -> str:
    """This command, with a path for each of some data sets."""
    options = {OPTIONS[name] for name in names}
    kept: list[str] = []
    given = iter(sys.argv[1:])
    for argument in given:
        if argument.split("=")[0] in options:
            if "=" not in argument:
                next(given, None)
        else:
            kept.append(argument)
    command = shlex.join(["python", "-m", "launch.supervised", *kept])
    return " ".join([command, *(f"{option} PATH" for option in sorted(options))])


def _work(
    experiment: Experiment, folder: ExperimentFolder, jobs: Sequence[Job], console: Console
) -> None:
    """Have the jobs done, and keep what each brings."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    all_seconds, all_generations = 0.0, 0
    with (
        contextlib.closing(_crew(experiment, jobs, console)) as finished,
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
    ):
        bar = progress.add_task("seeds", total=sum(len(job.seeds) for job in jobs))
        for done in finished:
            folder.append(done.results)
            folder.upload()
            generations = sum(r.generations + r.first_generations for r in done.results)
            all_seconds += done.seconds
            all_generations += generations
            progress.console.print(
                f"{done.job.sequence} {done.job.arm.value}: {len(done.results)} seeds,"
                f" {1000 * done.seconds / generations:.1f} CPU milliseconds a generation",
            )
            progress.advance(bar, len(done.results))
    console.print(
        f"a generation of one seed took {1000.0 * all_seconds / all_generations:.1f} CPU milliseconds",
    )


def _crew(experiment: Experiment, jobs: Sequence[Job], console: Console) -> Generator[Done]:
    """Those who do the jobs: processes of this machine, or the cluster that RAY_ADDRESS names."""
    if os.environ.get("RAY_ADDRESS"):
        from workers.ray_seeds import do_on_cluster

        return do_on_cluster(experiment, jobs)
    from workers.seed_pool import do_here

    return do_here(experiment, jobs, lambda line: console.print(line, soft_wrap=True))


def print_summary(console: Console, summaries: list[ArmSummary]) -> None:
    """A table: an arm of a sequence a row, 95% intervals in brackets."""
    by_accuracy = any(summary.by_accuracy for summary in summaries)
    what = "accuracy" if by_accuracy else "speed"
    table = Table(
        title=f"last task of each sequence; {what} relative to the controls; [95% intervals]"
    )
    columns = ["sequence", "arm", "seeds"]
    columns += ["accuracy"] if by_accuracy else ["censored", "generations", "median"]
    for column in (*columns, "/ independent", "/ fine-tune"):
        left = column in ("sequence", "arm")
        # An interval goes on a line of its own, so that 80 columns show all of it.
        heading = column.replace("/ ", "/\n")
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for summary in summaries:
        bound = ">= " if summary.censored else ""
        cells = [summary.sequence, summary.arm, str(summary.seeds)]
        if by_accuracy:
            cells += [str(summary.accuracy)]
        else:
            cells += [
                str(summary.censored),
                f"{bound}{summary.generations}",
                f"{summary.median_generations:.0f}",
            ]
        for control in CONTROLS:
            ratio = summary.speedup.get(control.value)
            cells.append("-" if ratio is None else str(ratio))
        table.add_row(*(cell.replace(" [", "\n[") for cell in cells))
    console.print(table)


def read(arguments: Sequence[str] | None = None) -> Experiment:
    """The experiment that a command line describes."""
    return from_presets(SUPERVISED_PRESETS, "python -m launch.supervised", __doc__, arguments)


def place_of(arguments: Sequence[str]) -> tuple[str, str]:
    """The folder and the name of the experiment that a command line describes."""
    experiment = read(arguments)
    return experiment.folder, experiment.name


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.supervised mnist|cifar-svhn [options]`."""
    console = terminal()
    try:
        run(read(), console)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as error:
        command = to_go_on("launch.supervised")
        console.print(f"Stopped; finished seeds are kept. To go on: {command}", soft_wrap=True)
        sys.exit(status(error))


if __name__ == "__main__":
    main()
