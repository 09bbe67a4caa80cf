"""The grid's geometry: the paper's counts, and observations that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pathnet_rl.config import GridConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import Genotype
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import AffineLayer
from pathnet_rl.modules import ConvModule, LinearModule

ATARI = Grid(GridConfig(), (4, 84, 84), (18, 6))


def test_the_atari_grid_has_the_papers_counts() -> None:
    assert (ATARI.depth, ATARI.modules, ATARI.config.width) == (4, 10, 4)
    assert ATARI.grid_size == 233_220
    assert ATARI.path_size(Genotype.fixed(4, 4).active) == 93_288


def test_the_atari_grid_has_the_papers_geometry() -> None:
    assert [layer.output_shape for layer in ATARI.layers] == [
        (20, 20, 8),
        (9, 9, 8),
        (7, 7, 8),
        (50,),
    ]
    assert ATARI.layers[3].input_shape == (392,)
    assert ATARI.heads[0].features == 50


def test_the_binary_mnist_grid_has_the_papers_counts() -> None:
    layers = (LinearModule(units=20),) * 3
    grid = Grid(GridConfig(layers=layers, modules=10, width=3), (784,), (1,))
    assert grid.grid_size == 165_400
    # With its head of 20 -> 2 (here: one action and the value) the paper's sums.
    assert grid.grid_size + grid.heads[0].size == 165_442
    assert grid.path_size(Genotype.fixed(3, 3).active) + grid.heads[0].size == 49_662


def test_a_pathway_with_duplicates_is_smaller() -> None:
    one_module_a_layer = Genotype.from_array([[3, 3, 3, 3]] * 4).active
    assert ATARI.path_size(one_module_a_layer) == 93_288 // 4


def test_every_number_of_the_block_belongs_to_exactly_one_module_or_head() -> None:
    block = torch.zeros(ATARI.size)
    for layer in ATARI.layers:
        rows = layer.rows(block)
        assert rows.shape == (10, layer.module_size)
        for module in range(10):
            rows[module] += 1
    for head in ATARI.heads:
        head.numbers(block).add_(1)
    assert (block == 1).all()


def test_heads_have_a_row_an_action_and_one_for_the_value() -> None:
    assert [head.size for head in ATARI.heads] == [19 * 51, 7 * 51]


@pytest.mark.parametrize(
    ("layers", "observation", "message"),
    [
        ((ConvModule(size=8),), (4,), "layer 0 .* choose a grid of linear modules"),
        ((ConvModule(size=8),), (4, 7, 84), "layer 0 .* smaller kernels"),
        ((ConvModule(size=5), ConvModule(size=5)), (1, 8, 8), "layer 1 .* smaller kernels"),
        ((LinearModule(), ConvModule(size=1)), (4, 84, 84), "layer 1 .* linear modules"),
    ],
    ids=["vector", "too small", "too small further up", "convolution after linear"],
)
def test_observations_that_do_not_fit_are_refused_at_once(
    layers: tuple[ConvModule | LinearModule, ...], observation: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        Grid(GridConfig(layers=layers), observation, (2,))
    assert "\n" not in str(refused.value)


def test_fresh_numbers_are_uniform_within_one_over_the_root_of_the_fan_in() -> None:
    block = torch.full((ATARI.size,), 9.0)
    rng = np.random.default_rng(0)
    ATARI.initialise_modules(block, ATARI.all_modules(), rng)
    for layer, fan_in in zip(ATARI.layers, (4 * 64, 8 * 16, 8 * 9, 392), strict=True):
        assert isinstance(layer, AffineLayer)
        assert layer.fan_in == fan_in
        numbers, bound = layer.rows(block), 1 / math.sqrt(fan_in)
        assert numbers.abs().max() <= bound
        assert numbers.abs().max() > 0.97 * bound
        assert numbers.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_a_fresh_head_is_a_uniform_policy_and_a_value_of_zero() -> None:
    block = torch.full((ATARI.size,), 9.0)
    ATARI.initialise_head(block, 1)
    assert (ATARI.heads[1].numbers(block) == 0).all()
    assert (ATARI.heads[0].numbers(block) == 9).all()


def test_only_the_chosen_modules_are_drawn_anew() -> None:
    block = torch.zeros(ATARI.size)
    ATARI.initialise_modules(block, ((1,), (), (9,), (0, 4)), np.random.default_rng(0))
    touched = [
        [module for module in range(10) if layer.rows(block)[module].any()]
        for layer in ATARI.layers
    ]
    assert touched == [[1], [], [9], [0, 4]]
    assert not any(head.numbers(block).any() for head in ATARI.heads)
