"""A run at full load for hours: whether memory, open files, threads and the rate stay as they are.

`python -m tests.soak --hours 2`. Every so often all processes of the run are counted; slopes are of straight
lines through the counts after the first tenth, in which everything is still being made.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table

from pathnet_rl.block_files import block_folder
from pathnet_rl.checkpoint import write_json
from pathnet_rl.provenance import provenance
from pathnet_rl.store import GridStore
from tests.events import read_steps
from tests.progress import store_of
from tests.support import ROOT

STOP_SECONDS = 120.0
UNITS = {
    "memory": "MiB", "driver's memory": "MiB", "workers' memory": "MiB", "ray's memory": "MiB",
    "ray's threads": "", "files": "", "threads": "", "processes": "",
    "shared memory": "MiB", "rate": "agent steps/s", "rate a CPU": "agent steps/CPU-s",
}  # fmt: skip
"""What is counted: resident, of all processes; descriptors; in the blocks' folder; since the last count. The
rate a CPU is that of a machine with nothing else to do."""


@dataclass(frozen=True)
class Options:
    """What is run, and for how long."""

    hours: float = 2.0
    """Until it is stopped by SIGINT."""
    preset: str = "laptop"
    """Whose grid, population and learning."""
    task: str = "ALE/Pong-v5"
    """What is learned."""
    every: float = 15.0
    """Seconds between two counts."""
    output: Path | None = None
    """A JSON file of all counts."""


def main() -> None:
    """The command line."""
    options = tyro.cli(Options, prog="python -m tests.soak", description=__doc__)
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="pathnet-rl-soak-") as folder:
        counts, status = soak(options, Path(folder))
        points = points_of(Path(folder) / "soak")
    console.print(show(counts))
    console.print(f"exit status after SIGINT: {status}; TensorBoard reads {points:,} points")
    if options.output is not None:
        told = {"hours": options.hours, "preset": options.preset, "task": options.task}
        write_json(options.output, {**told, "provenance": provenance(), "counts": counts})
    sys.exit(0 if status == 128 + signal.SIGINT and points else 1)


def soak(options: Options, folder: Path) -> tuple[dict[str, list[float]], int]:
    """The counts, by what is counted and `seconds`; the exit status of a run that was stopped then."""
    with (folder / "log").open("wb") as log:
        run = subprocess.Popen(
            [
                sys.executable, "-m", "launch.train", options.preset, "--folder", str(folder), "--name",
                "soak", "--tasks", options.task, "--agent-steps", "1000000000", "--arms", "pathnet",
            ],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            counts = watch(run, folder / "soak", options)
            run.send_signal(signal.SIGINT)
            return counts, run.wait(STOP_SECONDS)
        finally:
            if run.poll() is None:
                for process in psutil.Process(run.pid).children(recursive=True):
                    process.kill()
                run.kill()


def watch(run: subprocess.Popen[bytes], path: Path, options: Options) -> dict[str, list[float]]:
    """Count until the time is over."""
    counts: dict[str, list[float]] = {name: [] for name in ("seconds", *UNITS)}
    began = time.monotonic()
    store: GridStore | None = None
    before = np.zeros(3)
    while time.monotonic() - began < 3600.0 * options.hours:
        time.sleep(options.every)
        if run.poll() is not None:
            sys.exit(f"error: the run ended with {run.returncode}: see {path.parent / 'log'}")
        if store is None:
            store = store_of(path)
            continue
        found = count(psutil.Process(run.pid))
        now = np.array([time.monotonic() - began, found.pop("CPU-seconds"), store.agent_steps])
        seconds, cpu_seconds, steps = (now - before).tolist()
        before = now
        found |= {"seconds": now[0], "rate": steps / seconds, "rate a CPU": steps / cpu_seconds}
        for name, value in found.items():
            counts[name].append(float(value))
    return counts


def count(driver: psutil.Process) -> dict[str, float]:
    """What all processes of a run have now, and the CPU-seconds that they have taken."""
    found = {name: 0.0 for name in (*UNITS, "CPU-seconds") if not name.startswith("rate")}
    for process in (driver, *driver.children(recursive=True)):
        with contextlib.suppress(psutil.Error), process.oneshot():
            memory = process.memory_info()
            own, threads = (memory.rss - memory.shared) / 2**20, process.num_threads()
            whose = _whose(process, driver)
            found["memory"] += own
            found[f"{whose}'s memory" if whose != "workers" else "workers' memory"] += own
            found["ray's threads"] += threads if whose == "ray" else 0
            found["files"] += process.num_fds()
            found["threads"] += threads
            found["processes"] += 1
            used = process.cpu_times()
            found["CPU-seconds"] += used.user + used.system
    lying = block_folder().glob("pathnet-rl-*")
    found["shared memory"] = sum(path.stat().st_blocks * 512 for path in lying) / 2**20
    return found


def _whose(process: psutil.Process, driver: psutil.Process) -> str:
    """Workers and the coordinator are ours; whatever else the driver has started is ray's own."""
    if process == driver:
        return "driver"
    command = " ".join(process.cmdline())
    return "workers" if command.startswith(("ray::Worker", "ray::Coordinator")) else "ray"


def show(counts: dict[str, list[float]]) -> Table:
    """A row for each thing that is counted: at first, at last, and the slope with its standard error."""
    hours = np.array(counts["seconds"]) / 3600.0
    later = hours >= hours[-1] / 10.0
    table = Table(title=f"{hours[-1]:.2f} hours, {len(hours)} counts")
    for words in ("of all processes", "median of the first tenth", "of the last", "slope an hour"):
        table.add_column(words, justify="left" if words.startswith("of all") else "right")
    tenth = max(1, len(hours) // 10)
    for name, unit in UNITS.items():
        values = np.array(counts[name])
        slope, error = line(hours[later], values[later])
        table.add_row(
            f"{name} {unit}".strip(), f"{np.median(values[:tenth]):,.1f}",
            f"{np.median(values[-tenth:]):,.1f}", f"{slope:+,.2f} ± {error:,.2f}",
        )  # fmt: skip
    return table


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of a straight line through points, and its standard error."""
    from scipy.stats import linregress

    found = linregress(x, y)
    return float(found.slope), float(found.stderr)


def points_of(path: Path) -> int:
    """How many points TensorBoard reads of a run's events."""
    folders = {file.parent for file in path.rglob("events.*")}
    return sum(len(steps) for folder in folders for steps in read_steps(folder).values())


if __name__ == "__main__":
    main()
