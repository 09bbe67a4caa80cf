"""The crew on ray: its actors, wrapped here and nowhere else.

Workers go wherever there are CPUs. On the driver's node they map the block; for those elsewhere, and only
if there are other nodes, an actor of the parameter server answers. The coordinator is an actor on the
driver's node; the server that freezes and saves and the metrics hub live in the driver's own process.

Hazard: an idle actor is not idle. Ray wakes its process 100 times a second to look for signals, which costs
a per cent of a CPU where timers are slow (virtual machines), and the workers their caches. So there
are no more actors than work needs.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pathnet_rl import crew
from pathnet_rl.arms import Arm
from pathnet_rl.block import block_path
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Coordinator, Store
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules
from pathnet_rl.grid import Grid
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Telemetry
from workers.coordinator import TournamentCoordinator
from workers.metrics_hub import MetricsHub
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker
from workers.ray_cluster import answer
from workers.remote_store import RemoteStore, ServerForWorkers

MOST_RESTARTS_IN_A_ROW = 5
"""A worker that dies this often without an agent step in between is a fault, not an accident."""
GREETING_SECONDS = 0.2
"""Between two attempts to reach a worker that ray is starting again."""


class Waiting:
    """An actor's methods as plain calls that wait for their answer."""

    def __init__(self, actor: ActorHandle[Any]) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> Any:
            return self._call(name, arguments)

        return call

    def _call(self, name: str, arguments: Sequence[object], returns: int = 1) -> Any:
        method = getattr(self._actor, name)
        if returns > 1:
            method = method.options(num_returns=returns)
        try:
            return answer(method.remote(*arguments))
        except ActorDiedError as error:
            raise UserError(
                f"an actor that holds the run's state died ({name} got no answer);"
                " the same command goes on from the last checkpoint"
            ) from error


class WaitingServer(Waiting):
    """The parameter server's; each parcel of a pull is a result of its own."""

    def pull(
        self, task: int, path: ActiveModules, always: ActiveModules, count: int
    ) -> Sequence[bytes]:
        parcels: Sequence[bytes] = self._call("pull", (task, path, always, count), count)
        return parcels


class Outbox(deque[Telemetry]):
    """What a worker tells the hub waits here for the way to the driver."""

    def empty(self) -> Iterator[Telemetry]:
        """Everything, in order, and nothing is left."""
        while self:
            yield self.popleft()


@dataclass(frozen=True)
class RoleNames:
    """The actors' names.

    Workers look the roles up: handles among an actor's constructor arguments are kept in the object
    store and may be lost before a restart needs them.
    """

    server: str
    coordinator: str


class WorkerActor:
    """A pathway worker in an actor: finds out which kind of store it can use where it runs."""

    def __init__(
        self,
        config: RunConfig,
        arm: Arm,
        index: int,
        pathways: Sequence[int],
        grid: Grid,
        block: Path,
        home: str,
        names: RoleNames,
    ) -> None:
        import torch

        torch.set_num_threads(1)
        self._store: Store
        self._remote: RemoteStore | None = None
        if ray.get_runtime_context().get_node_id() == home:
            self._store = GridStore.open(block, grid, config.learning, rmsprop_step(config))
        else:
            self._store = self._remote = RemoteStore(
                cast("ServerForWorkers", WaitingServer(ray.get_actor(names.server))), grid
            )
        self._outbox = Outbox()
        self._worker = PathwayWorker(
            config,
            arm,
            index,
            pathways,
            self._store,
            cast("Coordinator", Waiting(ray.get_actor(names.coordinator))),
            self._outbox.append,
        )

    def process(self) -> int:
        """The id of the process that this is; another one after a restart."""
        return os.getpid()

    def run_task(self) -> Iterator[Telemetry]:
        """Work until the current task is over or stopped; yields what the worker tells on the way."""
        if self._remote is not None:
            self._remote.refresh()
        self._worker.begin_task()
        while self._worker.working:
            self._worker.step()
            yield from self._outbox.empty()
        self._worker.end_task()
        yield from self._outbox.empty()


def _actor(
    role: type[Any], options: dict[str, Any], arguments: tuple[object, ...]
) -> ActorHandle[Any]:
    """An actor of a role; ray's types do not follow it from the class to the handle."""
    return cast("ActorHandle[Any]", ray.remote(role).options(**options).remote(*arguments))


class RayCrew:
    """A `crew.Crew` of actors. `ray_cluster.connect` first."""

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, workers: int) -> None:
        self.restarts = 0
        self.hub = MetricsHub(config, arm)
        block = block_path(config, arm)
        block.unlink(missing_ok=True)
        home = ray.get_runtime_context().get_node_id()
        here = {"scheduling_strategy": NodeAffinitySchedulingStrategy(home, soft=False)}
        names = RoleNames(*(f"{block.stem}-{role}" for role in ("server", "coordinator")))
        role = {"num_cpus": 0, **here}
        self.server = ParameterServer(config, arm, grid, block)
        self.store = GridStore.open(block, grid, config.learning)
        coordinator = _actor(
            TournamentCoordinator, {"name": names.coordinator, **role}, (config, arm)
        )
        self.coordinator = cast("crew.Coordinator", Waiting(coordinator))
        self._actors = [coordinator]
        alone = all(node["NodeID"] == home for node in ray.nodes() if node["Alive"])
        if not alone:
            self._actors.append(
                _actor(
                    ParameterServer,
                    {"name": names.server, "max_restarts": -1, **role},
                    (config, arm, grid, block),
                )
            )
        population = config.evolution.population
        gpus = ray.cluster_resources().get("GPU", 0) if config.device == "cuda" else 0
        share = min(1.0, gpus / workers)
        self._workers = [
            _actor(
                WorkerActor,
                # Alone, a worker stays where the block is, even if a node joins and it is restarted.
                {"num_cpus": 1, "num_gpus": share, "max_restarts": -1, **(here if alone else {})},
                (config, arm, index, range(index, population, workers), grid, block, home, names),
            )
            for index in range(workers)
        ]
        self._actors += self._workers
        self._greeted: dict[ray.ObjectRef[int], int] = {}
        self._running: dict[ray.ObjectRefGenerator[Telemetry], int] = {}
        self._processes: dict[int, int] = {}
        self._fruitless = 0
        self._steps_at_restart = 0

    def start(self) -> None:
        for index in range(len(self._workers)):
            self._greet(index)

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while (pending := [*self._greeted, *self._running]) and time.monotonic() < until:
            left = max(0.0, until - time.monotonic())
            done, _ = ray.wait(pending, num_returns=1, timeout=left)
            for reference in done:
                if reference in self._greeted:
                    self._meet(reference)
                else:
                    self._listen(reference)
        return not pending

    def _greet(self, index: int) -> None:
        """Ask a worker which process it is: once it answers it is there, anew or as before."""
        self._greeted[self._workers[index].process.remote()] = index

    def _meet(self, reference: ray.ObjectRef[int]) -> None:
        """A worker answered the greeting, and is set to work; or it died."""
        index = self._greeted.pop(reference)
        try:
            process = answer(reference)
        except ActorDiedError as error:
            raise UserError(f"a worker cannot be started: {error}") from error
        except ActorUnavailableError:
            self._greet_again(index)
            return
        if process != self._processes.setdefault(index, process):
            self._note_restart()
            self._processes[index] = process
        self._running[self._workers[index].run_task.remote()] = index

    def _listen(self, told: ray.ObjectRefGenerator[Telemetry]) -> None:
        """A worker told something, came to the end of the task, or died on the way."""
        try:
            self.hub.record(answer(next(told)))
        except StopIteration:
            del self._running[told]
        except (ActorDiedError, ActorUnavailableError):
            self._greet_again(self._running.pop(told))

    def _greet_again(self, index: int) -> None:
        if not (self.store.over or self.store.stopped):
            time.sleep(GREETING_SECONDS)
            self._greet(index)

    def _note_restart(self) -> None:
        self.restarts += 1
        steps = self.store.agent_steps
        self._fruitless = self._fruitless + 1 if steps == self._steps_at_restart else 1
        self._steps_at_restart = steps
        if self._fruitless > MOST_RESTARTS_IN_A_ROW:
            raise UserError(
                f"workers died {self._fruitless} times without an agent step in between; the log of"
                " one is among ray's in /tmp/ray/session_latest/logs"
            )

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self.store.remove()
        self.hub.close()
