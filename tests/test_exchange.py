"""The exchange between nodes: the same bits where one node works, the same sum where several do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.block import SLOTS
from pathnet_rl.config import LearningConfig
from pathnet_rl.exchange import Changes, exchange, whole_block
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.replica import Replica
from pathnet_rl.store import GridStore, StaleTaskError
from tests.support import in_block, new_store, random_gradients, small_grid
from tests.test_store import mask_of

GRID = small_grid()
LEARNING = LearningConfig(learning_rate=0.05)
PATHS: tuple[ActiveModules, ...] = (
    ((0, 2), (1, 4, 5), (3,)),
    ((1, 2), (0, 4), (0, 5)),
    ((2, 3), (2, 4), (3, 5)),
)


class Nodes:
    """A server, and some nodes with a courier's memory each."""

    def __init__(
        self, folder: Path, count: int, learning: LearningConfig = LEARNING, narrow: bool = False
    ) -> None:
        self.folder, self.learning, self.narrow = folder, learning, narrow
        self.server = new_store(folder / "server.block", GRID, learning)
        self.nodes = [self.replica(number) for number in range(count)]
        for number, node in enumerate(self.nodes):
            node.load(whole_block(self.server, SLOTS - 1 - number), SLOTS - 1 - number)

    def replica(self, number: int) -> Replica:
        path = self.folder / f"node-{number}.block"
        return Replica(path, GRID, self.learning, narrow=self.narrow)

    def exchange(self, number: int) -> Changes:
        changes = self.nodes[number].changes()
        self.nodes[number].take(exchange(self.server, changes))
        return changes

    def agree(self) -> None:
        """Until nobody has anything to tell: what is on its way, what came after it, what others did then."""
        for _ in range(3):
            for number in range(len(self.nodes)):
                self.exchange(number)
        for node in self.nodes:
            assert torch.equal(node.store.parameters, self.server.parameters)
            assert torch.equal(node.store.squares, self.server.squares)
            assert node.store.agent_steps == self.server.agent_steps
            assert node.store.updates == self.server.updates


def push(store: GridStore, number: int, seed: int, worker: int = 0) -> None:
    path = PATHS[number % len(PATHS)]
    gradients = random_gradients(GRID, path, 0, np.random.default_rng(seed))
    store.push(0, path, gradients, agent_steps=40, worker=worker)


# One node ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pushes_between", [1, 10])
def test_one_node_and_the_server_have_the_bits_of_one_store(
    pushes_between: int, tmp_path: Path
) -> None:
    """Also the learning rate that is annealed by what all have done."""
    nodes = Nodes(tmp_path, 1)
    alone = new_store(tmp_path / "alone", GRID, LEARNING)
    missed = 0
    for number in range(60):
        push(nodes.nodes[0].store, number, number)
        push(alone, number, number)
        if number % pushes_between == 0:
            changes = nodes.exchange(0)
            missed += len(changes.exact_parameters[0]) + len(changes.exact_squares[0])
    nodes.agree()
    for block in ("parameters", "squares"):
        assert torch.equal(getattr(nodes.server, block), getattr(alone, block))
    assert (nodes.server.agent_steps, nodes.server.updates) == (2400, 60)
    # Differences of many pushes are rounded somewhere; without `exact_...` the bits would part there.
    assert (missed > 0) == (pushes_between > 1)


def test_only_rows_that_changed_travel(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 2)
    assert not len(nodes.nodes[0].changes().rows)
    nodes.exchange(0)
    push(nodes.nodes[0].store, 0, 0)
    changes = nodes.nodes[0].changes()
    mine = [0, 2, 6 + 1, 6 + 4, 6 + 5, 12 + 3, 18]
    assert changes.rows.tolist() == mine
    assert changes.size == 8 * sum(GRID.rows[row].stop - GRID.rows[row].start for row in mine)
    news = exchange(nodes.server, changes)
    assert not len(news.rows), "a node is told what it has told"
    nodes.nodes[0].take(news)
    other = exchange(nodes.server, nodes.nodes[1].changes())
    assert other.rows.tolist() == mine
    assert (other.agent_steps, other.updates) == (40, 1)


# Several -----------------------------------------------------------------------------------------


def in_turn(store: GridStore, pushes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The squares, and the steps of rows that every push goes through, worked out in double precision."""
    gradients = random_gradients(GRID, PATHS[0], 0, np.random.default_rng(seed))
    wanted = store.squares.double().clone()
    alpha = LEARNING.rmsprop_decay
    square = in_block(GRID, PATHS[0], gradients).double() ** 2
    pushed = mask_of(PATHS[0], 0)
    share = alpha**pushes
    wanted[pushed] = share * wanted[pushed] + (1 - share) * square[pushed]
    return wanted, pushed


def test_squares_of_several_nodes_are_those_of_all_pushes_in_turn(tmp_path: Path) -> None:
    """All push the same gradient, so the order does not matter: g = alpha^n g_0 + (1 - alpha^n) d^2."""
    nodes = Nodes(tmp_path, 3)
    nodes.server.squares.fill_(5.0)
    for number, node in enumerate(nodes.nodes):
        node.load(whole_block(nodes.server, 900 + number), 900 + number)
    wanted, pushed = in_turn(nodes.server, 4 * 25, seed=7)
    for turn in range(25):
        for store in (nodes.server, *(node.store for node in nodes.nodes)):
            push(store, 0, 7)
        nodes.exchange(turn % 3)
    nodes.agree()
    found = nodes.server.squares.double()
    assert torch.allclose(found[pushed], wanted[pushed], rtol=1e-5, atol=0.0)
    assert torch.equal(found[~pushed], wanted[~pushed])


FORGETFUL = LearningConfig(learning_rate=0.01, anneal=False, rmsprop_decay=0.0)
"""alpha = 0: each push of one gradient is the same step, whatever happened before it."""


def steps_made(before: torch.Tensor, store: GridStore, gradient_seed: int) -> torch.Tensor:
    """How many pushes of the gradient lie between, at each number that it moves."""
    gradients = random_gradients(GRID, PATHS[0], 0, np.random.default_rng(gradient_seed))
    step = in_block(GRID, PATHS[0], gradients)
    step = FORGETFUL.learning_rate * step / torch.sqrt(step**2 + FORGETFUL.rmsprop_epsilon)
    large = step.abs() > 1e-3
    return (before - store.parameters)[large] / step[large]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_lost_on_the_way_the_server_holds_the_sum_of_what_nodes_did(
    seed: int, tmp_path: Path
) -> None:
    """Any order of pushes, exchanges, answers that get lost and couriers that are started again."""
    nodes = Nodes(tmp_path, 3, FORGETFUL)
    before = nodes.server.parameters.clone()
    rng = np.random.default_rng(seed)
    pushes = 0
    for _ in range(150):
        number = int(rng.integers(3))
        match rng.choice(["push", "push at home", "exchange", "lost", "push meanwhile", "restart"]):
            case "push":
                push(nodes.nodes[number].store, 0, 3)
            case "push at home":
                push(nodes.server, 0, 3)
            case "exchange":
                nodes.exchange(number)
                continue
            case "lost":  # On the way there, or on the way back.
                changes = nodes.nodes[number].changes()
                if rng.random() < 0.5:
                    exchange(nodes.server, changes)
                continue
            case "push meanwhile":
                news = exchange(nodes.server, nodes.nodes[number].changes())
                push(nodes.nodes[number].store, 0, 3)
                nodes.nodes[number].take(news)
            case "restart":
                nodes.nodes[number] = nodes.replica(number)
                assert nodes.nodes[number].loaded
                continue
        pushes += 1
    nodes.agree()
    found = steps_made(before, nodes.server, 3)
    assert torch.allclose(found, torch.full_like(found, pushes), atol=0.01)
    assert nodes.server.updates == pushes


def test_what_bfloat16_leaves_out_is_told_later(tmp_path: Path) -> None:
    """Half the bytes; and errors do not add up, though every difference is rounded to three digits."""
    nodes = Nodes(tmp_path, 2, FORGETFUL, narrow=True)
    before = nodes.server.parameters.clone()
    for turn in range(200):
        for node in nodes.nodes:
            push(node.store, 0, 3)
        changes = nodes.exchange(turn % 2)
    assert changes.size == 4 * sum(
        GRID.rows[row].stop - GRID.rows[row].start for row in changes.rows
    )
    for number in (0, 1, 0):
        nodes.exchange(number)
    found = steps_made(before, nodes.server, 3)
    assert torch.allclose(found, torch.full_like(found, 400.0), atol=2.0)
    assert not torch.equal(found, torch.full_like(found, 400.0))
    assert nodes.server.updates == 400


def test_a_courier_that_dies_while_it_takes_an_answer_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(tmp_path, 2, FORGETFUL)
    before = nodes.server.parameters.clone()
    for store in (nodes.server, nodes.nodes[0].store, nodes.nodes[1].store):
        push(store, 0, 3)
    nodes.exchange(1)
    news = exchange(nodes.server, nodes.nodes[0].changes())
    taken = Replica._take_row
    rows: list[int] = []

    def dies_at_the_third(self: Replica, row: int, *rest: object) -> None:
        if len(rows) == 2:
            raise KeyboardInterrupt
        rows.append(row)
        taken(self, row, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Replica, "_take_row", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        nodes.nodes[0].take(news)
    monkeypatch.undo()
    nodes.nodes[0] = nodes.replica(0)
    push(nodes.nodes[0].store, 0, 3)
    nodes.agree()
    found = steps_made(before, nodes.server, 3)
    assert torch.allclose(found, torch.full_like(found, 4.0), atol=0.01)


# Tasks -------------------------------------------------------------------------------------------


def test_an_exchange_of_an_earlier_task_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    push(nodes.nodes[0].store, 0, 0)
    changes = nodes.nodes[0].changes()
    nodes.server.begin_task(1, 500)
    before, state = nodes.server.parameters.clone(), nodes.server.state()[1]
    with pytest.raises(StaleTaskError, match="exchange of task 0"):
        exchange(nodes.server, changes)
    assert torch.equal(nodes.server.parameters, before)
    assert nodes.server.state()[1] == state


def test_a_node_begins_a_task_with_all_that_the_server_has(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    node = nodes.nodes[0]
    push(node.store, 0, 0)
    nodes.exchange(0)
    nodes.server.freeze(PATHS[0])
    nodes.server.begin_task(1, 500)
    node.load(whole_block(nodes.server, 700), 700)
    assert (node.store.task, node.store.budget, node.store.agent_steps) == (1, 500, 0)
    assert node.store.frozen == nodes.server.frozen == PATHS[0]
    assert torch.equal(node.store.parameters, nodes.server.parameters)
    learned: ActiveModules = ((1,), (0,), (0,))
    gradients = random_gradients(GRID, learned, 1, np.random.default_rng(0))
    node.store.push(1, learned, gradients, 40, 0)
    nodes.exchange(0)
    assert nodes.server.counted(700) == (40, 1)
    assert torch.equal(node.store.parameters, nodes.server.parameters)


def test_being_told_to_stop_travels_with_the_answer(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    nodes.server.stopped = True
    assert not nodes.nodes[0].store.stopped
    nodes.exchange(0)
    assert nodes.nodes[0].store.stopped


def test_nothing_is_left_of_a_node_that_is_removed(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 1)
    nodes.nodes[0].remove()
    assert [path.name for path in tmp_path.iterdir()] == ["server.block"]
