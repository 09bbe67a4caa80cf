"""config.json: what a run is, and which one it is."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from pathnet_rl.checkpoint import write_json
from pathnet_rl.errors import UserError
from pathnet_rl.reading import read_json
from pathnet_rl.settings import Settings

NAME = "config.json"
Kind = TypeVar("Kind", bound=Settings)

_RUN = "run"
"""What config.json calls the identity of a run, beside the configuration."""
LEFT_BY_SYSTEMS = (
    ".lock", "*.json.unfinished", ".DS_Store", "._*", ".directory", "desktop.ini", "Thumbs.db",
    "lost+found", ".Trash-*", ".nfs*", ".snapshot",
)  # fmt: skip
"""What lies in folders that nobody put anything into: of killed starts, file systems and file managers."""


def read_config(kind: type[Kind], folder: Path, otherwise: str) -> tuple[Kind, str | None]:
    """The configuration that lies in a run's folder, and the run's identity, if it has one.

    Raises:
        UserError: there is none that can be read (says `otherwise` of the folder), or it is another
            version's or another program's.
    """
    try:
        found = read_json(folder / NAME)
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}, not options")
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{folder} {otherwise} ({reason})") from error
    run = found.pop(_RUN, None)
    try:
        return kind.model_validate(found), run if isinstance(run, str) else None
    except UserError as error:
        if len(found.keys() & kind.model_fields.keys()) <= len(found) / 2:
            raise UserError(
                f"{folder / NAME} is another program's, or another command's of this one; name another folder"
            ) from error
        raise UserError(
            f"{folder / NAME} is not understood by this version of the program ({error}); use the"
            " version that made it (provenance.json says which)"
        ) from error


def read_identity(folder: Path) -> str | None:
    """The identity of the run in a folder, if there is one that can be read."""
    try:
        found = read_json(folder / NAME)[_RUN]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None


def write_config(folder: Path, config: Settings, run: str | None) -> None:
    """Write what a run is, and its identity.

    Raises:
        UserError: it cannot be written.
    """
    identity = {} if run is None else {_RUN: run}
    write_json(folder / NAME, {**identity, **config.model_dump(mode="json")})


def is_new(folder: Path) -> bool:
    """Nobody has put anything into a folder."""
    return all(is_left_by_system(entry.name) for entry in folder.iterdir())


def is_left_by_system(name: str) -> bool:
    """What is called so nobody has put there."""
    return any(fnmatch(name, pattern) for pattern in LEFT_BY_SYSTEMS)
