"""Ctrl-C, SIGTERM and a closed terminal: what the first one does and what the second, for all commands."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import psutil

from launch.streams import open_closed
from workers.signals import ENDING

CLEAR_SECONDS = 5.0
"""Who is ended at once may take so long to end its children and to free memory."""


class Ended(KeyboardInterrupt):
    """A signal ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignal:
    """The first signal asks to save and stop; the second one ends the command at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Take the signals over."""
        self._before = {number: signal.getsignal(number) for number in ENDING}
        _set(self._handle)

    def leave(self) -> None:
        """Let them do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        _set(end_at_once)


def _set(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in ENDING:
        # Under nohup a closed terminal concerns nobody.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def end(number: int, _: FrameType | None = None) -> None:
    """End the command by an exception, so that everybody clears up.

    Raises:
        Ended: always.
    """
    _set(end_at_once)
    raise Ended(number)


def end_at_once(number: int, _: FrameType | None = None) -> None:
    """The same; who has not cleared up after some seconds, or when there is another signal, is killed.

    Raises:
        Ended: always.
    """
    _set(lambda number, _: _end_now(number))
    _leave_in_time(number)
    raise Ended(number)


def _leave_in_time(number: int) -> None:
    timer = threading.Timer(CLEAR_SECONDS, _end_now, [number])
    timer.daemon = True
    timer.start()


def _end_now(number: int) -> None:
    """End this process and all that it has started, whatever they are at."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(128 + number)


def status(error: KeyboardInterrupt) -> int:
    """The exit status of a command that a signal ended, as shells have it."""
    return 128 + (error.number if isinstance(error, Ended) else signal.SIGINT)


def ends_with_one_line(main: Callable[[], None]) -> Callable[[], None]:
    """A command's `main` that any signal ends with a line, if it does not say one itself."""

    @functools.wraps(main)
    def run() -> None:
        open_closed()
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        _set(end)
        if ignored:  # By a shell, for its background jobs.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            main()
        except KeyboardInterrupt as error:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"{error or 'SIGINT'} ended it\n")
            sys.exit(status(error))

    return run
