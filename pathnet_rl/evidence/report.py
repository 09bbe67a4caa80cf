"""From run folders to a folder with one page, its pictures and its tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathnet_rl.checkpoint import write_whole
from pathnet_rl.errors import UserError
from pathnet_rl.evidence.chance import measured
from pathnet_rl.evidence.html import GENERATOR
from pathnet_rl.evidence.page import Content, write
from pathnet_rl.evidence.pictures import draw_all
from pathnet_rl.evidence.replicates import grouped
from pathnet_rl.evidence.runs import NotIncluded, read_runs
from pathnet_rl.evidence.style import STYLE
from pathnet_rl.evidence.summary import Whole, matrices, measure_all, random_means, wholes
from pathnet_rl.evidence.tables import make_tables, write_tables

PAGE, POLICY = "report.html", "random_policy.csv"
MADE_BY = {"Software": "pathnet-rl"}
"""What a picture says of itself."""
_MARK = b"Software\0pathnet-rl"


@dataclass(frozen=True)
class Written:
    """What was written, and what is not in it."""

    page: Path
    files: Sequence[str]
    wholes: Sequence[Whole]
    left_out: Sequence[NotIncluded]


def write_report(
    runs: Sequence[Path],
    folder: Path,
    random_episodes: int,
    shown: Callable[[str], str] = str,
    imports: Collection[str] = (),
) -> Written:
    """Read the runs and write the report.

    Args:
        random_episodes: of the random policy on each task; 0 plays none.
        shown: a text with paths of runs, as people find them.
        imports: modules that tasks may import, if the random policy plays them.

    Raises:
        UserError: none of the runs can be used, or the folder cannot be written.
    """
    records, left_out = read_runs(runs, shown)
    groups, repeated = grouped(records)
    left_out += repeated
    if not groups:
        raise UserError(
            f"none of the runs can be reported on; {left_out[0] if left_out else 'name some run folders'}"
        )
    kept = [r for group in groups for seeds in group.records.values() for r in seeds.values()]
    if (folder / "config.json").exists():
        raise UserError(f"{folder} is a run's own folder; choose another --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_page(folder / PAGE)
        keys = [key for group in groups for key in zip(group.tasks, group.rules, strict=True)]
        returns, silent = measured(keys, folder / POLICY, random_episodes, imports)
        random = random_means(groups, returns)
        measures = measure_all(groups, random)
        total, found = wholes(measures), matrices(measures)
        tables = make_tables(groups, measures, total, found)
        pictures = draw_all(groups, measures, found)
        files = [POLICY, *tables, *(f"{picture.file}.png" for picture in pictures)]
        _make_room(folder, files)
        content = Content(groups, kept, left_out, measures, total, random, silent, pictures, files)
        # First: it says that the folder is a report's.
        write_whole(folder / PAGE, write(content).encode())
        write_tables(folder, tables)
        for picture in pictures:
            picture.figure.savefig(folder / f"{picture.file}.png", metadata=MADE_BY)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror}; choose another --output"
        ) from error
    return Written(folder / PAGE, files, total, left_out)


def _check_page(page: Path) -> None:
    """Refuse to write where the page is another program's."""
    if page.exists() and not _is_ours(page):
        raise UserError(f"{page} is no report of this program; choose another --output")


def _is_ours(page: Path) -> bool:
    head = page.read_text(encoding="utf-8", errors="replace")[:1000]
    # Pages of before said so in their style alone.
    return GENERATOR in head or STYLE[:100] in head


def _make_room(folder: Path, files: Sequence[str]) -> None:
    """Delete the pictures of an earlier report, since this one may have fewer.

    Raises:
        UserError: there was none, and files of somebody else's would be overwritten.
    """
    if not (folder / PAGE).exists():
        others = [name for name in files if name != POLICY and (folder / name).exists()]
        if others:
            raise UserError(
                f"{folder} is no report's folder and has {', '.join(others)}; choose another --output"
            )
    for old in folder.glob("*.png"):
        with old.open("rb") as file:
            if _MARK in file.read(500):
                old.unlink()
