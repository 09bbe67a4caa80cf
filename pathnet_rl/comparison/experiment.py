"""A comparison: its configuration, its members, and the folder they lie in.

runs/<name>/<pair>/<setting>/seed-<n>/    a member: a run like any other, all arms in it
runs/<name>/comparison.json  comparison.csv  returns.csv.gz  random_policy.csv
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pathnet_rl import engine, envs
from pathnet_rl.checkpoint import anything_in
from pathnet_rl.comparison.sweep import Setting, settings_of, with_values
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.envs.interface import Described
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.mirror import Say
from pathnet_rl.places import is_url, path_of
from pathnet_rl.random_policy import RandomPolicy
from pathnet_rl.run_folder import Folder, RunFolder
from pathnet_rl.settings import MOST, MOST_SEED, Settings
from pathnet_rl.transfer import finished_results

PATIENCE = 30.0
"""Seconds that a member waits for whoever is still saving in its folder."""


class Comparison(Settings):
    """Sequences of games, learned by some arms with some seeds in some settings: each as a run."""

    base: RunConfig = RunConfig()
    """What all members have in common, and the name and the folder of the comparison."""
    pairs: tuple[str, ...] = ()
    """Tasks joined by '>', such as 'ALE/Riverraid-v5>ALE/KungFuMaster-v5' (one task, or three, will do); the
    preset's tasks when not given."""
    matrix: tuple[str, ...] = ()
    """Tasks of which every ordered pair is compared, each followed by itself too; instead of pairs."""
    seeds: int = Field(3, ge=1, le=MOST)
    """Seeds of each pair in each setting."""
    first_seed: int = Field(0, ge=0, le=MOST_SEED)
    """The first of them; the others follow it."""
    sweep: tuple[str, ...] = ()
    """An option and its values, learning.learning-rate=7e-4,1.5e-3, or a space to draw from,
    learning.learning-rate=loguniform:1e-4:1e-2 (uniform, integers). Every arm gets the same settings."""
    draws: int | None = Field(None, ge=1, le=MOST)
    """Settings drawn at random from the sweep; all combinations of its values when not given."""
    sweep_seed: int = Field(0, ge=0, le=MOST_SEED)
    """The settings that are drawn come from this."""
    random_episodes: int | None = Field(None, ge=1, le=MOST)
    """Episodes of a random policy in each game, to compare with; --replay.random-episodes when not given."""
    processes: int | None = Field(None, ge=1, le=MOST)
    """Runs side by side, a CPU each; one per CPU when not given."""
    tune: bool = False
    """Let Ray Tune say when which run is learned, and keep its own tables in runs/<name>/tune."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.base.seed:
            raise UserError(
                "a comparison has many seeds: give --first-seed and --seeds, not --seed"
            )
        if is_url(self.base.folder):
            raise UserError(
                "the runs of a comparison share a disk: give --folder as a path (on a cluster one that all"
                f" nodes share), not {self.base.folder}"
            )
        if self.pairs and self.matrix:
            raise UserError("give --pairs or --matrix, not both")
        if self.base.device != "cpu":
            raise UserError("the runs of a comparison learn on a CPU each; leave out --device")
        settings = self.settings
        pairs: dict[str, str] = {}
        for pair in self.sequences:
            label = pair_label(pair)
            if label in pairs:
                raise UserError(
                    f"the pairs {pairs[label]} and {pair} are both {label}; compare them under two names"
                    if pairs[label] != pair
                    else f"the pair {pair} is named twice"
                )
            pairs[label] = pair
            for setting in settings:
                self._run(pair, setting, self.first_seed)
        return self

    @property
    def sequences(self) -> tuple[str, ...]:
        """The pairs: those that are given, those of the matrix, or the preset's tasks."""
        squared = tuple(f"{source}>{target}" for source in self.matrix for target in self.matrix)
        return self.pairs or squared or (">".join(self.base.tasks),)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings, the same for every arm."""
        return settings_of(self.base, self.sweep, self.draws, self.sweep_seed)

    @property
    def path(self) -> Path:
        """The comparison's folder."""
        return path_of(self.base.folder, self.base.name)

    @property
    def random_policy(self) -> RandomPolicy:
        """Its random policy, with the episodes that it has played.

        Raises:
            UserError: their file is damaged.
        """
        return RandomPolicy(self.random_policy_file)

    @property
    def random_policy_file(self) -> Path:
        """Where all its runs share the random policy's episodes."""
        return self.path / "random_policy.csv"

    def members(self) -> Iterator[Member]:
        """Every run, the first seed of all pairs and settings first."""
        settings = self.settings
        for seed in range(self.first_seed, self.first_seed + self.seeds):
            for setting in settings:
                for pair in self.sequences:
                    run = self._run(pair, setting, seed)
                    yield Member(pair_label(pair), setting.label, seed, run)

    def _run(self, pair: str, setting: Setting, seed: int) -> RunConfig:
        folder = self.path / pair_label(pair).replace(">", "_to_") / setting.label
        where = {
            "name": f"seed-{seed}",
            "folder": str(folder),
            "seed": seed,
            "serial": True,
            "workers": None,
        }
        run = with_values(self.base, setting.values).model_dump(mode="json")
        try:
            return RunConfig.model_validate({**run, **where, "tasks": tasks_in(pair)})
        except UserError as error:
            raise UserError(f"{pair}: {error}") from error


@dataclass(frozen=True)
class Member:
    """One run of a comparison: a pair in one setting with one seed; all arms, one after the other."""

    pair: str
    setting: str
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"{self.pair} {self.setting} seed {self.seed}"

    @property
    def path(self) -> Path:
        """Its run folder."""
        return path_of(self.config.folder, self.config.name)

    @property
    def log(self) -> Path:
        """What its process said that nobody foresaw: a file beside its folder."""
        return self.path.with_suffix(".log")

    @property
    def budget(self) -> int:
        """The agent steps of all its arms and tasks."""
        return sum(
            self.config.steps_of(task)
            for arm in self.config.arms
            for task in self.config.tasks_of(arm)
        )

    def finished(self) -> bool:
        """Every arm has been learned and reported on, as its folder says; damage is not finished."""
        folder = RunFolder(self.config)
        try:
            return folder.summary.exists() and all(
                finished_results(folder, arm) is not None for arm in self.config.arms
            )
        except UserError:
            return False


def tasks_in(pair: str) -> tuple[str, ...]:
    """The tasks of a pair, in their order.

    Raises:
        UserError: one has no name.
    """
    tasks = tuple(task.strip() for task in pair.split(">"))
    if not all(tasks):
        raise UserError(
            f"the pair {pair!r} lacks a task; write it as ALE/Riverraid-v5>ALE/KungFuMaster-v5"
        )
    return tasks


def pair_label(pair: str) -> str:
    """A pair with short names: Riverraid>KungFuMaster."""
    return ">".join(short_name(task) for task in tasks_in(pair))


def check_tasks(comparison: Comparison) -> dict[str, Described]:
    """Find out before anything is begun whether all pairs can be learned; what their tasks are.

    Raises:
        UserError: a task is unknown, or does not fit the grid or the other tasks of its pair.
    """
    described: dict[str, Described] = {}
    for member in _one_of_each_pair(comparison):
        new = [name for name in member.config.tasks if name not in described]
        described |= {name: envs.describe(name, member.config) for name in new}
        engine.check_fit(member.config, build_grid(member.config, described))
    return described


def _one_of_each_pair(comparison: Comparison) -> list[Member]:
    return list({member.pair: member for member in comparison.members()}.values())


class ComparisonFolder(Folder[Comparison]):
    """The folder that all members lie in; held open while they are at work."""

    may_change = frozenset(
        {
            "pairs",
            "matrix",
            "seeds",
            "first_seed",
            "sweep",
            "draws",
            "sweep_seed",
            "random_episodes",
            "processes",
            "tune",
            "base.arms",
            "base.tasks",
            *(f"base.{name}" for name in MAY_CHANGE),
        }
    )
    """Members may be added. What they have in common may not change."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(comparison, comparison.base.folder, comparison.base.name)

    def anything_learned(self) -> bool:
        return any(anything_in(arm) for arm in self.path.glob("*/*/seed-*/checkpoints/*"))

    def note_resumption(self) -> None:
        """Add this start to provenance.json, and say what the members are now."""
        super().note_resumption()
        self.write_config()


class MemberFolder(RunFolder):
    """A member's run folder: it may be given other arms later, and those it has had stay in it."""

    may_change = RunFolder.may_change | {"arms"}

    def open(self, say: Say | None = None) -> bool:
        """As any run folder, but wait a little for a process that is saving and about to end."""
        until = time.monotonic() + PATIENCE
        while self._in_use() and time.monotonic() < until:
            time.sleep(0.2)
        return super().open(say)

    def _in_use(self) -> bool:
        try:
            with (self.path / ".lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # Not there, or without locks.
            return False
        return False

    def note_resumption(self) -> None:
        """Add this start to provenance.json, and to config.json the arms that are new."""
        super().note_resumption()
        before = RunFolder.existing(self.path).config.arms
        arms = (*before, *(arm for arm in self.config.arms if arm not in before))
        mine, self.config = self.config, self.config.model_copy(update={"arms": arms})
        self.write_config()
        self.config = mine
