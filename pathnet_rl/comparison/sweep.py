"""A sweep: the settings that every arm is given, from options and their values.

An option is written as `learning.learning-rate=7e-4,1.5e-3` (these values) or as
`learning.learning-rate=loguniform:1e-4:1e-2` (a space to draw from).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pathnet_rl.arms import Arm
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.seeds import Owner, generator

NO_SWEEP = "default"
"""The label of the only setting of a comparison without a sweep."""
NOT_SETTINGS = MAY_CHANGE | {"tasks", "agent_steps", "arms", "protocol", "seed"}
"""Options that make no setting: they say where or by what, or are the same for all that are compared."""
SPACES = ("uniform", "loguniform", "integers")
DIGITS = 4
"""Significant digits of a drawn number, so that its label says all of it."""
EXAMPLE = (
    "write it as learning.learning-rate=7e-4,1.5e-3 or learning.learning-rate=loguniform:1e-4:1e-2"
)

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Setting:
    """Values of some options, by the options' dotted names; `label` is a folder's name as well."""

    label: str
    values: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class Space:
    """Numbers between two bounds."""

    kind: str
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> int | float:
        """One number; all numbers (or all logarithms) are equally likely, the bounds included."""
        if self.kind == "integers":
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        if self.kind == "loguniform":
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        return float(f"{drawn:.{DIGITS}g}")


@dataclass(frozen=True)
class Swept:
    """One option of a sweep, with the values it is given or the space they are drawn from."""

    option: str
    values: Sequence[Value] | Space

    def draw(self, rng: np.random.Generator) -> Value:
        """One of the values, all equally likely."""
        if isinstance(self.values, Space):
            return self.values.draw(rng)
        return self.values[int(rng.integers(len(self.values)))]


def with_values(base: RunConfig, values: Sequence[tuple[str, Value]]) -> RunConfig:
    """A run's configuration with the values of some options.

    Raises:
        UserError: a value makes no sense there.
    """
    fields = base.model_dump(mode="json")
    for option, value in values:
        *sections, name = option.split(".")
        place = fields
        for section in sections:
            place = place[section]
        place[name] = value
    return RunConfig.model_validate(fields)


def settings_of(
    base: RunConfig, sweep: Sequence[str], draws: int | None, seed: int
) -> tuple[Setting, ...]:
    """The settings of a sweep: all combinations of its values, or so many random draws.

    More draws begin with the same ones.

    Raises:
        UserError: an option or a value is none of the run's, or something is named twice.
    """
    swept = [_read(base, written) for written in sweep]
    if not swept:
        if draws is not None:
            raise UserError(f"there is nothing to draw from without a sweep; {EXAMPLE}")
        return (Setting(NO_SWEEP),)
    options = [one.option for one in swept]
    if len(set(options)) < len(options):
        raise UserError(f"an option is swept twice in {' '.join(sweep)}")
    if draws is None:
        combinations = _grid(swept)
    else:
        combinations = _draws(swept, draws, generator(seed, Arm.PATHNET, Owner.SETTINGS))
    settings = [_setting(options, values) for values in combinations]
    for setting in settings:
        with_values(base, setting.values)
    return tuple(settings)


def _grid(swept: Sequence[Swept]) -> list[tuple[Value, ...]]:
    values: list[Sequence[Value]] = []
    for one in swept:
        if isinstance(one.values, Space):
            raise UserError(
                f"{one.option} has a space to draw from; say how many settings to draw: --draws 8"
            )
        values.append(one.values)
    return list(itertools.product(*values))


def _draws(swept: Sequence[Swept], draws: int, rng: np.random.Generator) -> list[tuple[Value, ...]]:
    listed = [one.values for one in swept if not isinstance(one.values, Space)]
    if len(listed) == len(swept) and draws > (most := math.prod(len(values) for values in listed)):
        raise UserError(f"there are only {most} settings to draw {draws} from; lower --draws")
    found: dict[tuple[Value, ...], None] = {}
    fruitless = 0
    while len(found) < draws:
        before = len(found)
        found[tuple(one.draw(rng) for one in swept)] = None
        fruitless = 0 if len(found) > before else fruitless + 1
        if fruitless > 100_000:
            raise UserError(f"the sweep has fewer than {draws} settings; lower --draws")
    return list(found)


def _read(base: RunConfig, written: str) -> Swept:
    """One option of the sweep, from how it is written on the command line."""
    name, equals, given = written.partition("=")
    option = name.strip().removeprefix("--").replace("-", "_")
    words = [word.strip() for word in given.split(",")]
    if not equals or not all(words):
        raise UserError(f"the sweep {written!r} names no values; {EXAMPLE}")
    _check_option(base, option)
    kind, *bounds = words[0].split(":")
    if len(words) == 1 and kind in SPACES:
        return Swept(option, _space(base, option, words[0], kind, bounds))
    values = [_value(base, option, word) for word in words]
    if len(set(map(repr, values))) < len(values):
        raise UserError(f"a value is named twice in the sweep {written!r}")
    return Swept(option, values)


def _check_option(base: RunConfig, option: str) -> None:
    place: Any = base.model_dump(mode="json")
    for part in option.split("."):
        if not isinstance(place, dict) or part not in place:
            raise UserError(f"a run has no option {option} that could be swept; {EXAMPLE}")
        place = place[part]
    if option in NOT_SETTINGS:
        raise UserError(f"{option} is no setting that could be swept; {EXAMPLE}")
    if isinstance(place, (dict, list)):
        raise UserError(f"{option} is not one value, and cannot be swept; {EXAMPLE}")


def _value(base: RunConfig, option: str, word: str) -> Value:
    """A value as the run's configuration reads it, so that 7e-4 and 0.0007 are the same."""
    given = None if word.lower() == "none" else word
    found: Any = with_values(base, [(option, given)])
    for part in option.split("."):
        found = getattr(found, part)
    if not isinstance(found, Value):
        raise UserError(f"{option} is not one value, and cannot be swept; {EXAMPLE}")
    return found


def _space(base: RunConfig, option: str, word: str, kind: str, bounds: Sequence[str]) -> Space:
    try:
        low, high = (float(bound) for bound in bounds)
        whole = kind != "integers" or (low.is_integer() and high.is_integer())
        sense = math.isfinite(high - low) and low < high and whole
    except ValueError:
        sense = False
    if not sense or (kind == "loguniform" and low <= 0):
        raise UserError(
            f"the space {word!r} of {option} makes no sense; write uniform:LOW:HIGH, loguniform:LOW:HIGH"
            " (above 0) or integers:LOW:HIGH"
        )
    space = Space(kind, low, high)
    for bound in (low, high):
        _value(base, option, str(int(bound)) if kind == "integers" else str(bound))
    return space


def _setting(options: Sequence[str], values: Sequence[Value]) -> Setting:
    last = [option.rpartition(".")[2] for option in options]
    names = [
        name if last.count(name) == 1 else option
        for name, option in zip(last, options, strict=True)
    ]
    parts = [f"{name}={_text(value)}" for name, value in zip(names, values, strict=True)]
    label = re.sub(r"[^A-Za-z0-9._=,+-]", "-", ",".join(parts))
    return Setting(label, tuple(zip(options, values, strict=True)))


def _text(value: Value) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
