"""One run of the command line that things are done to: started, watched, started again the same way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pathnet_rl.run_folder import RunFolder
from pathnet_rl.store import GridStore
from tests.faults.invariants import TASK
from tests.progress import store_of
from tests.support import ROOT

CHECKPOINT_SECONDS = 2.0
PATIENCE = 180.0
LOOK_SECONDS = 0.02

Place = tuple[int, int]
"""Task and its agent steps."""


def title(process: psutil.Process) -> str:
    """What a process is called; nothing once it is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class FaultyRun:
    """A run of some tasks and workers in `folder`, on the cluster at `address` if there is one."""

    def __init__(
        self,
        folder: Path,
        name: str,
        workers: int,
        tasks: int,
        agent_steps: int,
        address: str | None,
    ) -> None:
        self.workers, self.address = workers, address
        self.arguments = (
            "cartpole", "--workers", str(workers), "--name", name, "--folder", str(folder), "--tasks",
            *(TASK,) * tasks, "--agent-steps", str(agent_steps), "--arms", "pathnet",
            "--learning.rollout-steps", "20", "--evolution.episodes", "40", "--report-seconds", "0.3",
            "--checkpoint-seconds", str(CHECKPOINT_SECONDS), "--checkpoints-kept", "100000",
        )  # fmt: skip
        self.path = folder / name
        self.log = folder / f"{name}.log"
        self.clock = 0.0
        self.cut: set[str] = set()
        self.starts = 0
        self._driver: subprocess.Popen[bytes] | None = None
        self._store: GridStore | None = None

    # The command -------------------------------------------------------------------------------

    def start(self) -> None:
        """Give the command."""
        environment = {**os.environ, "FAULTS_CLOCK": str(self.clock)}
        environment.pop("RAY_ADDRESS", None)
        if self.address is not None:
            environment["RAY_ADDRESS"] = self.address
        with self.log.open("ab") as log:
            log.write(b"--- start\n")
            log.flush()
            self._driver = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.train", *self.arguments],
                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.starts += 1
        self._store = None

    @property
    def driver(self) -> subprocess.Popen[bytes]:
        assert self._driver is not None
        return self._driver

    @property
    def ended(self) -> int | None:
        """The exit status, once there is one."""
        return self.driver.poll()

    @property
    def said(self) -> str:
        """What all starts printed."""
        return self.log.read_text(errors="replace")

    @property
    def folder(self) -> RunFolder:
        return RunFolder.existing(self.path)

    # What can be seen of it from outside -------------------------------------------------------

    def place(self) -> Place | None:
        """Where its block says that it is, if it has one already."""
        if self._store is None:
            with contextlib.suppress(psutil.Error):
                self._store = store_of(self.path, psutil.Process(self.driver.pid).create_time())
        return None if self._store is None else (self._store.task, self._store.agent_steps)

    def processes(self, role: str) -> list[psutil.Process]:
        """Those of a role, such as `WorkerActor`, oldest first, in the driver's cluster or this process's."""
        try:
            root = psutil.Process(os.getpid() if self.address else self.driver.pid)
            children = root.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        found = [process for process in children if title(process).startswith(f"ray::{role}")]
        return sorted(found, key=lambda process: process.pid)

    def at_work(self) -> bool:
        """All its workers are in a task."""
        return len(self.processes("WorkerActor.run_task")) == self.workers

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
        """Until it holds, or the command ends; how many seconds that took."""
        began = time.monotonic()
        while not condition() and self.ended is None:
            if time.monotonic() - began > seconds:
                raise AssertionError(
                    f"waited {seconds:.0f} seconds in vain for {what}; the last of what it said:\n"
                    + "\n".join(self.said.splitlines()[-20:])
                )
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    def wait_for_progress(self, since: Place | None = None) -> float:
        """Until all workers are at work and agent steps grow."""
        began = time.monotonic()
        self.wait(self.at_work, "workers at work")
        before = self.place() if since is None else since
        self.wait(lambda: (self.place() or (-1, 0)) > (before or (-1, 0)), "agent steps")
        return time.monotonic() - began

    def close(self) -> None:
        """End whatever is left of it."""
        if self._driver is not None and self.ended is None:
            for process in psutil.Process(self.driver.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self.driver.kill()
            self.driver.wait()
