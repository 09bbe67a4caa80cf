"""A TensorBoard writer whose file TensorBoard reads after those that are there, whatever the clock says.

TensorBoard reads the files of a folder in the order of their names, and never one that sorts before a file
it has begun; and a name begins with the second in which it was made. So a clock that was set back, or another
start in the same second, would write points that nobody sees.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Importing it takes seconds, and only the process that owns a writer should pay.
    from torch.utils.tensorboard import SummaryWriter

_STAMP = re.compile(r"events\.out\.tfevents\.(\d{10,12})\.")


def make_writer(folder: Path, agent_steps: int) -> SummaryWriter:
    """A writer of events to `folder` from `agent_steps` on; points beyond that lie there are superseded."""
    from torch.utils.tensorboard import SummaryWriter

    stamps = [
        int(found[1]) for path in folder.glob("events.*") if (found := _STAMP.match(path.name))
    ]
    with _names_from(max(stamps, default=-1) + 1):
        return SummaryWriter(
            str(folder), purge_step=agent_steps + 1 if agent_steps else 0, flush_secs=5
        )


@contextlib.contextmanager
def _names_from(second: int) -> Iterator[None]:
    """Names of new files have at least this second: there is no other way to choose one."""
    from tensorboard.summary.writer import event_file_writer

    event_file_writer.time = SimpleNamespace(time=lambda: max(time.time(), second))
    try:
        yield
    finally:
        event_file_writer.time = time
