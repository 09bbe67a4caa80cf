"""Files of TensorBoard's events: which of them a run has written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_WRITER = "pathnet-rl run {}"


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
