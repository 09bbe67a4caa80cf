"""Submit a run as a job of a ray cluster: `python -m launch.submit launch.train laptop --seed 1`.

The cluster is the one whose job server RAY_API_SERVER_ADDRESS names (http://head:8265). The run's options are
checked here, then the code is uploaded. The same command again goes on with the run.
"""

from __future__ import annotations

import datetime
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from launch import compare, supervised, train
from launch.command_line import from_options
from launch.display import terminal
from launch.signals import ends_with_one_line
from pathnet_rl.errors import UserError
from pathnet_rl.places import FOLDER_VARIABLE, check_outlives_job

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Options:
    """Where the run's own process goes; its workers go wherever CPUs are free."""

    cpus: float = 0.0
    """CPUs that are kept for it, on any node; 0: it runs on the head node and keeps none."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels of the nodes that it may run on, such as pathnet driver."""


COMMANDS: dict[str, Callable[[list[str]], tuple[str, str]]] = {
    "launch.train": train.place_of,
    "launch.supervised": supervised.place_of,
    "launch.compare": compare.place_of,
}
"""What can be submitted: given a command line, checks it and says the run's folder and name."""


def submit(arguments: list[str], console: Console) -> str:
    """Submit what a command line says; the job's id.

    Raises:
        UserError: the command line is wrong, results would be lost, or the cluster does not take the job.
    """
    options, command, given = _split(arguments)
    folder, name = COMMANDS[command](given)
    check_outlives_job(folder)
    if not (CHECKOUT / "pyproject.toml").exists():
        raise UserError(f"{CHECKOUT} is no checkout of this project; submit from one")
    from launch.ray_jobs import Driver, Jobs, package

    jobs = Jobs()
    job = f"{name}-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    passed = {FOLDER_VARIABLE: os.environ.get(FOLDER_VARIABLE, "")}
    with package(CHECKOUT) as code:
        console.print(f"uploading {code.stat().st_size / 1e6:.1f} MB of code to {jobs.address}")
        jobs.submit(
            job,
            shlex.join(["python", "-m", command, *given]),
            code,
            {variable: value for variable, value in passed.items() if value},
            Driver(options.cpus, options.labels),
        )
    results = f"{folder}/{name}"
    for line in (
        f"submitted {job}",
        f"  follow it:    make logs JOB={job} ADDRESS={jobs.address}",
        f"  stop it:      make stop JOB={job} ADDRESS={jobs.address}",
        f"  all jobs:     make jobs ADDRESS={jobs.address}",
        f"  results:      {results}",
        f"  TensorBoard:  make tensorboard LOGDIR={shlex.quote(results)}",
        "The same command goes on with the run after it was stopped or killed.",
    ):
        console.print(line, soft_wrap=True)
    return job


def _split(arguments: list[str]) -> tuple[Options, str, list[str]]:
    """Options of this command, the command of the run, and its options."""
    at = next((n for n, word in enumerate(arguments) if word in COMMANDS), len(arguments))
    options = from_options(
        Options, "python -m launch.submit", f"{__doc__}\nCommands: {', '.join(COMMANDS)}.", arguments[:at]
    )  # fmt: skip
    if at == len(arguments):
        raise UserError(f"say what to run: {', '.join(COMMANDS)}, and its options")
    return options, arguments[at], arguments[at + 1 :]


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.submit [options] launch.train PRESET [options]`."""
    try:
        submit(sys.argv[1:], terminal())
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
