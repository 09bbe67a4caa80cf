"""The picture of the grid says what the population says."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Rectangle

from pathnet_rl.arms import Arm
from pathnet_rl.duplication import Copied
from pathnet_rl.genotype import Genotype
from pathnet_rl.pictures import COLOURS, Look, draw_curves, draw_grid, pixels, usage

POPULATION = [
    Genotype.from_array([[0, 0], [1, 2]]),
    Genotype.from_array([[0, 3], [2, 2]]),
]


def test_usage_is_the_share_of_pathways_that_use_a_module() -> None:
    assert usage(POPULATION, 2, 4).tolist() == [[1.0, 0.0, 0.0, 0.5], [0.0, 0.5, 1.0, 0.0]]
    assert usage([], 2, 4).tolist() == [[0.0] * 4] * 2


def test_frozen_modules_are_hatched_and_the_best_pathway_is_outlined() -> None:
    figure = draw_grid(POPULATION, 2, 4, ((1,), (0, 3)), POPULATION[1], "title")
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    hatched = {(p.get_x() + 0.46, p.get_y() + 0.46) for p in patches if p.get_hatch()}
    outlined = {(p.get_x() + 0.44, p.get_y() + 0.44) for p in patches if not p.get_hatch()}
    assert {(round(x), round(y)) for x, y in hatched} == {(1, 0), (0, 1), (3, 1)}
    assert {(round(x), round(y)) for x, y in outlined} == {(0, 0), (3, 0), (2, 1)}


def test_a_module_says_of_which_it_was_last_made_a_copy_and_how_often_it_was_overwritten() -> None:
    copied = (Copied(0, 0, 3, 2), Copied(1, 2, 1, 1), Copied(0, 1, 3, 1))
    axes = draw_grid(POPULATION, 2, 4, ((), ()), None, "title", copied).axes[0]
    said = {text.get_position(): text.get_text() for text in axes.texts}
    assert said == {(3, 0): "←1\n\N{MULTIPLICATION SIGN}3", (1, 1): "←2"}
    assert "copy of module 3" in axes.get_xlabel()
    assert draw_grid(POPULATION, 2, 4, ((), ()), None, "title").axes[0].get_xlabel() == "module"


def test_nobody_is_outlined_before_anybody_is_best() -> None:
    assert len(draw_grid(POPULATION, 2, 4, ((), ()), None, "title").axes[0].patches) == 0


def test_pixels_are_an_image() -> None:
    image = pixels(draw_grid(POPULATION, 2, 4, ((), ()), None, "title"))
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert len(np.unique(image)) > 10


def test_curves_are_drawn_over_the_agent_steps_of_the_task() -> None:
    curves = {"pathnet": np.array([1.0, 2.0]), "independent": np.array([0.5, 1.5])}
    axes = draw_curves(curves, 1000, "title").axes[0]
    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[250.0, 750.0]] * 2
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.lines] == [
        [1.0, 2.0],
        [0.5, 1.5],
    ]


def test_no_two_arms_look_the_same() -> None:
    looks = [Look.of(arm) for arm in Arm]
    assert len({(look.colour, look.style) for look in looks}) == len(looks)
    assert len({(look.colour, look.dot) for look in looks}) == len(looks)


def test_an_arm_looks_the_same_whoever_is_beside_it() -> None:
    for others in ((), ("pathnet", "independent")):
        curves = {name: np.zeros(2) for name in (*others, "fine-tune", "pathnet-paper")}
        *_, one, other = draw_curves(curves, 1000, "title").axes[0].lines
        assert (one.get_color(), one.get_linestyle()) == (COLOURS[2], "-")
        assert (other.get_color(), other.get_linestyle()) == (COLOURS[2], "--")
