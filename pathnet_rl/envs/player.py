"""The process that plays isolated environments: it does what it is asked until nobody asks any more.

Commands and answers are lines of JSON in pipes; observations, actions and rewards lie in shared memory.
When nobody asks or listens any more (they were killed, perhaps), it deletes environments' temporary files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import numpy as np

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.board import Board, Shown
from pathnet_rl.envs.interface import Environments
from pathnet_rl.envs.registry import make_here
from pathnet_rl.errors import UserError


class _NobodyListens(Exception):
    """Who asked is no more."""


def play(what: dict[str, Any]) -> None:
    """Make the environments, say what they show, and step them."""
    with suppress(_NobodyListens):
        _play(what)
    # Not after any other error: then another process may be started in the same folder.
    shutil.rmtree(what["scratch"], ignore_errors=True)


def _play(what: dict[str, Any]) -> None:
    """Until nobody asks.

    Raises:
        _NobodyListens: nobody hears the answer.
    """

    def answer(**said: Any) -> None:
        try:
            os.write(what["replies"], json.dumps(said).encode() + b"\n")
        except BrokenPipeError:
            raise _NobodyListens from None

    try:
        options = EnvironmentOptions.model_validate(what["options"])
        environments = make_here(what["name"], what["count"], options)
    except UserError as error:
        answer(error=str(error))
        return
    try:
        shown = Shown(
            environments.count,
            environments.observation_shape,
            environments.observation_dtype.str,
            environments.actions,
            environments.meaning,
        )
        board = Board(what["frames"], shown)
        answer(**asdict(shown))
        with os.fdopen(what["commands"], "rb") as commands:
            for line in commands:
                lost = _do(json.loads(line), environments, board)
                board.seconds[0] = time.process_time() + environments.elsewhere_seconds
                answer(lost=lost)
    except UserError as error:
        answer(error=str(error))
    finally:
        environments.close()


def _do(command: dict[str, Any], environments: Environments, board: Board) -> Mapping[int, str]:
    """Obey a command; which episodes were lost, and why."""
    if "reset" in command:
        board.observations[:] = environments.reset(command["reset"])
        return {}
    came = environments.step(board.actions.astype(np.int64))
    board.observations[:] = came.observations
    board.rewards[:] = came.rewards
    board.terminated[:], board.truncated[:] = came.terminated, came.truncated
    board.ended[:] = came.ended
    if came.final_observations is not None:
        board.final_observations[:] = came.final_observations
    return came.lost


if __name__ == "__main__":
    play(json.loads(sys.argv[1]))
    # Of a session of its own; what environments started and did not end is not to outlive them.
    os.killpg(os.getpid(), signal.SIGKILL)
