"""Links in a run folder that lead out of it: what an archive can bring, and nothing here makes."""

from __future__ import annotations

import os
from pathlib import Path

from pathnet_rl.errors import UserError


def check_links(folder: Path) -> None:
    """Refuse a folder in which something lies elsewhere: it would be read, written or deleted there.

    The folder itself may be a link, as whoever names it chose.

    Raises:
        UserError: names the first such link.
    """
    root = os.path.realpath(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not (_only_read(path) or _below(root, os.path.realpath(path))):
                raise UserError(
                    f"{path} is a link out of the run's folder, to {path.readlink()}; put what it leads to in"
                    " its place, or delete it"
                )


def _only_read(path: Path) -> bool:
    """A finished checkpoint that somebody has moved and linked: such a one is never written nor deleted."""
    return path.parent.parent.name == "checkpoints" and path.suffix != ".unfinished"


def _below(root: str, path: str) -> bool:
    return path.startswith(f"{root}{os.sep}")
