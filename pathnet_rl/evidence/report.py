"""From run folders to a folder with one page, its pictures and its tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathnet_rl.errors import UserError
from pathnet_rl.evidence.chance import measured
from pathnet_rl.evidence.page import Content, write
from pathnet_rl.evidence.pictures import draw_all
from pathnet_rl.evidence.replicates import grouped
from pathnet_rl.evidence.runs import NotIncluded, read_runs
from pathnet_rl.evidence.summary import Whole, matrices, measure_all, random_means, wholes
from pathnet_rl.evidence.tables import write_tables

PAGE = "report.html"


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
        _clear(folder)
        keys = [key for group in groups for key in zip(group.tasks, group.rules, strict=True)]
        returns, silent = measured(keys, folder / "random_policy.csv", random_episodes, imports)
        random = random_means(groups, returns)
        measures = measure_all(groups, random)
        total, found = wholes(measures), matrices(measures)
        pictures = draw_all(groups, measures, found)
        files = ["random_policy.csv", *write_tables(folder, groups, measures, total, found)]
        for picture in pictures:
            files.append(f"{picture.file}.png")
            picture.figure.savefig(folder / files[-1])
        content = Content(groups, kept, left_out, measures, total, random, silent, pictures, files)
        (folder / PAGE).write_text(write(content), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror}; choose another --output"
        ) from error
    return Written(folder / PAGE, files, total, left_out)


def _clear(folder: Path) -> None:
    """Delete the pictures of an earlier report: this one may have fewer."""
    if (folder / PAGE).exists():
        for pattern in (
            "curves_*.png",
            "curve_matrix_*.png",
            "paths_*.png",
            "transfer_matrix_*.png",
        ):
            for old in folder.glob(pattern):
                old.unlink()
