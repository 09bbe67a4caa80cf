"""Sweeps: the settings that all arms are given, and what is no sweep."""

from __future__ import annotations

import math

import pytest

from pathnet_rl.comparison.sweep import Setting, settings_of, with_values
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError

BASE = RunConfig()
RATE = "learning.learning-rate=7e-4,1.5e-3"


def labels(*sweep: str, draws: int | None = None, seed: int = 0) -> list[str]:
    return [setting.label for setting in settings_of(BASE, sweep, draws, seed)]


def test_a_grid_is_every_combination() -> None:
    assert labels(RATE, "evolution.rivals=2,4") == [
        "learning_rate=0.0007,rivals=2",
        "learning_rate=0.0007,rivals=4",
        "learning_rate=0.0015,rivals=2",
        "learning_rate=0.0015,rivals=4",
    ]


def test_without_a_sweep_there_is_one_setting_which_changes_nothing() -> None:
    assert settings_of(BASE, (), None, 0) == (Setting("default"),)
    assert with_values(BASE, ()) == BASE


def test_a_setting_is_what_the_run_is_given() -> None:
    sweep = ("evolution.mutation-rate=none,0.01", "evolution.wrap=true")
    rare = settings_of(BASE, sweep, None, 0)[1]
    assert rare.label == "mutation_rate=0.01,wrap=true"
    run = with_values(BASE, rare.values)
    assert (run.evolution.mutation_rate, run.evolution.wrap) == (0.01, True)
    assert run.learning == BASE.learning


def test_options_of_one_name_in_two_sections_are_told_apart() -> None:
    assert labels("evolution.episodes=2", "replay.episodes=8") == [
        "evolution.episodes=2,replay.episodes=8"
    ]


def test_draws_come_from_their_seed_alone_and_more_draws_begin_with_the_same() -> None:
    sweep = ("learning.learning-rate=loguniform:1e-4:1e-2", "evolution.rivals=integers:1:6")
    eight = labels(*sweep, draws=8)
    assert eight == labels(*sweep, draws=8)
    assert eight[:3] == labels(*sweep, draws=3)
    assert eight != labels(*sweep, draws=8, seed=1)
    assert len(set(eight)) == 8


def test_draws_lie_between_their_bounds_and_a_logarithm_is_as_likely_as_another() -> None:
    sweep = ("learning.learning-rate=loguniform:1e-4:1e-2", "learning.discount=uniform:0.9:0.99")
    settings = settings_of(BASE, sweep, 400, 0)
    rates = [with_values(BASE, setting.values).learning.learning_rate for setting in settings]
    discounts = [with_values(BASE, setting.values).learning.discount for setting in settings]
    assert 1e-4 <= min(rates) < 1.1e-4
    assert 0.9e-2 < max(rates) <= 1e-2
    # 400 draws, half of them below the bounds' geometric mean: five deviations of 10 either way.
    assert abs(sum(rate < 1e-3 for rate in rates) - 200) < 50
    assert min(discounts) >= 0.9
    assert max(discounts) <= 0.99


def test_drawn_values_are_said_in_full_by_their_label() -> None:
    for setting in settings_of(BASE, ("learning.learning-rate=loguniform:1e-6:1",), 50, 3):
        (option, value), *_ = setting.values
        assert option == "learning.learning_rate"
        assert isinstance(value, float)
        assert math.isclose(float(setting.label.partition("=")[2]), value, rel_tol=1e-12)


def test_as_many_draws_as_there_are_combinations_are_all_of_them() -> None:
    sweep = (RATE, "evolution.rivals=2,4")
    assert sorted(labels(*sweep, draws=4)) == labels(*sweep)


@pytest.mark.parametrize(
    ("sweep", "draws", "says"),
    [
        (("learning.learning-rate",), None, "names no values"),
        (("learning.learning-rate=",), None, "names no values"),
        (("learning.learning-rate=1e-3,,2e-3",), None, "names no values"),
        (("learning.speed=1",), None, "no option learning.speed"),
        (("learning=1",), None, "not one value"),
        (("grid.layers=1",), None, "not one value"),
        (("seed=1,2",), None, "seed is no setting"),
        (("tasks=Pong",), None, "tasks is no setting"),
        (("agent-steps=1,2",), None, "agent_steps is no setting"),
        (("arms=pathnet",), None, "arms is no setting"),
        (("engine=torch",), None, "engine is no setting"),
        (("learning.learning-rate=fast",), None, "learning.learning_rate: Input should be"),
        (("learning.learning-rate=-1",), None, "greater than 0"),
        (("evolution.rivals=2.5",), None, "evolution.rivals: Input should be a valid integer"),
        (("learning.learning-rate=1e-3,0.001",), None, "a value is named twice"),
        ((RATE, RATE), None, "swept twice"),
        (("grid.modules=3", "grid.width=2,4"), None, "cannot be wider than the grid"),
        (("learning.learning-rate=loguniform:1e-4:1e-2",), None, "--draws 8"),
        (("learning.learning-rate=loguniform:0:1",), 2, "makes no sense"),
        (("learning.learning-rate=loguniform:1",), 2, "makes no sense"),
        (("learning.learning-rate=uniform:2:1",), 2, "makes no sense"),
        (("learning.learning-rate=uniform:low:high",), 2, "makes no sense"),
        (("learning.discount=uniform:0.5:1.5",), 2, "less than or equal to 1"),
        (("evolution.rivals=uniform:1:4",), 2, "valid integer"),
        (("evolution.rivals=integers:1.5:4",), 2, "makes no sense"),
        (("evolution.rivals=integers:1:4",), 5, "fewer than 5 settings"),
        ((RATE,), 3, "only 2 settings"),
        ((), 3, "nothing to draw from"),
    ],
)  # fmt: skip
def test_what_is_no_sweep_is_refused_in_one_line(
    sweep: tuple[str, ...], draws: int | None, says: str
) -> None:
    with pytest.raises(UserError, match=says) as refused:
        settings_of(BASE, sweep, draws, 0)
    assert "\n" not in str(refused.value)
