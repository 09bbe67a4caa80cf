"""From command lines to configurations: one way for all commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import tyro
from rich.console import Console
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from pathnet_rl.config import GridConfig
from pathnet_rl.environment_options import TasksDisagree, idle_options
from pathnet_rl.modules import Module, as_text

if TYPE_CHECKING:
    from pathnet_rl.envs.interface import Described  # Experiments on images need no games.

Configuration = TypeVar("Configuration")

_REGISTRY = ConstructorRegistry()


@_REGISTRY.primitive_rule
def _layers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """The grid's layers are one option, a call a layer: conv(kernels=8, size=4) linear(units=50)."""
    if get_origin(info.type) is not tuple or get_args(info.type)[:1] != (Module,):
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="MODULE [MODULE ...]",
        # One string a layer, which the configuration itself reads: its errors are one line.
        instance_from_str=lambda words: GridConfig.model_validate({"layers": words}).layers,
        is_instance=lambda given: isinstance(given, tuple),
        str_from_instance=lambda layers: [as_text(layer) for layer in layers],
    )


def from_presets(
    presets: Mapping[str, tuple[str, Configuration]],
    program: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> Configuration:
    """The preset that the command line (or `arguments`) names, with the options that override it."""
    try:
        return tyro.extras.overridable_config_cli(
            dict(presets),
            prog=program,
            description=description,
            args=arguments,
            config=(tyro.conf.AvoidSubcommands, tyro.conf.EnumChoicesFromValues),
            registry=_REGISTRY,
        )
    except TasksDisagree as error:
        from pathnet_rl import envs

        for name in error.tasks:  # A name that is none is said first: the rest may follow from it.
            envs.describe(name, error.options)
        raise


def given_options(arguments: Sequence[str] | None = None) -> set[str]:
    """The names of the fields that a command line (or `arguments`) sets, as `--no-isolate` does isolate."""
    words = sys.argv[1:] if arguments is None else arguments
    options = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    return {option.removeprefix("no-").replace("-", "_") for option in options}


def note_idle_options(
    console: Console, given: Collection[str], described: Mapping[str, Described]
) -> None:
    """Say which of the options that somebody gave change nothing in these tasks."""
    shapes = {name: task.shape for name, task in described.items()}
    for line in idle_options(given, shapes):
        console.print(line, soft_wrap=True)


def to_go_on(program: str) -> str:
    """The command that was given, as it can be pasted into a shell."""
    return shlex.join([sys.executable, "-m", program, *sys.argv[1:]])


def from_options(
    kind: type[Configuration],
    program: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> Configuration:
    """The options of a command without presets."""
    return tyro.cli(
        kind,
        prog=program,
        description=description,
        args=arguments,
        config=(tyro.conf.EnumChoicesFromValues,),
    )
