"""What all code of a process shares, kept while others' code runs: an environment's, a task's, a module's."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator

import numpy as np

from pathnet_rl.handlers import handlers_kept

FAILURES = (Exception, SystemExit, GeneratorExit)
"""What others' code may raise at its own cost. Some say sys.exit() where they mean an error."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""These do what they did, whatever a simulator sets: a run saves when it is asked to stop."""


@contextlib.contextmanager
def all_kept() -> Iterator[None]:
    """Have what is shared as it was once this is over: signals, numpy's errors, what torch computes with."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_default_device()
    try:
        with handlers_kept(SIGNALS), NumbersKept():
            yield
    finally:
        torch = sys.modules.get("torch")  # Theirs may be the first import of it.
        if torch is not None:
            cpu = torch.device("cpu")
            device = before or cpu
            if torch.get_default_device() != device:
                torch.set_default_device(None if device == cpu else device)


class NumbersKept:
    """The part of it that a step of an environment can afford: numpy's errors, torch's gradients and type.

    Errors that others make of rounding are their own: np.seterr holds in the whole thread. What torch was
    told not to remember gradients of, or to compute in float64, is not what others' modules take.
    """

    __slots__ = ("_before", "_errors")

    def __enter__(self) -> None:
        self._errors = np.errstate()
        self._errors.__enter__()
        torch = sys.modules.get("torch")
        self._before = (
            None if torch is None else (torch.is_grad_enabled(), torch.get_default_dtype())
        )

    def __exit__(self, *raised: object) -> None:
        torch = sys.modules.get("torch")
        if torch is not None:
            # Whoever is the first to import it finds what is true of it then.
            gradients, kind = self._before or (True, torch.float32)
            if torch.is_grad_enabled() is not gradients:
                torch.set_grad_enabled(gradients)
            if torch.get_default_dtype() is not kind:
                torch.set_default_dtype(kind)
        self._errors.__exit__(None, None, None)
