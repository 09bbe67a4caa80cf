"""What a policy gets that has learned nothing: actions drawn evenly, under the protocol of the runs."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.random_policy import random_episodes

Floats = NDArray[np.float64]
Key = tuple[str, str]
"""A task and the protocol that it is played by."""


def measured(keys: Iterable[Key], path: Path, episodes: int) -> tuple[dict[Key, Floats], list[str]]:
    """Returns of the random policy on each task, taken from the file `path` where it has enough of them.

    What is measured is added to that file. Also a line for each task that cannot be played here.

    Raises:
        UserError: the file is damaged.
        OSError: it cannot be written.
    """
    known = _read(path)
    found: dict[Key, Floats] = {}
    silent: list[str] = []
    for key in dict.fromkeys(keys):
        if len(known.get(key, [])) >= max(1, episodes):
            found[key] = np.array(known[key])
        elif episodes:
            try:
                found[key] = np.array([e.episode_return for e in random_episodes(*key, episodes)])
            except UserError as error:
                silent.append(f"{key[0]}: {error}")
                continue
            known[key] = [float(value) for value in found[key]]
    _write(path, known)
    return found, silent


def _read(path: Path) -> dict[Key, list[float]]:
    known: dict[Key, list[float]] = {}
    if not path.exists():
        return known
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                key = (row["task"], row["protocol"])
                known.setdefault(key, []).append(float(row["episode_return"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it, and it is made anew") from error
    return known


def _write(path: Path, known: dict[Key, list[float]]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["task", "protocol", "episode_return"])
        rows.writerows((*key, value) for key, values in known.items() for value in values)
