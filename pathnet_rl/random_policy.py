"""What a policy gets that learns nothing: episodes of uniformly random actions."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathnet_rl import envs
from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import cannot_write, write_whole
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.errors import UserError
from pathnet_rl.first_episodes import Watching, first_episodes, unwatched
from pathnet_rl.reading import read_table, whole_number
from pathnet_rl.seeds import Owner, environment_seed, seed_sequence

MOST_STEPS = 27_000
"""Agent steps after which an episode is cut, half an hour of an Atari game; its return so far counts."""


COLUMNS = ("task", "protocol", "agent_steps", "episode_return")


@dataclass(frozen=True)
class RandomEpisode:
    """One episode; `agent_steps` are those of all episodes up to its end, one after the other."""

    agent_steps: int
    episode_return: float


def random_episodes(
    task: str, rules: str, episodes: int, watching: Watching = unwatched
) -> list[RandomEpisode]:
    """The first episode in each of some environments: taking those that end first would favour short ones.

    The same game gives the same episodes in every comparison.
    """
    sequence = seed_sequence(0, Arm.PATHNET, Owner.RANDOM_POLICY)
    rng = np.random.default_rng(sequence)
    environments = envs.make(task, episodes, EnvironmentOptions.under(rules))
    try:
        played = first_episodes(
            environments,
            environment_seed(sequence),
            lambda _: rng.integers(environments.actions, size=episodes),
            MOST_STEPS,
            watching,
        )
    finally:
        environments.close()
    return [
        RandomEpisode(int(end), float(value))
        for end, value in zip(np.cumsum(played.lengths), played.returns, strict=True)
    ]


class RandomPolicy:
    """The random policy's episodes in each game, kept in a file: what has been played is not played again.

    The file's columns are task, protocol, agent_steps and episode_return; `protocol` holds the rules of a
    task (`EnvironmentOptions.rules`).
    """

    def __init__(self, path: Path) -> None:
        """Read what has been played.

        Raises:
            UserError: the file is there and damaged.
        """
        self._path = path
        self._known = _read(path)

    def episodes(
        self, task: str, rules: str, wanted: int, watching: Watching = unwatched
    ) -> list[RandomEpisode]:
        """At least so many episodes, played now if fewer are known.

        Raises:
            UserError: the task cannot be played here, or the file not written.
        """
        key = (task, rules)
        if len(self._known.get(key, ())) < wanted:
            with _locked(self._path):
                self._known |= _read(self._path)  # Another process may have played meanwhile.
                if len(self._known.get(key, ())) < wanted:
                    self._known[key] = random_episodes(task, rules, wanted, watching)
                    write_whole(self._path, self._table())
        return self._known[key]

    def mean(self, task: str, rules: str, wanted: int, watching: Watching = unwatched) -> float:
        """The mean return of these episodes."""
        found = self.episodes(task, rules, wanted, watching)
        return float(np.mean([episode.episode_return for episode in found]))

    def known(self, task: str, rules: str) -> list[RandomEpisode]:
        """The episodes in a game that were played before."""
        return self._known.get((task, rules), [])

    def _table(self) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        for key, episodes in self._known.items():
            rows.writerows((*key, e.agent_steps, e.episode_return) for e in episodes)
        return text.getvalue().encode()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Have the file for oneself: what one process plays, others wait for.

    Raises:
        UserError: the folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = lock.open("w")
    except OSError as error:
        raise cannot_write(lock, error) from error
    with file:
        with contextlib.suppress(OSError):  # Where there are no locks, two may play the same.
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> dict[tuple[str, str], list[RandomEpisode]]:
    known: dict[tuple[str, str], list[RandomEpisode]] = {}
    if not path.exists():
        return known
    try:
        for task, rules, steps, value in read_table(path, COLUMNS):
            episode = RandomEpisode(whole_number(steps), float(value))
            if not math.isfinite(episode.episode_return):
                raise ValueError("a return is no number")
            known.setdefault((task, rules), []).append(episode)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it, and it is made anew") from error
    return known
