"""The block: the grid's numbers and what is said about them, in one memory-mapped file.

The file holds, in this order: a header of int64 numbers, the parameters (P float32) and the mean squared
gradients of the shared RMSProp (P float32).

Counters have one slot for each worker, and for each other node, and only that one writes it, so nothing is
counted twice or lost: agent steps and pushes of the task, and how often each row (`Grid.rows`) was pushed.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.block_files import MAGIC, remove_block, reserve_file
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid
from pathnet_rl.row_locks import RowLocks

LAYOUT_VERSION = 1
"""Of the numbers, also in checkpoints."""
HEADER_VERSION = 5
SLOTS = 1024
"""Workers count from 0 up, nodes from the last one down."""
SERVER_SLOT = SLOTS // 2 - 1
"""Between them: here the parameter server counts the rows that it copies modules over."""
(
    _MAGIC, _VERSION, _SIZE, _IDENTITY, _TASK, _BUDGET, _STOP, _HOLD, _STEPS, _UPDATES, _BEGUN, _DONE,
) = range(12)  # fmt: skip
_COUNTERS = 12

LOOK_SECONDS = 0.001
"""Between two looks at whether what is waited for has been done."""


class Block:
    """A mapped block: what its header says, and views of its numbers."""

    def __init__(self, path: Path, grid: Grid, buffer: NDArray[np.uint8]) -> None:
        self.path, self.grid = path, grid
        header, rows = _header_numbers(grid), len(grid.rows)
        self._header = buffer[: header * 8].view(np.int64)
        ends = np.cumsum([_COUNTERS, 2 * SLOTS, rows * SLOTS])
        _, counters, pushes, frozen = np.split(self._header, ends)
        self._counters = counters.reshape(2, SLOTS)
        self._pushes = pushes.reshape(rows, SLOTS)
        self._frozen = frozen.reshape(grid.depth, grid.modules)
        self.locks = RowLocks(path)
        numbers = buffer[header * 8 :].view(np.float32)
        self.parameters = torch.from_numpy(numbers[: grid.size])
        self.squares = torch.from_numpy(numbers[grid.size :])

    @property
    def task(self) -> int:
        """The task that is being learned, from 0."""
        return int(self._header[_TASK])

    @property
    def budget(self) -> int:
        """Agent steps of the current task."""
        return int(self._header[_BUDGET])

    @property
    def agent_steps(self) -> int:
        """Agent steps done in the current task, all workers together."""
        return int(self._header[_STEPS]) + int(self._counters[0].sum())

    @property
    def updates(self) -> int:
        """Pushes applied in the current task, all workers together."""
        return int(self._header[_UPDATES]) + int(self._counters[1].sum())

    @property
    def frozen(self) -> ActiveModules:
        """Modules that never change again."""
        return tuple(tuple(int(m) for m in np.flatnonzero(layer)) for layer in self._frozen)

    @property
    def stopped(self) -> bool:
        """Workers are asked to stop at the end of their rollout."""
        return bool(self._header[_STOP])

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self._header[_STOP] = int(value)

    @property
    def hold(self) -> int:
        """A number while workers are asked to rest between two rollouts, another one each time; else 0."""
        return int(self._header[_HOLD])

    @hold.setter
    def hold(self, value: int) -> None:
        self._header[_HOLD] = value

    @property
    def over(self) -> bool:
        """The current task's agent steps are done."""
        return self.agent_steps >= self.budget

    def await_exchange(self) -> None:
        """Wait until the server has all that was pushed here before, and this block what the server had then.

        The server's own block is always so; elsewhere it is so after the next exchange that begins. Who is
        told to stop waits no longer.
        """
        ticket = self.exchange_ticket
        while not self.exchanged(ticket):
            time.sleep(LOOK_SECONDS)

    @property
    def exchange_ticket(self) -> int:
        """For `exchanged`: what was pushed here until now."""
        return int(self._header[_BEGUN])

    def exchanged(self, ticket: int) -> bool:
        """The server has all that was pushed here before a ticket was taken, or nobody is to wait for it."""
        return not ticket or bool(self._header[_DONE] > ticket) or self.stopped

    def await_release(self, hold: int) -> None:
        """Wait until this hold is over. Who is told to stop, or has nothing more to do, waits no longer."""
        while self.hold == hold and not (self.over or self.stopped):
            time.sleep(LOOK_SECONDS)

    # What its owners write -------------------------------------------------------------------

    def sign(self) -> None:
        """Write what kind of file this is; a new one is at task 0."""
        self._header[: _IDENTITY + 1] = self._signature()

    @property
    def signed(self) -> bool:
        """The file is one of this layout and size."""
        return tuple(int(n) for n in self._header[: _IDENTITY + 1]) == self._signature()

    def _signature(self) -> tuple[int, ...]:
        """With what its own name says: a file that was copied or renamed is another's."""
        identity = hashlib.sha256(self.path.name.encode()).digest()
        return MAGIC, HEADER_VERSION, self.grid.size, int.from_bytes(identity[:7])

    def count(self, worker: int, agent_steps: int) -> None:
        """Count a push of so many agent steps in the worker's own slot."""
        self._counters[0, worker] += agent_steps
        self._counters[1, worker] += 1

    def counted(self, slot: int) -> tuple[int, int]:
        """Agent steps and pushes in a slot."""
        return int(self._counters[0, slot]), int(self._counters[1, slot])

    def counted_here(self) -> tuple[int, int]:
        """Agent steps and pushes in all slots."""
        agent_steps, updates = self._counters.sum(axis=1)
        return int(agent_steps), int(updates)

    def set_counted(self, slot: int, agent_steps: int, updates: int) -> None:
        """What another node has done in this task so far."""
        self._counters[:, slot] = agent_steps, updates

    def set_counted_elsewhere(self, agent_steps: int, updates: int) -> None:
        """What is done of this task beside what is in slots."""
        self._header[[_STEPS, _UPDATES]] = agent_steps, updates

    def begin_exchange(self) -> None:
        """A courier is about to collect what was pushed."""
        self._header[_BEGUN] += 1

    def end_exchange(self) -> None:
        """It has taken the answer."""
        self._header[_DONE] = self._header[_BEGUN]

    def pushes(self, row: int) -> int:
        """How often a row has been pushed in this task, by all."""
        return int(self._pushes[row].sum())

    def pushes_of_all(self) -> NDArray[np.int64]:
        """The same of every row, [rows]."""
        found: NDArray[np.int64] = self._pushes.sum(axis=1)
        return found

    def pushes_by(self, slot: int, row: int) -> int:
        """How often one worker or node pushed a row in this task."""
        return int(self._pushes[row, slot])

    def set_pushes_by(self, slot: int, row: int, pushes: int) -> None:
        """Who changes a row counts it while holding its lock."""
        self._pushes[row, slot] = pushes

    def freeze(self, path: ActiveModules) -> None:
        """Never change these modules again."""
        for layer, modules in enumerate(path):
            self._frozen[layer, list(modules)] = 1

    def set_task(self, task: int, budget: int, agent_steps: int = 0, updates: int = 0) -> None:
        """Be at a task, of whose budget so much is done; nobody is asked to stop."""
        self._counters[:] = self._pushes[:] = 0
        self._header[[_TASK, _BUDGET, _STEPS, _UPDATES, _STOP, _HOLD]] = (
            task, budget, agent_steps, updates, 0, 0,
        )  # fmt: skip

    def set_frozen(self, path: ActiveModules) -> None:
        """These modules are frozen, and no others."""
        self._frozen[:] = 0
        self.freeze(path)

    def remove(self) -> None:
        """Delete the file and what lies beside it; mappings that are still open stay valid."""
        remove_block(self.path)


def reserve(path: Path, grid: Grid) -> NDArray[np.uint8]:
    """The bytes of a new block, all 0, in place of whatever lay at `path`.

    Raises:
        UserError: there is no room for it.
    """
    return reserve_file(path, _file_size(grid))


def existing(path: Path, grid: Grid) -> NDArray[np.uint8]:
    """The bytes of the file that its owner made at `path`.

    Raises:
        UserError: it is of another size than the grid takes.
    """
    buffer = np.memmap(path, dtype=np.uint8, mode="r+").view(np.ndarray)
    if len(buffer) != _file_size(grid):
        raise UserError(
            f"{path} has {len(buffer)} bytes where this grid takes {_file_size(grid)}:"
            " it is of another layout"
        )
    return buffer


def _header_numbers(grid: Grid) -> int:
    return _COUNTERS + (2 + len(grid.rows)) * SLOTS + grid.depth * grid.modules


def _file_size(grid: Grid) -> int:
    return _header_numbers(grid) * 8 + 2 * grid.size * 4
