"""Any value of any option: a configuration that config.json gives back, or one line that names the option.

The options are those that the classes have, so a new one is covered by itself. The long form takes 10,000
values: PATHNET_RL_CASES=10000 (make test-fuzz).
"""

from __future__ import annotations

import enum
import io
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from launch import compare, supervised, train
from launch.display import terminal
from launch.picture import Options as PictureOptions
from launch.picture import draw
from launch.replay import Options as ReplayOptions
from launch.replay import replay
from pathnet_rl.checkpoint import write_json
from pathnet_rl.comparison.experiment import Comparison
from pathnet_rl.config import RunConfig
from pathnet_rl.config_file import read_config
from pathnet_rl.errors import UserError
from pathnet_rl.modules import ConvModule, CustomModule, LinearModule
from pathnet_rl.settings import Settings
from pathnet_rl.supervised.experiment import Experiment
from tests.fuzz_mutations import ODD_TEXTS, ODD_VALUES
from tests.support import ROOT

CASES = int(os.environ.get("PATHNET_RL_CASES", "200"))
KINDS: tuple[type[Settings], ...] = (RunConfig, Experiment, Comparison)
SAID_OTHERWISE = {
    "base": "RunConfig permitted", "sequences": "sequence task",
    "pairs": "pair task", "matrix": "pair task", "sweep": "swe", "tasks": "task",
    "heirs": "share", "builders": "share", "newcomers": "share", "start": "heirs", "arms": "arm",
    "layers": "modules", "seed": "first-seed", "device": "--device", "draws": "draw", "halvings": "halvings",
}  # fmt: skip
"""Words of lines that are about an option and do not have its name in them."""


def options_of(
    kind: type[BaseModel], path: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Any]]:
    """Every option of a configuration, by its place in config.json, with its type."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            found += options_of(inner, (*path, name))
        found.append(((*path, name), inner))
    return found


OPTIONS = [(kind, path, inner) for kind in KINDS for path, inner in options_of(kind)]
ODD = st.sampled_from([*ODD_TEXTS, *ODD_VALUES])


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as JSON has them, right and nearly right."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return of_type(inner[0])
    if origin in (Union, types.UnionType):
        return st.one_of([of_type(one) for one in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(of_type(inner[0]), max_size=4)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from([one.value for one in kind])
    if kind in (ConvModule, LinearModule, CustomModule):
        words = (
            "conv()",
            "conv(kernels=2, size=3)",
            "linear(units=4)",
            "a.b:C(x=[1])",
            "linear(",
            "x" * 50,
        )
        numbers = st.integers(-1, 2**40)
        return st.sampled_from(words) | st.fixed_dictionaries(
            {"kind": st.sampled_from(["conv", "linear", "a:B", "-"])},
            optional={"units": numbers, "size": numbers, "more": st.none() | st.text(max_size=5)},
        )
    simple: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers() | st.integers(0, 12),
        float: st.floats() | st.floats(0, 1),
        str: st.text(max_size=30)
        | st.sampled_from(["5-6>6-7", "CartPole-v1", "learning.discount=0.5,0.9"]),
        type(None): st.none(),
    }
    return simple.get(kind, st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return typing.cast(dict[str, Any], value)


def one_line(error: UserError) -> str:
    line = str(error)
    assert line.isprintable()
    assert len(line) <= 2000
    return line


def named(path: tuple[str, ...], line: str) -> bool:
    name = path[-1]
    words = {name, name.replace("_", "-"), ".".join(path), *SAID_OTHERWISE.get(name, "").split()}
    return any(word in line for word in words)


@settings(
    max_examples=max(1, CASES // len(OPTIONS)),
    deadline=None,
    derandomize=CASES == 200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize(
    ("kind", "path", "inner"),
    OPTIONS,
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
@given(data=st.data())
def test_any_value_is_kept_or_refused_by_name(
    kind: type[Settings], path: tuple[str, ...], inner: Any, tmp_path: Path, data: st.DataObject
) -> None:
    value = data.draw(of_type(inner) | ODD)
    try:
        config = kind.model_validate(nested(path, value))
    except UserError as error:
        assert named(path, one_line(error)), f"{path}: {error}"  # noqa: PT017 - both are answers
        return
    write_json(tmp_path / "config.json", config.model_dump(mode="json"))
    assert read_config(kind, tmp_path, "")[0] == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


TEXTS = st.sampled_from(
    [*(text for text in ODD_TEXTS if "\0" not in text), "3", "0.5", "true", "none", "a,b"]
)
COMMANDS = (
    (train.read, ("cartpole",), RunConfig),
    (supervised.read, ("mnist",), Experiment),
    (compare.read, ("cartpole",), Comparison),
)


@settings(max_examples=max(3, CASES // 40), deadline=None, derandomize=CASES == 200)
@pytest.mark.parametrize(
    ("read", "before", "kind"), COMMANDS, ids=("train", "supervised", "compare")
)
@given(data=st.data())
def test_any_text_on_a_command_line_is_a_configuration_or_an_error(
    read: Any, before: tuple[str, ...], kind: type[Settings], data: st.DataObject
) -> None:
    paths = [path for path, inner in options_of(kind) if not hasattr(inner, "model_fields")]
    path = data.draw(st.sampled_from(paths))
    option = "--" + ".".join(path[1:] if path[0] == "base" else path).replace("_", "-")
    try:
        config = read([*before, option, data.draw(TEXTS)])
    except UserError as error:
        one_line(error)
    except SystemExit as left:
        assert left.code == 2  # noqa: PT017 - an error of the parser
    else:
        assert kind.model_validate(config.model_dump(mode="json")) == config


NUMBERS = st.sampled_from([-(2**70), -1, 0, 1, 2, 3, 2**31, 2**63, 2**70, 10**30])


@settings(max_examples=max(6, CASES // 20), deadline=None, derandomize=CASES == 200)
@given(data=st.data())
def test_any_number_for_a_replay_is_played_or_refused(data: st.DataObject) -> None:
    fields: dict[str, Any] = {
        name: data.draw(NUMBERS)
        for name in data.draw(st.sets(st.sampled_from(["task", "episodes", "seed", "most_steps"])))
    }
    options = ReplayOptions(
        ROOT / "tests" / "data" / "older_runs" / "finished", **fields, engine="torch"
    )
    out = io.StringIO()
    try:
        replay(options, terminal(out))
    except UserError as error:
        one_line(error)
    else:
        assert re.search(r"CartPole-v1: mean \d", out.getvalue())


@pytest.mark.parametrize("name", ["", "none", "\udcff", "x" * 300, "a\nb"])
def test_any_name_of_a_run_is_one_line_where_there_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        draw(PictureOptions(tmp_path / name))
    one_line(refused.value)
    with pytest.raises(UserError) as refused:
        replay(ReplayOptions(tmp_path / name), terminal(io.StringIO()))
    one_line(refused.value)
