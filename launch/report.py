"""Put many runs side by side on one page: `python -m launch.report runs/a runs/b --output report`.

Runs with the same tasks and options are replicates of one another, whatever their seeds and arms. The folder
gets report.html, which needs nothing beside itself, the pictures as PNG and the numbers as CSV.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from launch.command_line import from_options
from launch.display import terminal
from launch.signals import ends_with_one_line
from pathnet_rl.errors import UserError
from pathnet_rl.evidence.report import Written, write_report
from pathnet_rl.places import is_url
from pathnet_rl.remote import at_hand


@dataclass(frozen=True)
class Options:
    """What to report on, and where the report goes."""

    runs: tyro.conf.Positional[tuple[str | Path, ...]]
    """Run folders, or folders that hold them, such as runs or s3://bucket/runs."""
    output: Path = Path("report")
    """The folder to write; what an earlier report left there is replaced."""
    random_episodes: int = 20
    """Episodes of the random policy on each task; 0 takes published scores, where there are any."""
    imports: tuple[str, ...] = ()
    """Python modules that tasks of these runs may import, such as my_tasks: to import is to run code."""


def report(options: Options) -> Written:
    """Write the report.

    Raises:
        UserError: nothing to report on, or nowhere to write it.
    """
    if not options.runs:
        raise UserError("name the run folders to report on, such as runs")
    if options.random_episodes < 0:
        raise UserError("random_episodes must be at least 0")
    with contextlib.ExitStack() as open_copies:
        runs = {run: open_copies.enter_context(at_hand(run)) for run in options.runs}

        def shown(text: str) -> str:
            for place, copy in runs.items():
                text = text.replace(str(copy), str(place)) if is_url(str(place)) else text
            return text

        return write_report(
            list(runs.values()), options.output, options.random_episodes, shown, options.imports
        )


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.report RUN [RUN ...]`."""
    options = from_options(Options, "python -m launch.report", __doc__)
    console = terminal()
    try:
        written = report(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    for left_out in written.left_out:
        console.print(str(left_out), soft_wrap=True)
    for whole in written.wholes:
        where = f" ({whole.label})" if whole.label else ""
        tasks = "after another task" if whole.transfer else "from scratch"
        line = f"{whole.arm.value}{where}, {tasks}: relative area {whole.relative_area}"
        console.print(line, soft_wrap=True)
    console.print(str(written.page), soft_wrap=True)


if __name__ == "__main__":
    main()
