"""What every configuration is: typed, validated, frozen, and the same when written to JSON and read back."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from pathnet_rl.errors import UserError, in_one_line

MOST = 10**6
"""Of whatever there is one of each of in memory, or is counted in a run: more is a slip of the finger."""
MOST_SEED = 2**63 - 1
MOST_QUOTED = 120
"""Characters of a value that is refused."""


class Settings(BaseModel):
    """Unknown fields are refused and values cannot be changed after validation.

    Raises:
        UserError: a value makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str] = ""
    """Where the fields are found on the command line and in config.json."""

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_in_one_line(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # Raised from here and not as a ValueError, it passes the command line's parser untouched.
        try:
            return validate(value)
        except ValidationError as error:
            raise UserError(one_line(error, cls.section)) from error


def one_line(error: ValidationError, section: str) -> str:
    """What pydantic found wrong with the fields of a section, in one line."""
    found = []
    for detail in error.errors():
        where = ".".join(str(part) for part in (section, *detail["loc"]) if part != "")
        message = detail["msg"].removeprefix("Value error, ")
        given = f", got {in_one_line(repr(detail['input']), MOST_QUOTED)}" if detail["loc"] else ""
        found.append(f"{where + ': ' if where else ''}{message}{given}")
    return "; ".join(found)


def differences(old: Settings, new: Settings, may_change: frozenset[str]) -> list[str]:
    """One line for each field that makes `new` another experiment than `old`."""
    lines: list[str] = []

    def compare(path: str, before: Any, after: Any) -> None:
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted(before.keys() | after.keys()):
                compare(f"{path}.{key}" if path else key, before.get(key), after.get(key))
        elif path not in may_change and (
            before != after or isinstance(before, bool) != isinstance(after, bool)
        ):
            lines.append(f"{path}: was {before}, is now {after}")

    compare("", old.model_dump(mode="json"), new.model_dump(mode="json"))
    return lines
