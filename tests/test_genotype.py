"""Genotypes: shapes, set semantics, and the statistics of mutation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathnet_rl.genotype import Genotype, difference, no_modules, union
from tests.support import chi_square

matrices = st.integers(1, 5).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=5
    )
)


def test_a_random_genotype_is_layers_by_width_modules_of_the_grid() -> None:
    array = Genotype.random(np.random.default_rng(0), layers=4, modules=10, width=3).to_array()
    assert array.shape == (4, 3)
    assert array.dtype == np.int64
    assert array.min() >= 0
    assert array.max() < 10


def test_random_genes_are_uniform_over_all_modules() -> None:
    rng = np.random.default_rng(1)
    genes = np.stack([Genotype.random(rng, 4, 10, 4).to_array() for _ in range(1000)])
    counts = np.bincount(genes.reshape(-1), minlength=10)
    assert chi_square(counts.tolist(), [1600.0] * 10) < 27.9  # 9 degrees of freedom, p = 0.001.


@given(matrices)
def test_arrays_round_trip(genes: list[list[int]]) -> None:
    genotype = Genotype.from_array(np.array(genes))
    assert genotype.to_array().tolist() == genes
    assert Genotype.from_array(genotype.to_array()) == genotype
    assert Genotype.from_array(genes) == genotype


@given(matrices)
def test_a_module_named_twice_counts_once(genes: list[list[int]]) -> None:
    assert Genotype.from_array(genes).active == tuple(tuple(sorted(set(row))) for row in genes)


def test_the_fixed_path_has_the_largest_size() -> None:
    assert Genotype.fixed(layers=3, width=4).active == ((0, 1, 2, 3),) * 3


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2), dtype=np.int64),
        np.zeros(3, dtype=np.int64),
        np.zeros((0, 3), dtype=np.int64),
        np.array([[0.0, 1.0]]),
        np.array([[0, -1]]),
    ],
    ids=["three axes", "one axis", "empty", "floats", "negative"],
)
def test_what_is_no_genotype_is_refused(
    array: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> None:
    with pytest.raises(ValueError, match="genotype"):
        Genotype.from_array(array)


def mutants(
    gene: int, modules: int, rate: float, count: int, wrap: bool = False
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """`count` mutated copies of a 4 x 3 genotype all of whose genes are `gene`, [count, 4, 3]."""
    rng = np.random.default_rng(2)
    parent = Genotype.from_array(np.full((4, 3), gene))
    return np.stack([parent.mutate(rng, modules, rate, wrap).to_array() for _ in range(count)])


def test_offsets_are_uniform_from_minus_two_to_two_with_zero_among_them() -> None:
    offsets = mutants(gene=50, modules=100, rate=1.0, count=2000) - 50
    values, counts = np.unique(offsets, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert chi_square(counts.tolist(), [offsets.size / 5] * 5) < 18.5  # 4 degrees, p = 0.001.


@pytest.mark.parametrize("rate", [1 / 12, 0.5])
def test_each_gene_mutates_by_itself_with_the_given_probability(rate: float) -> None:
    count = 6000
    changed = mutants(gene=50, modules=100, rate=rate, count=count) != 50
    chance = rate * 4 / 5  # One offset in five is 0.
    spread = np.sqrt(chance * (1 - chance) / count)
    # Twelve genes, each within 4.5 standard deviations.
    assert np.abs(changed.mean(axis=0) - chance).max() < 4.5 * spread
    # Independent genes: the number that changed in a genotype has the binomial's variance.
    variance = changed.reshape(count, -1).sum(axis=1).var()
    assert variance == pytest.approx(12 * chance * (1 - chance), rel=0.1)


def test_genes_are_clamped_to_the_grid() -> None:
    low = mutants(gene=0, modules=10, rate=1.0, count=1000)
    counts = np.bincount(low.reshape(-1), minlength=10)
    assert counts[3:].sum() == 0
    share = low.size / 5
    assert chi_square(counts[:3].tolist(), [3 * share, share, share]) < 13.8  # 2 degrees.
    high = mutants(gene=9, modules=10, rate=1.0, count=100)
    assert set(np.unique(high)) == {7, 8, 9}


def test_genes_wrap_around_when_asked_to() -> None:
    low = mutants(gene=0, modules=10, rate=1.0, count=1000, wrap=True)
    counts = np.bincount(low.reshape(-1), minlength=10)[[8, 9, 0, 1, 2]]
    assert counts.sum() == low.size
    assert chi_square(counts.tolist(), [low.size / 5] * 5) < 18.5


def test_at_rate_zero_nothing_mutates() -> None:
    assert (mutants(gene=5, modules=10, rate=0.0, count=50) == 5).all()


def test_duplicates_are_not_repaired() -> None:
    copies = mutants(gene=0, modules=2, rate=1.0, count=200)
    assert (copies == copies[:, :, :1]).all(axis=(1, 2)).any()


def test_the_parent_is_left_as_it_was() -> None:
    parent = Genotype.fixed(3, 4)
    parent.mutate(np.random.default_rng(0), 10, 1.0)
    assert parent == Genotype.fixed(3, 4)


def test_the_random_stream_does_not_depend_on_which_genes_move() -> None:
    none, all_of_them = np.random.default_rng(3), np.random.default_rng(3)
    Genotype.fixed(3, 4).mutate(none, 10, 0.0)
    Genotype.fixed(3, 4).mutate(all_of_them, 10, 1.0)
    assert none.bit_generator.state == all_of_them.bit_generator.state


def test_union_and_difference_go_layer_by_layer() -> None:
    path, other = ((0, 2), (1,), ()), ((2, 3), (1,), (4,))
    assert union(path, other) == ((0, 2, 3), (1,), (4,))
    assert difference(path, other) == ((0,), (), ())
    assert union(path, no_modules(3)) == path
    assert difference(path, no_modules(3)) == path
