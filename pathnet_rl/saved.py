"""Checkpoints as they are found: what a folder says of itself, and whether its numbers are those it says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from safetensors import SafetensorError

from pathnet_rl.errors import UserError
from pathnet_rl.reading import NotReadable, parse_json, read_bytes, read_json

if TYPE_CHECKING:
    import torch

UNFINISHED = ".unfinished"
"""Ends the name of what is being written."""
BLOCK, STATE = "block.safetensors", "state.json"
MARK = "checkpoint"
"""What state.json says of the checkpoint itself."""
RUN = "run"
LOST = "lost+found"
"""A file system's own folder, at its root."""
MOST_BLOCK_BYTES = 2**36
LOOKS = 100
"""After so many looks at a folder that changed during each, what the last one found is said."""
Check = Callable[[dict[str, Any]], object]
"""Raises ValueError, which says what is wrong with a state."""
Numbers: TypeAlias = "dict[str, torch.Tensor]"
"""What a checkpoint holds beside its state, by name."""
Found = TypeVar("Found")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that says that it is a checkpoint.

    Attributes:
        run: the identity of the run that saved it. None: made before runs had one.
        name: that it was saved under. number: in the order of saving. digest: of the numbers. None, 0 and
            None if it was made before checkpoints said so.
        state: what was saved beside the numbers.
    """

    path: Path
    run: str | None
    name: str | None
    number: int
    digest: str | None
    state: dict[str, Any]

    @property
    def original(self) -> bool:
        """It lies where it was saved: neither a copy nor renamed nor a link."""
        return self.name == self.path.name and not self.path.is_symlink()

    def check(self, makes_sense: Check) -> None:
        """See that the state is one that the run can have.

        Raises:
            UserError: it is none.
        """
        try:
            makes_sense(self.state)
        except ValueError as error:
            raise _damaged(self.path, error) from error

    def numbers(self) -> Numbers:
        """What was saved beside the state.

        Raises:
            UserError: it cannot be read, or is not what was saved.
        """
        import safetensors.torch  # Slow to import, so late.

        try:
            content = read_bytes(self.path / BLOCK, MOST_BLOCK_BYTES)
            if self.digest not in (None, hashlib.sha256(content).hexdigest()):
                raise _damaged(self.path, f"{BLOCK} is cut, changed or another checkpoint's")
            return safetensors.torch.load(content)
        except (OSError, ValueError, SafetensorError) as error:
            raise _damaged(self.path, error) from error


def find(parent: Path) -> tuple[list[Checkpoint], list[UserError]]:
    """The checkpoints in a folder, whoever saved them, oldest first; and what is said of damaged ones.

    Numbers are not looked at: `Checkpoint.numbers` does that.

    Raises:
        UserError: the folder cannot be read.
    """
    found: list[Checkpoint] = []
    damaged: list[UserError] = []
    try:
        paths = sorted(parent.iterdir()) if parent.is_dir() else []
    except OSError as error:
        raise UserError(f"cannot read {parent}: {error.strerror or error}") from error
    for path in filter(_is_one, paths):
        try:
            found.append(read(path))
        except NotReadable:
            raise  # Taken for damaged, a whole one would be passed over for an older one.
        except UserError as error:
            damaged.append(error)
    # Of copies the original is the last.
    return sorted(found, key=lambda one: (one.number, one.original)), damaged


def beside_a_run(parent: Path, look: Callable[[], Found]) -> Found:
    """What a look at a folder of checkpoints finds, though a run may save there and delete meanwhile.

    What is deleted between the listing of its name and the reading of its files looks damaged, and what is
    saved behind the listing's back looks missing: a look that fails or finds nothing counts only if the
    folder held the same when it ended.

    Raises:
        UserError: the look's.
    """
    for _ in range(LOOKS - 1):
        held = _held(parent)
        try:
            found = look()
        except UserError:
            if _held(parent) == held:
                raise
        else:
            if found or _held(parent) == held:
                return found
    return look()


def _held(parent: Path) -> set[tuple[str, int]]:
    try:
        with os.scandir(parent) as entries:
            return {
                (entry.name, entry.inode())
                for entry in entries
                if not entry.name.endswith(UNFINISHED)
            }
    except OSError:
        return set()  # `find` says what there is to say of it.


def read(path: Path) -> Checkpoint:
    """What a checkpoint's folder says, without its numbers.

    Raises:
        UserError: it is damaged.
    """
    try:
        state = read_json(path / STATE)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(state, dict):
        raise _damaged(path, f"{STATE} is no object")
    if MARK not in state:
        return Checkpoint(path, None, None, 0, None, state)
    mark = state.pop(MARK)
    match mark:
        case {
            "run": str() | None as run,
            "name": str(name),
            "number": int(number),
            "digest": str(digest),
        }:
            return Checkpoint(path, run, name, number, digest, state)
    raise _damaged(path, f"{STATE} does not say which it is")


def run_of(block: bytes) -> str | None:
    """The identity of the run that saved these numbers, if they say so."""
    try:
        end = 8 + int.from_bytes(block[:8], "little")
        found = parse_json(block[8:end])["__metadata__"][RUN]
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _is_one(path: Path) -> bool:
    """Something in the folder has a name that a checkpoint's files have; also if nobody may look."""
    try:
        return path.suffix != UNFINISHED and any((path / name).is_file() for name in (STATE, BLOCK))
    except PermissionError:
        return path.name != LOST


def _damaged(path: Path, reason: Exception | str) -> UserError:
    reason = str(reason).partition("\n")[0]
    return UserError(f"the checkpoint {path} is damaged ({reason})")
