"""A task whose process dies: `tests.crashing:tests/Crashing-v0`.

The environment variable CRASHING says when: `signal 11 after 7` (steps in one process), `exit 3 after 7`,
`sleep 100 after 7`, `never`; followed by `once` it does so only if the file CRASHED is not there, and
makes it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import gymnasium

from tests.misbehaving import Behaving


class Crashing(Behaving):
    """It counts the steps of its own process."""

    def __init__(self) -> None:
        super().__init__()
        self._all_steps = 0
        if os.environ.get("CRASHING") == "fails to begin":
            print("no licence for this simulator", flush=True)  # noqa: T201
            os._exit(7)

    def _misbehave(self) -> None:
        self._all_steps += 1
        words = os.environ.get("CRASHING", "never").split()
        if words == ["never"] or self._all_steps != int(words[words.index("after") + 1]):
            return
        if words[-1] == "once":
            crashed = Path(os.environ["CRASHED"])
            if crashed.exists():
                return
            crashed.touch()
        os.write(2, b"simulator: freed a freed pointer\n")
        if words[0] == "signal":
            os.kill(os.getpid(), int(words[1]))
        elif words[0] == "exit":
            os._exit(int(words[1]))
        else:
            time.sleep(float(words[1]))


gymnasium.register("tests/Crashing-v0", "tests.crashing:Crashing")
