"""What is done to a run: each kind does it, and says what may be lost by it."""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from tests.faults.run import FaultyRun

TELLING_SECONDS = 1.5
"""A worker that dies has not told what it did since it last told: a second, and a rollout."""
WITHOUT_LIMIT = -1


@dataclass(frozen=True)
class Means:
    """What a kind works with.

    Attributes:
        cluster: of several nodes; None on ray of this machine alone. stop_seconds: of SIGSTOP.
    """

    run: FaultyRun
    random: random.Random
    stop_seconds: float
    cluster: Any = None


@dataclass(frozen=True)
class Kind:
    """Of fault.

    Attributes:
        do: does it. ends: the command ends by it, and is given again.
        telling: seconds of so many workers of which the rows may be lost.
        on_nodes: it needs a cluster of several nodes.
    """

    name: str
    do: Callable[[Means], None]
    ends: bool = False
    telling: float = 0.0
    on_nodes: bool = False


class NobodyThere(Exception):
    """The run has ended meanwhile: there is nothing that this could be done to."""


def _processes(means: Means, role: str) -> list[psutil.Process]:
    found = means.run.processes(role)
    if not found:
        raise NobodyThere
    return found


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _worker(means: Means) -> None:
    _kill([means.random.choice(_processes(means, "WorkerActor"))])


def _workers(means: Means) -> None:
    _kill(_processes(means, "WorkerActor"))


def _of_role(role: str) -> Callable[[Means], None]:
    return lambda means: _kill(_processes(means, role)[:1])


def _driver(means: Means) -> None:
    means.run.driver.kill()
    means.run.driver.wait()


def _raylet(means: Means) -> None:
    driver = psutil.Process(means.run.driver.pid)
    _kill([p for p in driver.children(recursive=True) if p.name() == "raylet"])


def _node(means: Means) -> None:
    """One that is not the driver's dies with all its processes; another one comes."""
    others = list(means.cluster.worker_nodes)
    means.cluster.remove_node(means.random.choice(others), allow_graceful=False)
    means.cluster.add_node(num_cpus=1)


def _stopped(process: psutil.Process, seconds: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # The run may end meanwhile, or have ended.
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)


def _stop_worker(means: Means) -> None:
    _stopped(means.random.choice(_processes(means, "WorkerActor")), means.stop_seconds)


def _stop_driver(means: Means) -> None:
    _stopped(psutil.Process(means.run.driver.pid), means.stop_seconds)


def _full_disk(means: Means) -> None:
    """No file of the driver's may grow, until it has ended by that."""
    with _no_file_grows(means.run.driver.pid):
        means.run.wait(lambda: False, "the run to end by a full disk")


@contextlib.contextmanager
def _no_file_grows(process: int) -> Iterator[None]:
    resource.prlimit(process, resource.RLIMIT_FSIZE, (1000, WITHOUT_LIMIT))
    yield


def _cut(means: Means) -> None:
    """The driver dies, and of its newest checkpoint only a part is there."""
    _driver(means)
    saved = checkpoint.list_checkpoints(means.run.folder.checkpoints(Arm.PATHNET))
    if len(saved) > 1:
        means.run.cut.add(saved[-1].name)
        block = saved[-1] / "block.safetensors"
        block.write_bytes(block.read_bytes()[: means.random.randrange(block.stat().st_size)])


def _clock(means: Means) -> None:
    """The driver dies, and the clock is a day before or after when it is started again."""
    _driver(means)
    means.run.clock += means.random.choice((-86_400.0, 86_400.0))


HERE = (
    Kind("SIGKILL of a worker", _worker, telling=TELLING_SECONDS),
    Kind("SIGKILL of all workers at once", _workers, telling=2 * TELLING_SECONDS),
    Kind("SIGKILL of the coordinator", _of_role("TapedCoordinator")),
    Kind("SIGKILL of the driver, with it hub and server", _driver, ends=True),
    Kind("SIGKILL of ray's raylet", _raylet, ends=True),
    Kind("SIGSTOP of a worker", _stop_worker),
    Kind("SIGSTOP of the driver", _stop_driver),
    Kind("a full disk during a checkpoint", _full_disk, ends=True),
    Kind("SIGKILL of the driver, its newest checkpoint cut", _cut, ends=True),
    Kind("SIGKILL of the driver, the clock set", _clock, ends=True),
)
"""On one machine."""

ON_NODES = (
    Kind("SIGKILL of the server for other nodes", _of_role("ServerActor")),
    Kind("SIGKILL of a courier", _of_role("CourierActor")),
    Kind("death of a node", _node, telling=TELLING_SECONDS),
    Kind("SIGKILL of a worker, on several nodes", _worker, telling=TELLING_SECONDS),
    Kind("SIGKILL of the driver, on several nodes", _driver, ends=True),
)
"""On a cluster of several nodes."""
