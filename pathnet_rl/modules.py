"""The kinds of module that a layer of the grid can have, as settings (paper, section 2.1).

Each module is a small network of its own; the outputs of a layer's active modules are summed. A kind is
written as a call, `conv(kernels=8, size=8, stride=4)`, `linear(units=50)` or, for one of the user's own,
`my_package.my_modules:Residual(kernels=8)`.
"""

from __future__ import annotations

import ast
import re
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from pathnet_rl.errors import UserError
from pathnet_rl.settings import MOST, Settings


class ConvModule(Settings):
    """A convolutional module: valid padding, then ReLU."""

    section = "grid.layers"
    kind: Literal["conv"] = "conv"
    kernels: int = Field(8, ge=1, le=MOST)
    size: int = Field(3, ge=1, le=MOST)
    stride: int = Field(1, ge=1, le=MOST)


class LinearModule(Settings):
    """A linear module, then ReLU."""

    section = "grid.layers"
    kind: Literal["linear"] = "linear"
    units: int = Field(50, ge=1, le=MOST)


class CustomModule(Settings):
    """A module of the user's own, made by a factory: see `module_layer.CustomLayer`.

    `options` are the factory's keyword arguments; in JSON and in text they stand beside `kind`.
    """

    section = "grid.layers"
    kind: str
    """Where the factory is found: `package.module:name`."""
    options: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.keys() == {"kind", "options"}:
            return value
        options = {key: given for key, given in value.items() if key != "kind"}
        return {"kind": value.get("kind"), "options": options}

    @field_validator("kind")
    @classmethod
    def _names_a_factory(cls, kind: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", kind):
            raise ValueError("kinds of module are conv, linear and my_package.my_modules:MyModule")
        return kind

    @model_serializer
    def _spread_options(self) -> dict[str, JsonValue]:
        return {"kind": self.kind, **self.options}


def _kind_of(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind in ("conv", "linear") else "custom"


Module = Annotated[
    Annotated[ConvModule, Tag("conv")]
    | Annotated[LinearModule, Tag("linear")]
    | Annotated[CustomModule, Tag("custom")],
    Discriminator(_kind_of),
]

ATARI_LAYERS: tuple[ConvModule | LinearModule | CustomModule, ...] = (
    ConvModule(kernels=8, size=8, stride=4),
    ConvModule(kernels=8, size=4, stride=2),
    ConvModule(kernels=8, size=3, stride=1),
    LinearModule(units=50),
)
"""The Atari grid of the paper: 84 -> 20 -> 9 -> 7, flat 392, then 50."""


def as_text(module: ConvModule | LinearModule | CustomModule) -> str:
    """A module's settings as a call, such as `linear(units=50)`."""
    settings = module.model_dump(mode="json")
    kind = settings.pop("kind")
    return f"{kind}({', '.join(f'{key}={value!r}' for key, value in settings.items())})"


def from_text(text: str) -> dict[str, Any]:
    """The settings in what `as_text` wrote, not yet validated.

    Raises:
        UserError: it is not written as a call with keyword arguments that are numbers or words.
    """
    kind, opened, rest = text.strip().partition("(")
    try:
        call = ast.parse(f"_({rest}" if opened else "_()", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no call with keyword arguments")
        settings = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        if "kind" in settings:
            raise ValueError("the kind is what is called")
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f"grid.layers: {text!r} is no module; write one as conv(kernels=8, size=3, stride=1),"
            " linear(units=50) or my_package.my_modules:MyModule(option=1)"
        ) from error
    return {"kind": kind, **settings}


def check_width(width: int, modules: int) -> None:
    """Refuse a pathway of N modules a layer in a grid of fewer.

    Raises:
        UserError: N is more than M.
    """
    if width > modules:
        raise UserError(
            f"a pathway cannot be wider than the grid: width N = {width} is more than"
            f" modules M = {modules}"
        )
