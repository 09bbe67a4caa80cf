"""Where it runs: command lines, presets, and what people see."""

import os
import resource
import signal
import sys
from types import FrameType


def _end(number: int, _: FrameType | None) -> None:
    os.write(2, f"{signal.Signals(number).name} ended it\n".encode())
    os._exit(128 + number)


# Libraries take seconds to load, in which nothing has begun; a command has handlers of its own after that
# (signals.py). Whoever imports this for something else keeps what there is.
if sys.argv[:1] == ["-m"]:
    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(_number, _end)

# No command opens a window, and a notebook's backend is not there outside of it.
os.environ["MPLBACKEND"] = "agg"

try:
    os.getcwd()  # noqa: PTH109
except OSError as error:
    # Before libraries are loaded, of which some end the program without it, each in its own way.
    sys.exit(
        f"error: the folder in which this command was given cannot be entered ({error.strerror}): it may"
        " have been deleted; change into another one"
    )

FEWEST_ADDRESSES = 1_200_000 * 1024
"""Bytes that a process can have addresses of. With fewer some library waits for ever."""
_addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
if _addresses != resource.RLIM_INFINITY and _addresses < FEWEST_ADDRESSES:
    sys.exit(
        f"error: a process may have {_addresses // 1024:,} KiB of addresses here (ulimit -v), and this one"
        f" needs {FEWEST_ADDRESSES // 1024:,}; raise that, or ask the batch system for more memory"
    )
