"""The signals that end a command, and what its processes do with them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

FROM_TERMINALS = (signal.SIGINT, signal.SIGHUP)
"""These reach all processes of a terminal, not the command alone."""
FROM_BATCH_SYSTEMS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU)
"""SLURM, Grid Engine, LSF and `timeout` say with these, often to all processes, that time is nearly up."""
ENDING = (*FROM_TERMINALS, *FROM_BATCH_SYSTEMS)


def leave_to_parent() -> None:
    """Let the parent, who has them too, say when to stop; whatever this process starts inherits that."""
    for number in (*FROM_TERMINALS, signal.SIGUSR1, signal.SIGXCPU):
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def deaf_to_batch_systems() -> Iterator[None]:
    """Have what is started meanwhile, and what that starts, not hear the signals of batch systems.

    These go to all processes of a command, and ray's have to live until the command has saved.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FROM_BATCH_SYSTEMS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_sigterm() -> None:
    """Let what this thread starts from here on end by SIGTERM, although its process was deaf to it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
