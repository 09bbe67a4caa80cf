"""The jobs of a ray cluster: `python -m launch.jobs list`, `follow JOB`, `stop JOB`."""

from __future__ import annotations

import datetime
import re
import sys
import time
from dataclasses import dataclass
from typing import Literal

import tyro
from rich.console import Console

from launch.command_line import from_options
from launch.display import terminal
from launch.ray_jobs import STOP_SECONDS, Jobs
from launch.signals import ends_with_one_line, status
from pathnet_rl.errors import UserError

LOOK_SECONDS = 0.5
"""Between two looks whether a job has ended."""
LATE_SECONDS = 30.0
"""Until a stopped job must have begun to stop; and after STOP_SECONDS, when ray kills it, have ended."""
OVER = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Options:
    """What to do with which job."""

    action: tyro.conf.Positional[Literal["list", "follow", "stop"]]
    """list all jobs, follow what one prints, or stop one: it saves first."""
    job: tyro.conf.Positional[str] = ""
    """The job's id."""


def print_jobs(jobs: Jobs, console: Console) -> None:
    """A line a job, the newest last: its id and status, when it began, how long it took, its command."""
    for job in jobs.all():
        began = (job.start_time or 0) / 1000
        end = job.end_time / 1000 if job.end_time else time.time()
        console.print(
            f"{job.submission_id or job.job_id}  {job.status.value}"
            f"  {datetime.datetime.fromtimestamp(began, datetime.UTC):%Y-%m-%d %H:%M} UTC"
            f"  {datetime.timedelta(seconds=round(end - began))}  {job.entrypoint}",
            soft_wrap=True,
        )


def follow(jobs: Jobs, name: str, console: Console) -> None:
    """Print what the job prints, until it ends.

    Raises:
        UserError: it failed, or there is no such job.
    """
    for text in jobs.follow(name):
        console.out(text, end="")
    status = jobs.status(name)
    console.print(f"{name}: {status}")
    if status == "FAILED":
        raise UserError(f"{name} failed; what it said stands above")


def stop(jobs: Jobs, name: str, console: Console) -> None:
    """Let the job save and end, and wait for that."""
    if not jobs.stop(name):
        console.print(f"{name} had ended: {jobs.status(name)}")
        return
    console.print(
        f"stopping {name}: it saves first, for at most {STOP_SECONDS} seconds", soft_wrap=True
    )
    asked = time.monotonic()
    while (status := jobs.status(name)) not in OVER:
        if status == "PENDING" and time.monotonic() > asked + LATE_SECONDS:
            raise UserError(
                f"{name} has not begun: no node has room for it, or the cluster is slow; it ends as soon as"
                " it begins"
            )
        if time.monotonic() > asked + STOP_SECONDS + LATE_SECONDS:
            raise UserError(
                f"{name} is still {status}; its node may be lost (make jobs, make logs)"
            )
        time.sleep(LOOK_SECONDS)
    console.print(
        f"{name}: {status}; submitting the same command again goes on with the run", soft_wrap=True
    )


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.jobs list|follow|stop [JOB]`."""
    console = terminal()
    options = from_options(Options, "python -m launch.jobs", __doc__)
    try:
        if options.action != "list" and not options.job:
            raise UserError("say which job: make jobs lists them, JOB= names one")
        if not re.fullmatch(r"[\w.-]*", options.job) or options.job.startswith("."):
            raise UserError(f"{options.job!r} is no job's id; make jobs lists them")
        jobs = Jobs()
        if options.action == "list":
            print_jobs(jobs, console)
        elif options.action == "follow":
            follow(jobs, options.job, console)
        else:
            stop(jobs, options.job, console)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as error:
        console.print("\nNo longer looking; the job goes on.")
        sys.exit(status(error))


if __name__ == "__main__":
    main()
