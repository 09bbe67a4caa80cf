"""What signals do in this process, kept while others' code runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def handlers_kept(numbers: Sequence[int]) -> Iterator[None]:
    """Have the handlers of before once this is over, whoever takes these signals over meanwhile."""
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        # Nobody can have changed them in another thread than the main one.
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
