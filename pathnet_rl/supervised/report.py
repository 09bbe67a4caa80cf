"""The report of a supervised experiment: generations.csv, summary.json, a picture, TensorBoard events."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pathnet_rl.checkpoint import cannot_write, write_json
from pathnet_rl.events import make_writer, sign, written_by
from pathnet_rl.supervised.records import SeedResult
from pathnet_rl.supervised.summary import ArmSummary, final_accuracy, padded_curves

TAGS = ("accuracy/mean", "accuracy/low", "accuracy/high", "generations/by_seed")


def write_report(
    folder: Path,
    results: Sequence[SeedResult],
    summaries: Sequence[ArmSummary],
    limit: int,
    threshold: float | None,
    run: str | None = None,
) -> list[Path]:
    """Write what there is to look at into an experiment's folder; the files.

    Args:
        limit: of a task's generations. threshold: the accuracy that ends it, if one does.
        run: the experiment's identity; what it wrote before into TensorBoard's events is superseded.

    Raises:
        UserError: they cannot be written.
    """
    files = [folder / name for name in ("generations.csv", "summary.json", "results.png")]
    from pathnet_rl.supervised.figure import draw  # Slow to import, so late.

    try:
        write_csv(files[0], results)
        write_json(files[1], {"arms": [asdict(summary) for summary in summaries]})
        draw(results, limit, threshold).savefig(files[2])
        _write_events(folder / "tensorboard", results, run)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return [*files, folder / "tensorboard"]


def write_csv(path: Path, results: Sequence[SeedResult]) -> None:
    """One row a seed: everything but the learning curve, and the final accuracy."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        names = [name for name in SeedResult.__dataclass_fields__ if name != "accuracy"]
        rows.writerow([*names, "accuracy"])
        for result in results:
            fields = asdict(result)
            values = [int(v) if isinstance(v := fields[name], bool) else v for name in names]
            rows.writerow([*values, f"{final_accuracy(result):.5f}"])


def _write_events(folder: Path, results: Sequence[SeedResult], run: str | None) -> None:
    """TensorBoard: mean and middle 80% of the training accuracy against generations, an arm a run."""
    groups: dict[tuple[str, str], list[SeedResult]] = {}
    for result in results:
        groups.setdefault((result.sequence, result.arm), []).append(result)
    for (sequence, arm), mine in groups.items():
        path = folder / sequence.replace(">", "_to_") / arm
        superseded = [
            old for old in path.glob("events.*") if old.is_file() and written_by(old, run, TAGS)
        ]
        longest = max(len(result.accuracy) for result in mine)
        curves = padded_curves(mine, longest)
        low, high = np.quantile(curves, (0.1, 0.9), axis=0)
        with make_writer(path) as writer:
            for old in superseded:  # This report says everything that it said.
                old.unlink()
            sign(writer, run)
            for name, values in (("mean", curves.mean(0)), ("low", low), ("high", high)):
                for generation, value in enumerate(values, 1):
                    writer.add_scalar(f"accuracy/{name}", value, generation)
            for result in mine:
                writer.add_scalar("generations/by_seed", result.generations, result.seed)
