"""The exchange: how the parameter server's block and another node's copy of it are made to agree.

A node tells what its own pushes did to each row (module or head, `Grid.rows`) since the last exchange, as a
map that can be applied whatever others did meanwhile, and is told the rows that others changed. Parameters
move by differences: theta <- theta + d. Mean squared gradients decay at every push, so theirs is an affine
map: n pushes make g into a g + b with a = alpha^n, and such maps of several nodes compose to what all pushes
in turn would have made, where differences could add up to less than nothing.

Where nobody else changed a row, the numbers are copied to the bit. Where somebody did, sums are rounded. A
module that the server copied over another is a row that somebody else changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.block import SERVER_SLOT
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.store import GridStore, StaleTaskError

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Bits = NDArray[np.uint16]


@dataclass(frozen=True)
class Changes:
    """What a node's pushes did to n rows since its last exchange.

    Numbers of all n rows follow one another in a flat array.

    Attributes:
        slot: the node's, in the server's counters. task: that was learned.
        agent_steps, updates: of the node in this task so far.
        versions: [rows of the grid], how many pushes of everybody the node knew of each.
        rows: [n], which changed. pushes: [n], of the node in this task so far. since: [n], of this exchange.
        decays: [n], a. differences: d. remainders: b. Both float32, or as bits of bfloat16 (uint16).
        exact_parameters, exact_squares: where d and b, being rounded, miss the node's numbers, and those.
    """

    slot: int
    task: int
    agent_steps: int
    updates: int
    versions: Integers
    rows: Integers
    pushes: Integers
    since: Integers
    decays: Floats
    differences: Floats | Bits
    remainders: Floats | Bits
    exact_parameters: tuple[Integers, Floats]
    exact_squares: tuple[Integers, Floats]

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return self.differences.nbytes + self.remainders.nbytes


@dataclass(frozen=True)
class News:
    """What a node is told: the rows that others changed, and where the task stands.

    Attributes:
        agent_steps, updates: of everybody else in this task.
        rows: [n]. versions: [n]. copies: [n], how often the server copied a module over each in this task.
        parameters, squares: their numbers, one row after another.
    """

    task: int
    budget: int
    stopped: bool
    hold: int
    agent_steps: int
    updates: int
    rows: Integers
    versions: Integers
    copies: Integers
    parameters: Floats
    squares: Floats

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return self.parameters.nbytes + self.squares.nbytes


@dataclass(frozen=True)
class WholeBlock:
    """Everything that a node begins a task with."""

    news: News
    frozen: ActiveModules


def decay_of(alpha: float, pushes: int) -> np.float32:
    """The a of so many pushes."""
    return np.float32(alpha**pushes)


def mapped(squares: Floats, decay: np.float32 | Floats, remainder: Floats) -> Floats:
    """The map applied: a g + b; rounding does not make it negative."""
    found: Floats = np.maximum(decay * squares + remainder, np.float32(0.0))
    return found


def narrowed(numbers: Floats) -> Bits:
    """The bits of the nearest bfloat16: half the bytes, and three digits."""
    found: Bits = torch.from_numpy(numbers).bfloat16().view(torch.uint16).numpy()
    return found


def widened(numbers: Floats | Bits) -> Floats:
    """As float32, whatever they are."""
    if numbers.dtype == np.float32:
        return numbers.astype(np.float32, copy=False)
    found: Floats = torch.from_numpy(numbers).view(torch.bfloat16).float().numpy()
    return found


def missed(wanted: Floats, found: Floats) -> tuple[Integers, Floats]:
    """Where numbers differ, and what they should be."""
    (places,) = np.nonzero(wanted != found)
    return places, wanted[places]


def flat(parts: list[Floats]) -> Floats:
    """One after another."""
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def exchange(store: GridStore, changes: Changes) -> News:
    """Apply what a node did to the server's block; what others did that the node does not know yet.

    Changes that came before (the node did not get the answer) are not applied again.

    Raises:
        StaleTaskError: they belong to another task; nothing was changed.
    """
    if changes.task != store.task:
        raise StaleTaskError(f"an exchange of task {changes.task} came in task {store.task}")
    known = changes.versions.copy()
    known[changes.rows] += changes.since
    parts = store.grid.one_after_another(changes.rows.tolist())
    for number, (row, part) in enumerate(parts):
        with store.locks.held(row):
            if changes.pushes[number] > store.pushes_by(changes.slot, row):
                _apply(store, changes, number, part)
    store.set_counted(changes.slot, changes.agent_steps, changes.updates)
    return _news(store, changes.slot, known)


def whole_block(store: GridStore, slot: int) -> WholeBlock:
    """What a node takes over at the beginning of a task, or when it joins in."""
    nothing_known = np.full(len(store.grid.rows), -1, np.int64)
    return WholeBlock(_news(store, slot, nothing_known), store.frozen)


def _apply(store: GridStore, changes: Changes, number: int, part: slice) -> None:
    """One row's; `part` is where it lies in the flat arrays. The row is held."""
    row = int(changes.rows[number])
    parameters, squares = store.row(row)
    nobody_else = store.pushes(row) == changes.versions[row]
    parameters += widened(changes.differences[part])
    squares[:] = mapped(squares, changes.decays[number], widened(changes.remainders[part]))
    if nobody_else:
        for block, (places, numbers) in (
            (parameters, changes.exact_parameters), (squares, changes.exact_squares),
        ):  # fmt: skip
            first, last = np.searchsorted(places, (part.start, part.stop))
            block[places[first:last] - part.start] = numbers[first:last]
    store.set_pushes_by(changes.slot, row, int(changes.pushes[number]))


def _news(store: GridStore, slot: int, known: Integers) -> News:
    """The rows whose version is not the one that the node knows."""
    agent_steps, updates = store.agent_steps, store.updates
    rows, versions, copies, parameters, squares = [], [], [], [], []
    for row in np.flatnonzero(store.pushes_of_all() != known).tolist():
        with store.locks.held(row):
            numbers = store.row(row)
            rows.append(row)
            versions.append(store.pushes(row))
            copies.append(store.pushes_by(SERVER_SLOT, row))
            parameters.append(numbers[0].copy())
            squares.append(numbers[1].copy())
    own_steps, own_updates = store.counted(slot)
    return News(
        store.task,
        store.budget,
        store.stopped,
        store.hold,
        agent_steps - own_steps,
        updates - own_updates,
        np.array(rows, np.int64),
        np.array(versions, np.int64),
        np.array(copies, np.int64),
        flat(parameters),
        flat(squares),
    )
