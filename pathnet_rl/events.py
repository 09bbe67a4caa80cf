"""Files of TensorBoard's events: how a run writes one, and which of them it has written.

TensorBoard reads the files of a folder in the order of their names, and never one that sorts before a file
it has begun; and a name begins with the second in which it was made. So a clock that was set back, or another
start in the same second, would write points that nobody sees.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Importing it takes seconds, and only the process that owns a writer should pay.
    from torch.utils.tensorboard import SummaryWriter

_WRITER = "pathnet-rl run {}"
_STAMP = re.compile(r"events\.out\.tfevents\.(\d{10,12})\.")


def sign(writer: SummaryWriter, run: str | None) -> None:
    """Say in a file's events whose they are; TensorBoard does not show it."""
    from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

    if run is not None:
        said = SourceMetadata(writer=_WRITER.format(run))
        file: Any = writer.file_writer  # Whose type is given as that before it is opened.
        file.add_event(Event(source_metadata=said))


def written_by(path: Path, run: str | None, tags: Collection[str]) -> bool:
    """A file holds events of a run; of one without identity, some of these tags and no others."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: set[str] = set()
    try:
        for event in LegacyEventFileLoader(str(path)).Load():
            writer = event.source_metadata.writer
            if writer.startswith(_WRITER.format("")):
                return run is not None and writer == _WRITER.format(run)
            found |= {value.tag for value in event.summary.value}
            if found and (run is not None or not found <= set(tags)):
                return False
    except Exception:  # noqa: BLE001 - TensorBoard has errors of its own; what it cannot read is not ours.
        return False
    return bool(found)


def make_writer(folder: Path, agent_steps: int = 0) -> SummaryWriter:
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
