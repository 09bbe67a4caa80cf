"""The signals that end a command, and what its processes do with them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

FROM_TERMINALS = (signal.SIGINT, signal.SIGHUP)
"""These reach all processes of a terminal, not the command alone."""
ENDING = (*FROM_TERMINALS, signal.SIGTERM)


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Have the handlers of before once this is over, whoever takes the signals over meanwhile."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def leave_to_parent() -> None:
    """Let the parent, who has them too, say when to stop; whatever this process starts inherits that."""
    for number in FROM_TERMINALS:
        signal.signal(number, signal.SIG_IGN)


def hear_sigterm() -> None:
    """Let what this thread starts from here on end by SIGTERM; see ray_here.py for who does not."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
