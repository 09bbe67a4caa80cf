"""Module duplication: what is copied over what, against an oracle that keeps everything and counts anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pathnet_rl.config import EvolutionConfig
from pathnet_rl.duplication import Duplication, best_and_worst
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.lineages import Copies

NAN = float("nan")
NOTHING: ActiveModules = ((), ())

# The best and the worst ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fitness", "frozen", "wanted"),
    [
        ((1.0, 3.0, 2.0), (), (1, 0)),
        ((1.0, 3.0, 2.0), (0,), (1, 2)),
        ((1.0, 3.0, 2.0), (0, 2), None),
        ((1.0, 3.0, 2.0), (1,), (1, 0)),  # What is frozen may be copied.
        ((NAN, 3.0, 2.0), (), (1, 2)),  # Of what nobody knows anything is not the worst.
        ((NAN, 3.0, NAN), (), None),
        ((NAN, NAN, NAN), (), None),
        ((2.0, 2.0, 2.0), (), None),  # As good as the best.
        ((1.0, 2.0, 2.0), (), (1, 0)),
        ((1.0, 2.0, 1.0), (), (1, 0)),
        ((-21.0, -20.5, NAN), (), (1, 0)),
    ],
)
def test_the_best_and_the_worst_of_a_layer(
    fitness: Sequence[float], frozen: Sequence[int], wanted: tuple[int, int] | None
) -> None:
    assert best_and_worst(np.array(fitness), frozen) == wanted


# The oracle ---------------------------------------------------------------------------------------

DEPTH, MODULES, POPULATION = 2, 4, 3


class Oracle:
    """Keeps everything that ever happened, and works out from all of it what is asked for."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.events: list[tuple[Any, ...]] = []

    def fitness(self, layer: int, module: int) -> float | None:
        since = 0
        for moment, (what, *about) in enumerate(self.events):
            if what == "copied" and about[0] == layer and about[2] == module:
                since = moment + 1
        found = []
        for moment, (what, *about) in enumerate(self.events):
            if what == "evaluated" and module in about[1][layer]:
                began = 0
                for earlier in range(moment):
                    if self.events[earlier][:2] == ("begun", about[0]):
                        began = earlier
                if began >= since:
                    found.append(about[2])
        found = found[-self.window :]
        return sum(found) / len(found) if found else None

    def pair(self, layer: int, frozen: ActiveModules) -> tuple[tuple[int, int], ...]:
        known = {m: f for m in range(MODULES) if (f := self.fitness(layer, m)) is not None}
        ranked = sorted(known, key=lambda module: (-known[module], module))
        for target in sorted(known, key=lambda module: (known[module], module)):
            if target not in frozen[layer] and known[target] < known[ranked[0]]:
                return ((ranked[0], target),)
        return ()


paths = st.tuples(*[st.sets(st.integers(0, MODULES - 1), min_size=1, max_size=3)] * DEPTH)
evaluations = st.tuples(
    st.integers(0, POPULATION - 1), paths, st.integers(-3, 3), st.sets(st.integers(0, DEPTH - 1))
)


@given(
    st.integers(1, 4),
    st.lists(evaluations, max_size=25),
    st.tuples(*[st.sets(st.integers(0, MODULES - 1), max_size=2)] * DEPTH),
)
def test_any_history_leads_to_what_the_oracle_says(
    window: int,
    history: list[tuple[int, tuple[set[int], ...], int, set[int]]],
    frozen_sets: tuple[set[int], ...],
) -> None:
    frozen = tuple(tuple(sorted(layer)) for layer in frozen_sets)
    found = Duplication(DEPTH, MODULES, window, 1.0, np.random.default_rng(0))
    oracle = Oracle(window)
    for pathway in range(POPULATION):
        found.begin(pathway)
        oracle.events.append(("begun", pathway))
    for pathway, sets, fitness, layers in history:
        path = tuple(tuple(sorted(layer)) for layer in sets)
        found.judge(pathway, path, float(fitness))
        oracle.events.append(("evaluated", pathway, path, float(fitness)))
        known = [[oracle.fitness(layer, m) for m in range(MODULES)] for layer in range(DEPTH)]
        wanted = np.array([[NAN if f is None else f for f in layer] for layer in known])
        assert np.array_equal(found.fitness(), wanted, equal_nan=True)
        pairs: Copies = tuple(
            oracle.pair(layer, frozen) if layer in layers else () for layer in range(DEPTH)
        )
        assert found.choose(layers, frozen) == pairs
        found.note(pairs)
        for layer, made in enumerate(pairs):
            oracle.events += [("copied", layer, *pair) for pair in made]
        found.begin(pathway)
        oracle.events.append(("begun", pathway))
    assert found.copies == sum(what == "copied" for what, *_ in oracle.events)


def test_layers_are_due_at_the_rate_and_only_where_there_is_something_to_copy() -> None:
    made = Duplication(3, 2, 5, 0.3, np.random.default_rng(0))
    made.begin(0)
    made.judge(0, ((0,), (0,), (0,)), 2.0)
    made.judge(0, ((1,), (1,), (0,)), 1.0)
    due = [made.draw(((), (), ())) for _ in range(4000)]
    shares = [np.mean([layer in layers for layers in due]) for layer in range(3)]
    assert shares == pytest.approx([0.3, 0.3, 0.0], abs=0.03)
    both = np.mean([len(layers) == 2 for layers in due])
    assert both == pytest.approx(0.09, abs=0.02), "layers are drawn apart"


def test_at_a_rate_of_zero_nothing_is_drawn_or_remembered() -> None:
    rng = np.random.default_rng(0)
    made = Duplication(2, 2, 5, 0.0, rng)
    made.judge(0, ((0,), (0,)), 2.0)
    assert made.draw(NOTHING) == ()
    assert np.isnan(made.fitness()).all()
    assert made.state() is None
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


@pytest.mark.parametrize(
    "wrong", [{"duplication_rate": 1.5}, {"duplication_rate": -0.1}, {"duplication_window": 0}]
)
def test_rates_and_windows_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"evolution\.duplication_") as refused:
        EvolutionConfig(**wrong)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
