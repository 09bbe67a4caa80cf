"""Module duplication by a coordinator and its server, against a tape that was worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import EvolutionConfig, RunConfig
from pathnet_rl.duplication import Copied, saved
from pathnet_rl.genotype import ActiveModules, Genotype, difference
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.lineages import Solved
from pathnet_rl.store import GridStore
from tests.support import random_gradients, tiny_config
from workers.coordinator import TournamentCoordinator
from workers.parameter_server import ParameterServer

NOTHING: ActiveModules = ((), ())

FIRST, SECOND = [[0, 1], [2, 2]], [[3, 1], [2, 4]]
TAPE = (
    # Pathway, fitness; what is copied over what in both layers. The window is 2, and nothing mutates.
    (0, 10.0, ((), ())),  # All that is known is equally good.
    (1, 4.0, (((0, 3),), ((2, 4),))),  # Now it has the first genotype, as it lost.
    (0, 20.0, (((0, 1),), ())),  # 0: (10 + 20) / 2, 1: (4 + 20) / 2; of 3 and 4 nothing is known.
    (1, 2.0, ((), ())),  # It began before module 1 was overwritten.
    (0, 6.0, (((1, 0),), ())),  # 1: 6, 0: (2 + 6) / 2.
)
COPIED = (Copied(0, 0, 3, 1), Copied(1, 2, 4, 1), Copied(0, 0, 1, 1), Copied(0, 1, 0, 1))


class Played:
    """A coordinator with two pathways, and the server that copies for it."""

    def __init__(self, folder: Path, arm: Arm = Arm.PATHNET, rate: float = 1.0) -> None:
        folder.mkdir(exist_ok=True)
        self.config: RunConfig = tiny_config(
            folder,
            evolution=EvolutionConfig(
                population=2,
                rivals=1,
                mutation_rate=0.0,
                duplication_rate=rate,
                duplication_window=2,
            ),
        )
        self.grid: Grid = build_grid(self.config)
        server = ParameterServer(self.config, arm, self.grid, folder / "block")
        server.begin_first_task(0)
        self.store = GridStore.open(folder / "block", self.grid, self.config.learning)
        self._rng = np.random.default_rng(0)
        self.judge = TournamentCoordinator(self.config, arm, server)
        state = self.judge.state()
        self.judge.load_state({**state, "population": [FIRST, SECOND]}, (), 1000)
        self.judge.assignments((0, 1))

    def _learn(self) -> None:
        """A push to every module that is not frozen."""
        everything, task = self.grid.all_modules(), self.store.task
        learned = difference(everything, self.store.frozen)
        gradients = random_gradients(self.grid, learned, task, self._rng)
        self.store.push(task, everything, gradients, 16, worker=0)

    def evaluated(self, pathway: int, fitness: float) -> tuple[tuple[int, ...], ActiveModules]:
        """After learning, as a worker says it; layers that were due, and modules that are others now."""
        self._learn()
        before = self.store.parameters.clone(), self.store.squares.clone()
        genotype = self.judge.snapshot().genotypes[pathway]
        due = self.judge.compete(pathway, genotype, fitness, 100).duplicate_in
        if due:
            self.judge.duplicate(pathway, due)
        changed = []
        for layer in self.grid.layers:
            parameters, squares = (
                (layer.rows(now) != layer.rows(old)).any(dim=1)
                for now, old in zip(
                    (self.store.parameters, self.store.squares), before, strict=True
                )
            )
            assert torch.equal(parameters, squares), "optimizer state goes with it"
            changed.append(tuple(torch.nonzero(parameters).flatten().tolist()))
        return due, tuple(changed)


def test_a_tape_that_was_worked_out_by_hand(tmp_path: Path) -> None:
    played = Played(tmp_path)
    for pathway, fitness, wanted in TAPE:
        due, changed = played.evaluated(pathway, fitness)
        assert due == tuple(layer for layer, pairs in enumerate(wanted) if pairs)
        assert changed == tuple(tuple(target for _, target in pairs) for pairs in wanted)
        for layer, pairs in zip(played.grid.layers, wanted, strict=True):
            for source, target in pairs:
                for block in (played.store.parameters, played.store.squares):
                    assert torch.equal(layer.rows(block)[target], layer.rows(block)[source])
    assert played.judge.snapshot().copied == COPIED
    assert saved(played.judge.state()["duplication"]) == COPIED


@pytest.mark.parametrize("after", range(len(TAPE)))
def test_a_restored_state_goes_on_as_if_evaluations_had_begun_anew(
    after: int, tmp_path: Path
) -> None:
    original, restored = Played(tmp_path / "original"), Played(tmp_path / "restored")
    for pathway, fitness, _ in TAPE[:after]:
        original.evaluated(pathway, fitness)
    restored.evaluated(1, 99.0)
    kept = json.loads(json.dumps(original.judge.state(), allow_nan=False))
    restored.judge.load_state(kept, (), 1000)
    assert restored.judge.state() == kept
    original.judge.assignments((0, 1))
    for pathway, fitness, _ in TAPE * 2:
        assert restored.evaluated(pathway, fitness)[0] == original.evaluated(pathway, fitness)[0]
        assert restored.judge.state() == original.judge.state()


def test_a_state_of_an_older_version_knows_of_no_duplication(tmp_path: Path) -> None:
    played = Played(tmp_path)
    state = played.judge.state()
    for pathway, fitness, _ in TAPE:
        played.evaluated(pathway, fitness)
    del state["duplication"]
    played.judge.load_state(state, (), 1000)
    assert played.judge.snapshot().copied == ()


def test_a_new_task_begins_without_any_fitness_and_leaves_alone_what_is_frozen(
    tmp_path: Path,
) -> None:
    played = Played(tmp_path)
    for pathway, fitness, _ in TAPE[:3]:
        played.evaluated(pathway, fitness)
    frozen: ActiveModules = ((1, 3), (4,))
    played.store.freeze(frozen)
    played.judge.begin_task([Solved(frozen, NOTHING, ())], (), 1000)
    assert played.judge.snapshot().copied == ()
    state = played.judge.state()
    played.judge.load_state(
        {**state, "population": [FIRST, SECOND]}, [Solved(frozen, NOTHING, ())], 1000
    )
    played.judge.assignments((0, 1))
    assert played.evaluated(0, 10.0) == ((), NOTHING)
    assert played.evaluated(1, 4.0) == ((), NOTHING)  # What is worse is frozen.


@pytest.mark.parametrize(
    ("arm", "wanted"),
    [(Arm.PATHNET, NOTHING), (Arm.FROZEN_INACTIVE, ((3,), (4,)))],
)
def test_a_frozen_module_is_copied_only_where_it_is_not_active_anyway(
    arm: Arm, wanted: ActiveModules, tmp_path: Path
) -> None:
    """It is the best of its layer: the first genotype has it, and the second one less of it."""
    played = Played(tmp_path, arm)
    frozen: ActiveModules = ((0, 1), (2,))
    solved = Solved(frozen, NOTHING, ())
    played.store.freeze(frozen)
    played.judge.begin_task([solved], (), 1000)
    state = {**played.judge.state(), "population": [FIRST, SECOND]}
    played.judge.load_state(state, [solved], 1000)
    played.judge.assignments((0, 1))
    assert played.evaluated(0, 10.0)[1] == NOTHING
    assert played.evaluated(1, 4.0)[1] == wanted


@pytest.mark.parametrize("arm", [arm for arm in SWITCHES if not SWITCHES[arm].evolve])
def test_controls_do_not_duplicate(arm: Arm, tmp_path: Path) -> None:
    played = Played(tmp_path, arm)
    for pathway, fitness, _ in TAPE:
        assert played.evaluated(pathway, fitness) == ((), NOTHING)
    assert played.judge.state()["duplication"] is None


def test_the_papers_own_rules_include_it(tmp_path: Path) -> None:
    config = Played(tmp_path).config
    kept = config.of(Arm.PATHNET_PAPER).evolution
    assert (kept.duplication_rate, kept.duplication_window) == (1.0, 2)
    assert EvolutionConfig().duplication_rate == 0.0


def test_a_fitness_of_a_genotype_that_was_overwritten_says_nothing(tmp_path: Path) -> None:
    played = Played(tmp_path)
    stranger = Genotype.from_array([[4, 4], [0, 0]])
    assert played.judge.compete(0, stranger, 50.0, 100).duplicate_in == ()
    assert not any(any(seen) for seen in played.judge.state()["duplication"]["fitness"])
