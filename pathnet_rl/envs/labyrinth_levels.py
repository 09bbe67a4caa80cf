"""DeepMind Lab's levels by their names, and the maps that were compiled for them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from pathnet_rl.environment_options import LABYRINTH
from pathnet_rl.envs.nearest import nearest
from pathnet_rl.errors import UserError

PAPER = ("lt_chasm", "seekavoid_arena_01", "stairway_to_melon")
"""The three levels of the paper."""
SCRIPTS = Path("baselab", "game_scripts", "levels")
"""Where the engine's files have a script for each level."""
OTHER_FOLDERS = ("", "contributed/dmlab30/", "contributed/psychlab/", "tests/")
"""Where a level may lie that is named without its folder, as dmlab-gym does."""


def level_named(task: str) -> str:
    """The level of a task: lt_chasm for labyrinth/lt_chasm, and for dmlab_gym/lt_chasm-v0.

    Raises:
        UserError: it is another version of dmlab-gym's, which is not known here.
    """
    task = task.rpartition(":")[2]
    ours, theirs = LABYRINTH
    if not task.startswith(theirs):
        return task.removeprefix(ours)
    level, _, version = task.removeprefix(theirs).partition("-v")
    if version not in ("", "0"):
        raise UserError(
            f"unknown task {task!r}: dmlab-gym's levels are of version 0; did you mean"
            f" {theirs}{level}-v0?"
        )
    return level


def find_level(runfiles: str, level: str) -> str:
    """The engine's name of a level.

    Args:
        runfiles: the folder of the engine's files.

    Raises:
        UserError: it has no such level; says the nearest names.
    """
    if ".." in level.split("/") or level.startswith("/"):
        raise UserError(
            f"DeepMind Lab has no level {level!r}: its name leaves the folder of levels"
        )
    scripts = Path(runfiles) / SCRIPTS
    if not scripts.is_dir():
        return level  # Packed otherwise than is known here: the engine will say.
    known = sorted(
        path.relative_to(scripts).with_suffix("").as_posix() for path in scripts.rglob("*.lua")
    )
    for folder in OTHER_FOLDERS:
        if folder + level in known:
            return folder + level
    found = nearest(level, known) or [name for name in PAPER if name in known]
    names = ", ".join(f"labyrinth/{name}" for name in found)
    raise UserError(f"DeepMind Lab has no level {level!r}; did you mean {names}?")


class LevelCache:
    """Maps that the engine has compiled, kept for other processes and runs: one takes many seconds.

    They lie in `~/.cache/pathnet-rl/labyrinth`, or where XDG_CACHE_HOME says. What cannot be read is a miss,
    and what cannot be written is not kept.
    """

    def __init__(self) -> None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        self._folder = Path(home) / "pathnet-rl" / "labyrinth"

    def fetch(self, key: str, pk3_path: str) -> bool:
        """Put the map of a key where the engine wants it; False if there is none. Called by the engine."""
        kept = self._kept(key)
        try:
            if not _is_whole(kept):
                return False
            shutil.copyfile(kept, pk3_path)
        except OSError:
            return False
        return True

    def write(self, key: str, pk3_path: str) -> None:
        """Keep the map that lies at `pk3_path`. Called by the engine."""
        partial = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                partial = Path(file.name)
                file.write(Path(pk3_path).read_bytes())
            partial.replace(self._kept(key))
        except OSError as error:
            if partial is not None:
                partial.unlink(missing_ok=True)
            print(f"the map is not kept: {error}", file=sys.stderr)  # noqa: T201 - the engine's log

    def _kept(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.pk3"


def _is_whole(file: Path) -> bool:
    """Every map in a file is as it was written."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ):
        return False
