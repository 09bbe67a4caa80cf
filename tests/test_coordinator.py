"""The tournament coordinator: what becomes of a pathway that reports its fitness."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype
from tests.support import tiny_config
from workers.coordinator import TournamentCoordinator

UNEVALUATED = -np.inf


def config(population: int = 6, rivals: int = 2, mutation_rate: float | None = None) -> RunConfig:
    evolution = EvolutionConfig(
        population=population, rivals=rivals, mutation_rate=mutation_rate, episodes=2
    )
    return tiny_config(Path("unused"), evolution=evolution)


def coordinator(arm: Arm = Arm.PATHNET, **changes: float) -> TournamentCoordinator:
    return TournamentCoordinator(config(**changes), arm)  # type: ignore[arg-type]


def population(of: TournamentCoordinator) -> tuple[Genotype, ...]:
    return of.snapshot().genotypes


def compete(judge: TournamentCoordinator, pathway: int, fitness: float) -> Genotype:
    """The pathway has been evaluated with the genotype it has; the next one."""
    genotype = population(judge)[pathway]
    return judge.compete(pathway, genotype, fitness, agent_steps=100).genotype


def chosen(judge: TournamentCoordinator) -> tuple[Genotype, float]:
    """What would be frozen."""
    ((assignment, fitness),) = judge.finalists(1)
    return assignment.genotype, fitness


def test_a_new_population_is_random_and_unevaluated() -> None:
    snapshot = coordinator().snapshot()
    assert len(snapshot.genotypes) == 6
    assert len(set(snapshot.genotypes)) > 1
    assert (snapshot.fitness == UNEVALUATED).all()
    assert (snapshot.evaluations, snapshot.overwrites, snapshot.mutated_genes) == (0, 0, 0)
    for genotype in snapshot.genotypes:
        assert genotype.to_array().shape == (2, 2)
        assert genotype.to_array().max() < 5


def test_genotypes_are_told_by_their_index() -> None:
    judge = coordinator()
    everybody = population(judge)
    assert [a.genotype for a in judge.assignments([4, 1])] == [everybody[4], everybody[1]]


def test_the_first_to_report_meets_nobody_who_can_win() -> None:
    judge = coordinator()
    before = population(judge)
    assert compete(judge, 3, -1000.0) == before[3]
    assert judge.snapshot().fitness[3] == -1000.0
    assert judge.snapshot().overwrites == 0


def test_a_loser_becomes_a_copy_of_the_fittest_and_is_unevaluated_again() -> None:
    judge = coordinator(population=3, rivals=2, mutation_rate=0.0)
    before = population(judge)
    compete(judge, 0, 10.0)
    compete(judge, 1, 20.0)
    assert compete(judge, 2, 5.0) == before[1]
    snapshot = judge.snapshot()
    assert snapshot.genotypes == (before[0], before[1], before[1])
    assert snapshot.fitness.tolist() == [10.0, 20.0, UNEVALUATED]
    assert (snapshot.evaluations, snapshot.overwrites, snapshot.mutated_genes) == (3, 1, 0)


def test_the_copy_is_mutated_and_its_parent_is_not() -> None:
    judge = coordinator(population=2, rivals=1, mutation_rate=1.0)
    parent = population(judge)[0]
    compete(judge, 0, 10.0)
    child = compete(judge, 1, 5.0)
    moved = child.to_array() - parent.to_array()
    assert np.abs(moved).max() <= 2
    assert judge.snapshot().mutated_genes == np.count_nonzero(moved) > 0
    assert population(judge) == (parent, child)


def test_an_equally_fit_rival_overwrites() -> None:
    judge = coordinator(population=2, rivals=1, mutation_rate=0.0)
    compete(judge, 0, 7.0)
    compete(judge, 1, 7.0)
    assert judge.snapshot().overwrites == 1


def test_a_winner_keeps_its_genotype_and_its_fitness() -> None:
    judge = coordinator(population=2, rivals=1)
    before = population(judge)
    compete(judge, 0, 7.0)
    assert compete(judge, 1, 8.0) == before[1]
    assert judge.snapshot().fitness.tolist() == [7.0, 8.0]
    assert judge.snapshot().overwrites == 0


@pytest.mark.parametrize("arm", [Arm.INDEPENDENT, Arm.FINE_TUNE])
def test_the_controls_keep_the_fixed_path(arm: Arm) -> None:
    judge = coordinator(arm=arm)
    fixed = Genotype.fixed(2, 2)
    for turn in range(12):
        assert compete(judge, turn % 6, float(-turn)) == fixed
    assert set(population(judge)) == {fixed}
    assert judge.snapshot().overwrites == 0
    assert chosen(judge)[0] == fixed


def play(judge: TournamentCoordinator, seed: int, turns: int) -> list[tuple[object, ...]]:
    """Reports of random fitness, in turn; the tape of what they led to."""
    rng = np.random.default_rng(seed)
    tape: list[tuple[object, ...]] = []
    for turn in range(turns):
        genotype = compete(judge, turn % 6, float(rng.integers(-3, 3)))
        snapshot = judge.snapshot()
        tape.append((genotype, snapshot.overwrites, snapshot.mutated_genes, str(snapshot.fitness)))
    return tape


def test_a_restored_state_leads_to_the_same_outcomes() -> None:
    original = coordinator()
    play(original, seed=1, turns=20)
    kept = json.dumps(original.state())
    restored = coordinator()
    play(restored, seed=2, turns=7)
    restored.load_state(json.loads(kept), (), 1000)
    assert restored.state() == original.state()
    assert population(restored) == population(original)
    assert play(restored, seed=3, turns=30) == play(original, seed=3, turns=30)
    original.begin_task((), (), 1000)
    restored.begin_task((), (), 1000)
    assert population(restored) == population(original)


def test_the_state_on_disk_has_no_infinities() -> None:
    json.dumps(coordinator().state(), allow_nan=False)


def test_another_seed_gives_another_population() -> None:
    other = TournamentCoordinator(config().model_copy(update={"seed": 1}), Arm.PATHNET)
    assert population(other) != population(coordinator())


def test_a_new_task_has_a_new_population_and_counts_from_zero() -> None:
    judge = coordinator()
    play(judge, seed=1, turns=20)
    before = population(judge)
    judge.begin_task((), (), 1000)
    snapshot = judge.snapshot()
    assert snapshot.genotypes != before
    assert (snapshot.fitness == UNEVALUATED).all()
    assert (snapshot.evaluations, snapshot.overwrites, snapshot.mutated_genes) == (0, 0, 0)


def test_the_fittest_is_chosen() -> None:
    judge = coordinator(mutation_rate=0.0)
    before = population(judge)
    compete(judge, 2, 4.0)
    compete(judge, 5, 9.0)
    assert chosen(judge) == (before[5], 9.0)


def test_finalists_are_the_fittest_in_order() -> None:
    judge = coordinator(population=6, rivals=1, mutation_rate=0.0)
    for pathway, fitness in enumerate((4.0, 5.0, 6.0, 7.0, 8.0, 9.0)):
        compete(judge, pathway, fitness)
    found = [fitness for _, fitness in judge.finalists(3)]
    evaluated = judge.snapshot().fitness[np.isfinite(judge.snapshot().fitness)]
    assert found == sorted(evaluated, reverse=True)[:3]


def test_of_pathways_that_are_the_same_only_the_fittest_is_a_finalist() -> None:
    judge = coordinator(arm=Arm.INDEPENDENT, population=4)
    for pathway, fitness in enumerate((4.0, 9.0, 5.0)):
        compete(judge, pathway, fitness)
    ((_, fitness),) = judge.finalists(3)
    assert fitness == 9.0


def test_nothing_is_chosen_before_anything_was_evaluated() -> None:
    with pytest.raises(UserError, match="more agent_steps") as refused:
        chosen(coordinator())
    assert "\n" not in str(refused.value)


def test_the_random_path_ablation_chooses_among_the_evaluated_whatever_their_fitness() -> None:
    judge = coordinator(arm=Arm.RANDOM_PATH, mutation_rate=0.0)
    for pathway in (1, 2, 4):
        compete(judge, pathway, float(pathway))
    evaluated = np.flatnonzero(np.isfinite(judge.snapshot().fitness))
    drawn = {chosen(judge)[1] for _ in range(60)}
    assert drawn == set(judge.snapshot().fitness[evaluated])
