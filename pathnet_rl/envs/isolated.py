"""Environments in a process of their own, whose end is not the end of who acts in them.

Some simulators end their process without an exception. Then another is started; the episodes under way are
discarded, and nothing else is lost.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.board import Board, Shown
from pathnet_rl.envs.interface import MOST_LOST_IN_A_ROW, Step
from pathnet_rl.envs.scratch import Scratch
from pathnet_rl.errors import UserError

LONGEST_SILENCE = 600.0
"""Seconds after which a process is held to be stuck: a level may have to be compiled first."""
LONGEST_GOODBYE = 5.0
"""Seconds that a process has to close its environments."""


class _Died(Exception):
    """The process is no more; says how it ended."""


class IsolatedEnvironments:
    """E environments of the task `name`, in a process of their own.

    Args:
        log: takes what the process prints. If not given, it goes to a file that is deleted.

    Raises:
        UserError: the task cannot be made, or its process dies again and again; see MOST_LOST_IN_A_ROW.
    """

    def __init__(
        self, name: str, count: int, options: EnvironmentOptions, log: Path | None = None
    ) -> None:
        self._name, self.count, self._options, self._log_path = name, count, options, log
        self._deaths = self._fruitless = 0
        self._earlier_seconds = 0.0
        # Simulators leave files behind, all the more if they die.
        self._scratch = Scratch()
        self._log: IO[bytes] = (
            tempfile.TemporaryFile() if log is None else log.open("a+b")  # noqa: SIM115
        )
        self._process: subprocess.Popen[bytes] | None = None
        try:
            shown = self._start()
        except _Died as death:
            self.close()
            raise UserError(f"the environments of {name} cannot be made: {death}") from death
        except BaseException:
            self.close()
            raise
        self.observation_shape, self.actions = shown.shape, shown.actions
        self.observation_dtype, self.meaning = np.dtype(shown.dtype), shown.meaning

    @property
    def elsewhere_seconds(self) -> float:
        return self._earlier_seconds + float(self._board.seconds[0])

    def reset(self, seed: int) -> NDArray[np.generic]:
        self._seed = seed
        try:
            self._ask(reset=seed)
        except _Died as death:
            self._begin_anew(death)
        self._last = self._board.observations.copy()
        return self._last

    def step(self, actions: NDArray[np.int64]) -> Step:
        board = self._board
        board.actions[:] = actions
        try:
            answer = self._ask(step=True)
        except _Died as death:
            return self._nothing_came(self._begin_anew(death))
        self._last = board.observations.copy()
        ended = board.ended.copy()
        if ended.any():
            self._fruitless = 0
        return Step(
            self._last,
            board.rewards.copy(),
            board.terminated.copy(),
            board.truncated.copy(),
            ended,
            board.final_observations.copy() if ended.any() else None,
            {int(environment): why for environment, why in answer["lost"].items()},
        )

    def close(self) -> None:
        """End the process; it has LONGEST_GOODBYE to close its environments."""
        process, self._process = self._process, None
        if process is not None:
            os.close(self._commands)
            _status_at_last(process)
            self._replies.close()
        self._log.close()
        self._scratch.close()

    def _start(self) -> Shown:
        """Start the process, and hear what its environments show."""
        frames = os.memfd_create("pathnet-rl-frames")
        theirs, self._commands = os.pipe()
        replies, told = os.pipe()
        self._replies = os.fdopen(replies, "rb", buffering=0)
        self._heard = b""
        what = {
            "name": self._name,
            "count": self.count,
            "options": self._options.model_dump(include=set(EnvironmentOptions.model_fields)),
            "commands": theirs,
            "replies": told,
            "frames": frames,
            "scratch": str(self._scratch.path),
        }
        # Of a session of its own, so that Ctrl-C in a terminal is for those who save.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pathnet_rl.envs.player", json.dumps(what)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs, told, frames),
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "TMPDIR": str(self._scratch.path),
                "LP_NUM_THREADS": "0",  # DeepMind Lab's renderer: more threads are slower.
            },
            start_new_session=True,
        )
        os.close(theirs)
        os.close(told)
        try:
            answer = self._hear()
            shown = Shown(**{**answer, "shape": tuple(answer["shape"])})
            self._board = Board(frames, shown)
        finally:
            os.close(frames)
        return shown

    def _ask(self, **command: Any) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # The silence that follows says why.
            os.write(self._commands, json.dumps(command).encode() + b"\n")
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            _Died: there is none; the process has ended, or was stuck and is killed.
            UserError: something is wrong with the environments; says what they say.
        """
        assert self._process is not None
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self._replies], [], [], LONGEST_SILENCE)
            if not ready:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
                raise _Died(f"it did not answer for {LONGEST_SILENCE:g} seconds")
            some = self._replies.read(65536)
            if not some:
                raise _Died(self._how_it_ended())
            self._heard += some
        line, _, self._heard = self._heard.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer

    def _how_it_ended(self) -> str:
        assert self._process is not None
        status = _status_at_last(self._process)
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        said = self._last_line()
        return f"its process ended ({how}){f': {said}' if said else ''}{self._whole_log}"

    def _last_line(self) -> str:
        """What was printed last, by whoever prints there."""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, end - 4096))
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")[:200]

    @property
    def _whole_log(self) -> str:
        return f" (all of it in {self._log_path})" if self._log_path is not None else ""

    def _begin_anew(self, death: _Died) -> str:
        """Another process, and its first observations; says why.

        Raises:
            UserError: it is one too many before an episode ended.
        """
        while True:
            self._deaths += 1
            self._fruitless += 1
            self._leave()
            if self._fruitless > MOST_LOST_IN_A_ROW:
                raise UserError(
                    f"the environments of {self._name} died {self._fruitless} times before an episode"
                    f" ended; the last time {death}"
                ) from death
            try:
                self._start()
                seed = np.random.SeedSequence([self._seed, self._deaths]).generate_state(1)[0]
                self._ask(reset=int(seed))
            except _Died as another:
                death = another
            else:
                return str(death)

    def _leave(self) -> None:
        """Forget a process that has ended."""
        self._earlier_seconds += float(self._board.seconds[0])
        self._board.seconds[0] = 0.0
        self._process = None
        os.close(self._commands)
        self._replies.close()

    def _nothing_came(self, why: str) -> Step:
        """An observation that was seen before is all that is known of how the lost episodes went on."""
        before, self._last = self._last, self._board.observations.copy()
        all_of_them = np.ones(self.count, dtype=np.bool_)
        return Step(
            self._last,
            np.zeros(self.count, dtype=np.float32),
            ~all_of_them,
            all_of_them.copy(),
            all_of_them.copy(),
            before,
            dict.fromkeys(range(self.count), why),
        )


def _status_at_last(process: subprocess.Popen[bytes]) -> int:
    """The exit status of a process that is ending, and everything that it has started with it.

    It is killed if that takes longer than LONGEST_GOODBYE.
    """
    until = time.monotonic() + LONGEST_GOODBYE
    # Not to be reaped before its group is ended: until then the group's number is nobody else's.
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while process.returncode is None and os.waitid(os.P_PID, process.pid, ended) is None:
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
