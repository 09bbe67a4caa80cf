"""Hyperparameter genes: how factors are drawn, perturbed, inherited and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, LearningConfig, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype, no_modules
from pathnet_rl.hyperparameters import AS_CONFIGURED, PERTURBATION, Factors, Hyperparameter
from pathnet_rl.lineages import Solved
from pathnet_rl.seeds import Owner, generator
from tests.support import chi_square, tiny_config
from workers.coordinator import TournamentCoordinator

BOTH: tuple[Hyperparameter, ...] = ("learning_rate", "entropy_cost")
RATE, COST = BOTH[:1], BOTH[1:]
SOLVED = Solved(((0, 1), (2, 3)), no_modules(2), ())

# Factors ------------------------------------------------------------------------------------------


def test_factors_are_drawn_log_uniformly_in_their_range() -> None:
    rng = np.random.default_rng(0)
    drawn = [Factors.random(rng, BOTH, 8.0) for _ in range(3000)]
    for name in BOTH:
        exponents = [math.log(getattr(one, name), 8.0) for one in drawn]
        counts, _ = np.histogram(exponents, bins=6, range=(-1.0, 1.0))
        assert counts.sum() == 3000  # None is outside.
        assert chi_square(counts.tolist(), [500.0] * 6) < 20.5  # 0.999 of 5 degrees of freedom.


def test_what_is_no_gene_is_as_configured_and_draws_nothing() -> None:
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    drawn = Factors.random(rng, COST, 8.0)
    assert drawn == Factors(1.0, 8.0 ** other.uniform(-1.0, 1.0))
    assert drawn.perturbed(rng, COST, 8.0).learning_rate == 1.0
    before = rng.bit_generator.state
    assert Factors.random(rng, (), 8.0) == AS_CONFIGURED
    assert drawn.perturbed(rng, (), 8.0) == drawn
    assert rng.bit_generator.state == before


def test_the_order_in_which_genes_are_named_changes_nothing() -> None:
    one, other = (np.random.default_rng(1) for _ in range(2))
    first, second = Factors.random(one, BOTH, 8.0), Factors.random(other, BOTH[::-1], 8.0)
    assert first == second
    assert first.perturbed(one, BOTH, 8.0) == second.perturbed(other, BOTH[::-1], 8.0)


def test_a_perturbation_is_one_step_up_or_down_of_each_as_often_the_one_as_the_other() -> None:
    rng = np.random.default_rng(2)
    found = [Factors(2.0, 0.5).perturbed(rng, BOTH, 8.0) for _ in range(1000)]
    pairs = [(one.learning_rate, one.entropy_cost) for one in found]
    wanted = [
        (rate, cost)
        for rate in (2.0 * PERTURBATION, 2.0 / PERTURBATION)
        for cost in (0.5 * PERTURBATION, 0.5 / PERTURBATION)
    ]
    assert set(pairs) == set(wanted)
    assert chi_square([pairs.count(pair) for pair in wanted], [250.0] * 4) < 16.3


@given(most=st.sampled_from([1.1, 2.0, 8.0]), seed=st.integers(0, 10_000), steps=st.integers(0, 60))
def test_perturbed_again_and_again_a_factor_stays_in_its_range(
    most: float, seed: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    factors = Factors.random(rng, BOTH, most)
    for _ in range(steps):
        factors = factors.perturbed(rng, BOTH, most)
    for name in BOTH:
        assert 1 / most <= getattr(factors, name) <= most


def test_at_an_end_of_the_range_a_factor_stays_there_or_comes_back() -> None:
    rng = np.random.default_rng(0)
    found = {Factors(8.0).perturbed(rng, RATE, 8.0).learning_rate for _ in range(60)}
    assert found == {8.0, 8.0 / PERTURBATION}
    found = {Factors(0.5).perturbed(rng, RATE, 2.0).learning_rate for _ in range(60)}
    assert found == {0.5, 0.5 * PERTURBATION}


def test_a_mutated_path_and_one_beside_others_keep_their_factors() -> None:
    genotype = Genotype.fixed(2, 2).learning_with(Factors(3.0, 0.2))
    assert genotype.mutate(np.random.default_rng(0), 5, 1.0).factors == Factors(3.0, 0.2)
    assert genotype.building_on([True]).factors == Factors(3.0, 0.2)
    assert genotype != Genotype.fixed(2, 2)


# The coordinator ----------------------------------------------------------------------------------


def coordinator(
    arm: Arm = Arm.PATHNET, genes: tuple[Hyperparameter, ...] = BOTH, **evolution: Any
) -> tuple[RunConfig, TournamentCoordinator]:
    settings = {"population": 6, "rivals": 2, "episodes": 2, "hyperparameters": genes, **evolution}
    config = tiny_config(Path("unused"), evolution=EvolutionConfig.model_validate(settings))
    return config, TournamentCoordinator(config, arm)


def factors_of(made: TournamentCoordinator) -> list[Factors]:
    return [genotype.factors for genotype in made.snapshot().genotypes]


def test_each_pathway_draws_its_own_after_the_paths_which_are_the_same_as_without() -> None:
    _, plain = coordinator(genes=())
    _, made = coordinator()
    paths = [genotype.genes for genotype in made.snapshot().genotypes]
    assert paths == [genotype.genes for genotype in plain.snapshot().genotypes]
    assert factors_of(plain) == [AS_CONFIGURED] * 6
    assert len({factor.learning_rate for factor in factors_of(made)}) == 6
    assert len({factor.entropy_cost for factor in factors_of(made)}) == 6


@pytest.mark.parametrize("arm", [Arm.INDEPENDENT, Arm.FINE_TUNE])
def test_the_controls_learn_as_configured_and_draw_nothing(arm: Arm) -> None:
    config, made = coordinator(arm)
    for pathway in range(6):
        genotype = made.snapshot().genotypes[pathway]
        assert made.compete(pathway, genotype, -1.0, 0).genotype.factors == AS_CONFIGURED
    made.begin_task((), (), 1000)
    assert factors_of(made) == [AS_CONFIGURED] * 6
    assert (
        made.state()["generator"]
        == generator(config.seed, arm, Owner.TOURNAMENT).bit_generator.state
    )


Tape = list[tuple[list[list[int]], Factors]]


def literal_tape(
    config: RunConfig, genes: tuple[Hyperparameter, ...], values: Sequence[float]
) -> tuple[Tape, Any]:
    """What must become of a population, rule by rule, and the state of the generator after it."""
    rng = generator(config.seed, Arm.PATHNET, Owner.TOURNAMENT)
    paths = [rng.integers(0, 5, size=(2, 2)) for _ in range(6)]
    factors = [{gene: 8.0 ** rng.uniform(-1.0, 1.0) for gene in genes} for _ in range(6)]
    fitness = [-math.inf] * 6
    tape: Tape = []
    for turn, value in enumerate(values):
        me = turn % 6
        fitness[me] = value
        drawn = rng.choice([other for other in range(6) if other != me], size=2, replace=False)
        best = max(drawn, key=lambda other: fitness[other])  # The first of equals.
        if fitness[best] >= fitness[me]:
            hit = rng.random((2, 2)) < 0.3
            moved = paths[best] + np.where(hit, rng.integers(-2, 3, size=(2, 2)), 0)
            paths[me], fitness[me] = np.clip(moved, 0, 4), -math.inf
            factors[me] = {
                gene: min(max(factor * 1.2 if rng.integers(2) else factor / 1.2, 1 / 8), 8.0)
                for gene, factor in factors[best].items()
            }
        tape.append((paths[me].tolist(), Factors(**factors[me])))
    return tape, rng.bit_generator.state


@pytest.mark.parametrize("genes", [(), RATE, COST, BOTH])
def test_a_loser_inherits_the_winners_factors_perturbed(genes: tuple[Hyperparameter, ...]) -> None:
    """Against the rules written down, which draw nothing for what is no gene."""
    config, made = coordinator(genes=genes, mutation_rate=0.3)
    values = np.random.default_rng(4).integers(-3, 3, 60).astype(float).tolist()
    found: Tape = []
    for turn, value in enumerate(values):
        genotype = made.snapshot().genotypes[turn % 6]
        given = made.compete(turn % 6, genotype, value, 100).genotype
        found.append((given.to_array().tolist(), given.factors))
    assert (found, made.state()["generator"]) == literal_tape(config, genes, values)
    assert made.snapshot().overwrites > 20


def test_the_fitness_of_other_factors_on_the_same_path_is_nobodys() -> None:
    _, made = coordinator(population=2, rivals=1, mutation_rate=0.0)
    first, second = made.snapshot().genotypes
    made.compete(0, first, 9.0, 0)
    given = made.compete(1, second, 1.0, 0).genotype
    assert given.genes == first.genes
    assert given != first
    evaluations = made.snapshot().evaluations
    assert made.compete(1, first, 100.0, 0).genotype == given
    assert made.snapshot().evaluations == evaluations
    assert made.snapshot().fitness.tolist() == [9.0, -np.inf]


def test_a_task_draws_them_anew_whatever_was_learned_before() -> None:
    _, made = coordinator()
    before = {factor.learning_rate for factor in factors_of(made)}
    made.begin_task([SOLVED], (), 1000)
    after = {factor.learning_rate for factor in factors_of(made)}
    assert len(after) == 6
    assert not before & after


def test_copies_of_a_founder_draw_their_own() -> None:
    _, made = coordinator(start="founders", mutation_rate=0.0)
    assert len({genotype.genes for genotype in made.snapshot().genotypes}) == 1
    assert len({factor.learning_rate for factor in factors_of(made)}) == 6


def test_factors_are_saved_and_gone_on_with() -> None:
    _, made = coordinator()
    _, again = coordinator()
    play(made, range(20))
    again.load_state(json.loads(json.dumps(made.state(), allow_nan=False)), (), 1000)
    assert again.assignments(range(6)) == made.assignments(range(6))
    for one in (made, again):
        play(one, range(20, 40))
    assert again.state() == made.state()
    assert made.snapshot().overwrites > 0


def play(made: TournamentCoordinator, turns: range) -> None:
    """Pathways compete one after the other."""
    for turn in turns:
        made.compete(turn % 6, made.snapshot().genotypes[turn % 6], float(turn % 4), 0)


def test_a_state_of_a_version_without_them_is_as_configured() -> None:
    _, made = coordinator(genes=())
    state = made.state()
    del state["factors"]
    made.load_state(state, (), 1000)
    assert factors_of(made) == [AS_CONFIGURED] * 6


# The configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hyperparameters": ("learning_rate", "learning_rate")}, "a gene is named twice"),
        ({"hyperparameters": ("discount",)}, "evolution.hyperparameters.0: .*learning_rate"),
        ({"hyperparameter_range": 1.0}, "evolution.hyperparameter_range: .*greater than 1"),
    ],
)
def test_genes_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        EvolutionConfig.model_validate(settings)
    assert "\n" not in str(refused.value)


def test_an_entropy_cost_of_0_has_no_use_for_a_factor() -> None:
    evolution = EvolutionConfig(hyperparameters=("entropy_cost",))
    with pytest.raises(UserError, match="entropy cost of 0 changes nothing"):
        RunConfig(evolution=evolution, learning=LearningConfig(entropy_cost=0.0))
