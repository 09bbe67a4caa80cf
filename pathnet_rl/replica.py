"""A node's copy of the grid: a block that its workers map, and what its courier remembers of the server's.

For each row (`Grid.rows`) the memory holds the numbers that the server is known to have had (the base), and
those that are on their way to it (sent). It lies in a file beside the block, so that a courier that is
started again goes on where it died: what may have reached the server is sent again as it was, and the server
does not apply it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.block_files import COURIER_SUFFIX, reserve_file
from pathnet_rl.config import LearningConfig
from pathnet_rl.exchange import (
    Changes,
    Floats,
    News,
    WholeBlock,
    decay_of,
    flat,
    mapped,
    missed,
    narrowed,
    widened,
)
from pathnet_rl.grid import Grid
from pathnet_rl.optimizer import RMSPropStep, shared_rmsprop
from pathnet_rl.store import GridStore

_LOADED, _SLOT, _SENDING, _STEPS, _UPDATES = range(5)
_HEADER = 5


class Replica:
    """The block of a node at `path`, and how it is kept in step. One process, the courier, has one.

    A new one holds zeros until `load`; at a path where a loaded one lies it goes on with that.

    Args:
        narrow: tell differences as bfloat16. What that leaves out is told when the row is told next.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        learning: LearningConfig,
        step: RMSPropStep = shared_rmsprop,
        narrow: bool = False,
    ) -> None:
        memory = path.with_suffix(COURIER_SUFFIX)
        if not (memory.exists() and path.exists()):
            memory.unlink(missing_ok=True)
            GridStore.create(path, grid, learning)
        self.store = GridStore.open(path, grid, learning, step)
        rows = len(grid.rows)
        integers = _HEADER + 4 * rows
        mapped_file = (
            np.memmap(memory, np.uint8, mode="r+").view(np.ndarray)
            if memory.exists()
            else reserve_file(memory, 8 * integers + 16 * grid.size)
        )
        numbers: NDArray[np.int64] = mapped_file[: 8 * integers].view(np.int64)
        self._header = numbers[:_HEADER]
        self._versions, self._base_pushes, self._sent_pushes, self._copies = numbers[
            _HEADER:
        ].reshape(4, rows)
        floats = mapped_file[8 * integers :].view(np.float32).reshape(2, 2, grid.size)
        self._base, self._sent = floats
        self._memory, self._alpha, self._narrow = memory, learning.rmsprop_decay, narrow

    @property
    def loaded(self) -> bool:
        """It has been given numbers."""
        return bool(self._header[_LOADED])

    def load(self, whole: WholeBlock, slot: int) -> None:
        """Begin a task, or join in, with everything the server has. No worker may be at work on the node.

        Args:
            slot: that counts what this node does, in the server's block. One that no other node has had in
                this task.
        """
        self._header[_LOADED] = 0
        news = whole.news
        self.store.set_task(news.task, news.budget)
        self.store.set_frozen(whole.frozen)
        self._header[[_SLOT, _SENDING]] = slot, 0
        self._base_pushes[:] = self._sent_pushes[:] = self._copies[:] = 0
        self.store.begin_exchange()
        self._take_over(news)
        self.store.end_exchange()
        self._header[_LOADED] = 1

    def changes(self) -> Changes:
        """What happened here since the last exchange; the same again until its answer has been taken."""
        if not self._header[_SENDING]:
            self._collect()
        return self._as_told()

    def take(self, news: News) -> None:
        """Take the answer to `changes`: what others did is added to what workers have done meanwhile."""
        told = set(news.rows.tolist())
        for row in np.flatnonzero(self._sent_pushes != self._base_pushes).tolist():
            if row not in told:
                self._base[:, self.store.grid.rows[row]] = self._as_server_has_it(row)
                self._know(row, self._versions[row] + self._since(row))
        self._take_over(news)
        self._header[_SENDING] = 0
        self.store.end_exchange()

    def remove(self) -> None:
        """Delete the files; mappings that are still open stay valid."""
        self.store.remove()
        self._memory.unlink(missing_ok=True)

    def _collect(self) -> None:
        """Copy the rows that were pushed, each as it is between two pushes."""
        store = self.store
        store.begin_exchange()
        # First: a push is counted when it is done, so that no step is told of whose numbers are not.
        self._header[[_STEPS, _UPDATES]] = store.counted_here()
        for row in np.flatnonzero(store.pushes_of_all() != self._base_pushes).tolist():
            place = store.grid.rows[row]
            with store.locks.held(row):
                self._sent[:, place] = store.row(row)
                self._sent_pushes[row] = store.pushes(row)
        self._header[_SENDING] = 1

    def _as_told(self) -> Changes:
        """What was collected, as a map of the base."""
        store = self.store
        rows = np.flatnonzero(self._sent_pushes != self._base_pushes)
        since = self._sent_pushes[rows] - self._base_pushes[rows]
        decays = np.array([decay_of(self._alpha, int(n)) for n in since], np.float32)
        places = [store.grid.rows[row] for row in rows]
        base, sent = (
            [flat([numbers[kind, place] for place in places]) for kind in (0, 1)]
            for numbers in (self._base, self._sent)
        )
        decay = np.repeat(decays, [place.stop - place.start for place in places])
        differences, remainders = self._map(base, sent, decay)
        nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        return Changes(
            int(self._header[_SLOT]),
            store.task,
            int(self._header[_STEPS]),
            int(self._header[_UPDATES]),
            self._versions.copy(),
            rows,
            self._sent_pushes[rows],
            since,
            decays,
            narrowed(differences) if self._narrow else differences,
            narrowed(remainders) if self._narrow else remainders,
            nothing if self._narrow else missed(sent[0], base[0] + differences),
            nothing if self._narrow else missed(sent[1], mapped(base[1], decay, remainders)),
        )

    def _map(
        self,
        base: Sequence[Floats] | Floats,
        sent: Sequence[Floats] | Floats,
        decay: np.float32 | Floats,
    ) -> tuple[Floats, Floats]:
        """What makes the base what was sent, as far as it is told."""
        differences: Floats = sent[0] - base[0]
        remainders: Floats = sent[1] - decay * base[1]
        if self._narrow:
            return widened(narrowed(differences)), widened(narrowed(remainders))
        return differences, remainders

    def _as_server_has_it(self, row: int) -> Floats:
        """A row's base and what was sent of it, [2, size]: what the server has, if nobody else changed it."""
        place = self.store.grid.rows[row]
        base, sent = self._base[:, place], self._sent[:, place]
        since = self._since(row)
        if not since:
            return base
        if not self._narrow:
            return sent
        decay = decay_of(self._alpha, since)
        differences, remainders = self._map(base, sent, decay)
        return np.stack([base[0] + differences, mapped(base[1], decay, remainders)])

    def _take_over(self, news: News) -> None:
        parts = self.store.grid.one_after_another(news.rows.tolist())
        counts = zip(news.versions.tolist(), news.copies.tolist(), strict=True)
        for (row, part), (version, copies) in zip(parts, counts, strict=True):
            replaced = copies != self._copies[row]
            self._take_row(row, (news.parameters[part], news.squares[part]), version, replaced)
            self._copies[row] = copies
        self.store.set_counted_elsewhere(news.agent_steps, news.updates)
        self.store.stopped, self.store.hold = news.stopped, news.hold

    def _take_row(
        self, row: int, told: tuple[Floats, Floats], version: int, replaced: bool
    ) -> None:
        """If `replaced`, by another module: what was pushed meanwhile to the old one is added to that."""
        place = self.store.grid.rows[row]
        known = self._as_server_has_it(row)
        locks = self.store.locks
        with locks.replacing(row) if replaced else locks.held(row):
            parameters, squares = self.store.row(row)
            meanwhile = self.store.pushes(row) - int(self._sent_pushes[row])
            if meanwhile or (self._narrow and not replaced):
                decay = decay_of(self._alpha, meanwhile)
                parameters += told[0] - known[0]
                squares[:] = mapped(told[1] - known[1], decay, squares)
            else:
                parameters[:], squares[:] = told
            self._base[:, place] = told
            self._know(row, version)

    def _since(self, row: int) -> int:
        return int(self._sent_pushes[row] - self._base_pushes[row])

    def _know(self, row: int, version: int) -> None:
        """The server has what was sent of a row; so many pushes of everybody are in the base."""
        self._versions[row] = version
        self._base_pushes[row] = self._sent_pushes[row]
