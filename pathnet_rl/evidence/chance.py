"""What a policy gets that has learned nothing: actions drawn evenly, under the rules of the runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.foreign_code import module_of
from pathnet_rl.random_policy import RandomPolicy

Floats = NDArray[np.float64]
Key = tuple[str, str]
"""A task and its rules: an Atari game's protocol, or the actions of a task in DeepMind Lab."""


def measured(
    keys: Iterable[Key], path: Path, episodes: int, imports: Collection[str] = ()
) -> tuple[dict[Key, Floats], list[str]]:
    """Returns of the random policy on each task, taken from the file `path` where it has enough of them.

    What is measured is added to that file. Also a line for each task that cannot be played here, or would
    import a module that is not in `imports`.

    Raises:
        UserError: the file is damaged, or cannot be written.
    """
    policy = RandomPolicy(path)
    found: dict[Key, Floats] = {}
    silent: list[str] = []
    for key in dict.fromkeys(keys):
        module = module_of(key[0])
        if episodes and module and module not in imports:
            silent.append(
                f"{key[0]}: it would import {module}; add --imports {module} if you know it"
            )
            continue
        try:
            played = policy.episodes(*key, episodes) if episodes else policy.known(*key)
        except UserError as error:
            silent.append(f"{key[0]}: {error}")
            continue
        if played:
            found[key] = np.array([episode.episode_return for episode in played])
    return found, silent
