"""What the coordinator knows, in a file beside the block: one that takes a dead one's place reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pathnet_rl.block_files import COORDINATOR_SUFFIX, UNFINISHED_SUFFIX


class KeptState:
    """The file beside the block of one start; whoever removes the block removes it.

    Attributes:
        deaths: that it tells of, as far as `keep`, `recall` or `news` has seen it.
    """

    def __init__(self, block: Path) -> None:
        self._block = block
        self._path = block.with_suffix(COORDINATOR_SUFFIX)
        self._unfinished = block.with_suffix(UNFINISHED_SUFFIX)
        self.deaths = 0

    def keep(self, state: dict[str, Any]) -> None:
        """Write what is known, as JSON values. Whoever is killed meanwhile leaves what was written before.

        Once the block is gone the start is over, and nothing is kept.
        """
        if not self._block.exists():
            return
        content = json.dumps({"deaths": self.deaths, "state": state}).encode()
        descriptor = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self._unfinished.replace(self._path)

    def recall(self) -> dict[str, Any] | None:
        """What was kept, if anything was: then whoever kept it is dead."""
        kept = self._read()
        if kept is None:
            return None
        self.deaths = kept["deaths"] + 1
        state: dict[str, Any] = kept["state"]
        return state

    def news(self) -> list[str]:
        """For those who only look on: what they should know since this was last asked."""
        kept = self._read()
        before, self.deaths = self.deaths, self.deaths if kept is None else kept["deaths"]
        return ["the coordinator died and was started again; it knows what it knew"] * (
            self.deaths - before
        )

    def _read(self) -> dict[str, Any] | None:
        try:
            kept: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        return kept
