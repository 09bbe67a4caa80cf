"""The crew on ray: pathway workers wherever there are CPUs, each on the block of its node.

The server that freezes and saves and the metrics hub live in the driver's own process; the coordinator is an
actor on the driver's node. If there are other nodes, one more actor there exchanges with their couriers what
nodes did. Nodes may come and go: the population is shared out among the workers that there are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError

from pathnet_rl import crew
from pathnet_rl.arms import Arm
from pathnet_rl.block_files import new_block_path, remove_blocks_of
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Exchanges
from workers.kept_state import KeptState
from workers.metrics_hub import MetricsHub
from workers.parameter_server import ParameterServer
from workers.ray_actors import (
    Order,
    ServerActor,
    Waiting,
    WorkerActor,
    make_actor,
)
from workers.ray_coordinator import CoordinatorActor
from workers.ray_metrics import RunMetrics
from workers.ray_nodes import Node, Nodes
from workers.ray_staff import Heard, Staff
from workers.ray_waits import Patience, Silent, about_cpus, reason_of
from workers.restarts import Restarts
from workers.shares import Shares, spread

GREETING_SECONDS = 0.2
"""Between two attempts to reach a worker that ray is starting again."""
LOOK_SECONDS = 2.0
"""Between two looks at which nodes there are."""


class RayCrew:
    """A `crew.Crew` of actors. `ray_cluster.connect` first.

    Args:
        workers: how many; if not given, one a CPU of the cluster as it is at any time.
    """

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, workers: int | None = None) -> None:
        self._config, self._arm, self._grid, self._wanted = config, arm, grid, workers
        self._restarts = Restarts()
        self.hub = MetricsHub(config, arm)
        remove_blocks_of(config, arm)
        self._block = new_block_path(config, arm)
        mapped = (config, arm, grid, self._block)
        self.server = ParameterServer(*mapped)
        self.store = GridStore.open(self._block, grid, config.learning)
        self._metrics = RunMetrics(arm)
        self._nodes = Nodes(config, grid, self._block, self._server_name)
        self._roles: dict[str, ActorHandle[Any]] = {}
        coordinator = self._role("coordinator", CoordinatorActor, CoordinatorActor.OPTIONS, *mapped)
        self._kept = KeptState(self._block)
        self.coordinator = cast("crew.Coordinator", Waiting(coordinator, "the coordinator"))
        self._staff = Staff()
        self._patience = Patience(lambda: about_cpus(self._staff.expected_back, len(self._staff)))
        self._shares = Shares(config.evolution.population)
        self._orders = self._holds = 0
        self._failure: UserError | None = None
        self._notes: list[str] = []
        self._looked = time.monotonic()

    def _role(
        self, name: str, role: type[Any], options: dict[str, Any], *arguments: object
    ) -> ActorHandle[Any]:
        """An actor on this node, with a name by which others find it."""
        options = {"name": f"{self._block.stem}-{name}", "num_cpus": 0, **options}
        self._roles[name] = make_actor(role, self._nodes.home.identity, options, *arguments)
        return self._roles[name]

    def _server_name(self) -> str:
        """Of the parameter server's actor on this node's block, which couriers call."""
        if "server" not in self._roles:
            arguments = (self._config, self._arm, self._grid, self._block)
            self._role("server", ServerActor, {"max_restarts": -1}, *arguments)
        return f"{self._block.stem}-server"

    # What the driver asks for ----------------------------------------------------------------------

    def start(self) -> None:
        self._nodes.begin_task()
        self._look()
        self._shares.begin(sorted(number for node in self._nodes for number in node.workers))
        self._employ(self._nodes.home)

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            if self._failure is not None:
                raise self._failure
            self._look_if_due()
            if self._done and not self._staff.at_work:
                self._nodes.end_task()
                return True
            left = until - time.monotonic()
            if left <= 0.0:
                return False
            self._hear(min(left, LOOK_SECONDS))

    @contextlib.contextmanager
    def at_rest(self, seconds: float) -> Iterator[list[str]]:
        self._holds += 1
        self.store.hold = self._holds
        until = time.monotonic() + seconds
        try:
            while (late := self._staff.not_at_rest(self._holds)) and time.monotonic() < until:
                try:
                    # A head that is silent would be waited for until ray ends this process.
                    if self._failure is None:
                        self._look_if_due()
                    self._hear(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
                except UserError as error:  # One worker less, and the others' moment all the same.
                    self._failure = error
            yield [f"worker {number} on {self._address_of(number)}" for number in late]
        finally:
            self.store.hold = 0

    @property
    def restarts(self) -> int:
        return self._restarts.count + self._kept.deaths

    def notes(self) -> list[str]:
        """What people should know, since this was last asked."""
        told, self._notes = self._notes, []
        return told

    def exchanges(self) -> Exchanges:
        """What nodes exchanged since this was last asked."""
        task = self._config.tasks[self.store.task]
        told = self._nodes.take_exchanges()
        for address, exchanges in told.items():
            self._metrics.exchanged(address, task, exchanges)
        return sum(told.values(), Exchanges())

    def close(self) -> None:
        self._staff.close()
        self._nodes.close()  # Couriers that are about to begin still call the server.
        for role in self._roles.values():
            ray.kill(role)
        self.store.remove()
        self.hub.close()

    # Nodes -----------------------------------------------------------------------------------------

    def _look_if_due(self) -> None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        """See which nodes have left and which have come, and have as many workers as there is room for."""
        self._looked = time.monotonic()
        self._notes += self._kept.news()
        try:
            gone = self._nodes.look()
        except Silent as error:
            self._failure = error
            raise
        for node in gone:
            self._lose(node)
        nodes = list(self._nodes)
        missing = self._most - sum(len(node.workers) for node in nodes)
        free = [node.cpus - len(node.workers) for node in nodes]
        for node, count in zip(nodes, spread(max(0, missing), free), strict=True):
            taken = {number for each in nodes for number in each.workers}
            numbers = [n for n in range(len(taken) + count) if n not in taken][:count]
            node.workers.update(numbers)
            if node.workers and not (node.ready or self._nodes.arriving(node)):
                self._nodes.arrive(node)
            elif count and node.ready and not self._done:
                self._employ(node)

    @property
    def _done(self) -> bool:
        return self.store.over or self.store.stopped

    @property
    def _most(self) -> int:
        """Workers to have, given the nodes that there are."""
        cpus = sum(node.cpus for node in self._nodes)
        wanted = cpus if self._wanted is None else self._wanted
        return min(wanted, cpus, self._config.evolution.population)

    def _lose(self, node: Node) -> None:
        """A node is gone: others get what its workers had."""
        if node is self._nodes.home:
            raise UserError("ray's own process on this machine died (its raylet), and its workers")
        if not node.workers:
            return
        changed: set[int] = set()
        self._staff.dismiss(node.workers)
        for number in node.workers & set(self._shares.workers):
            changed |= set(self._shares.leave(number))
        changed -= node.workers
        self._order(changed)
        others = f"{len(changed)} other worker{'s take' if len(changed) > 1 else ' takes'}"
        self._notes.append(f"node {node.address} is gone; {others} over its pathways")

    def _note_arrival(self, node: Node) -> None:
        if not all(number in self._staff for number in node.workers):
            self._notes.append(node.arrival)

    # Workers ---------------------------------------------------------------------------------------

    def _employ(self, node: Node) -> None:
        """Greet a node's workers that are not at work; those that are new are made first."""
        share = node.gpu_share(min(node.cpus, self._most))  # More workers may come to this node.
        options = {"num_cpus": 1, "num_gpus": share, "max_restarts": -1}
        coordinator = f"{self._block.stem}-coordinator"
        for number in sorted(node.workers):
            if number not in self._staff:
                worker = make_actor(
                    WorkerActor, node.identity, options,
                    self._config, self._arm, number, self._grid, node.block, coordinator,
                )  # fmt: skip
                self._staff.take_on(number, worker)
            if not self._staff.expected(number):
                self._staff.greet(number)

    def _order(self, changed: Iterable[int]) -> None:
        """Tell workers that are at work which pathways they have now."""
        for number in set(changed) & self._staff.at_work:
            self._staff.order(number, self._pathways(number))

    def _pathways(self, number: int) -> Order:
        self._orders += 1
        return Order(self._orders, tuple(self._shares[number]))

    def _hear(self, seconds: float) -> None:
        """Wait for what workers and couriers have to say."""
        of_workers = self._staff.pending
        pending = [*of_workers, *self._nodes.pending]
        if not pending:
            time.sleep(seconds)
            return
        staff = self._staff
        self._notes += self._patience.look(staff.expected_back > 0 and not staff.at_work)
        ready, _ = ray.wait(pending, num_returns=1, timeout=seconds)
        for reference in ready:
            if reference in of_workers:
                self._listen(self._staff.hear(reference))
                continue
            node = self._nodes.hear(reference)
            if node is not None and not self._done:
                self._note_arrival(node)
                self._employ(node)

    def _listen(self, heard: Heard) -> None:
        """A worker answered the greeting, told something, came to the end of the task, or died on the way."""
        if heard.telemetry is not None:
            self.hub.record(heard.telemetry)
            self._restarts.worked(heard.worker)
            task = self._config.tasks[heard.telemetry.task]
            self._metrics.worked(self._address_of(heard.worker), task, heard.telemetry)
        if heard.anew:
            self._note_restart(heard.worker)
        if heard.there and not self._done:
            if heard.worker not in self._shares.workers:
                self._order(self._shares.join(heard.worker))
            self._staff.set_to_work(heard.worker, self._pathways(heard.worker))
        if heard.death is not None:
            self._not_there(heard.worker, heard.death)

    def _not_there(self, number: int, error: RayError) -> None:
        """A worker does not answer: its node is gone, or ray starts it again."""
        self._restarts.died(reason_of(error))
        self._look()
        if number not in self._staff or self._done:
            return
        if isinstance(error, ActorDiedError) and number not in self._staff.processes:
            raise UserError(f"a worker cannot be started: {reason_of(error)}") from error
        time.sleep(GREETING_SECONDS)
        self._staff.greet(number)

    def _address_of(self, number: int) -> str:
        (address,) = (node.address for node in self._nodes if number in node.workers)
        return address

    def _note_restart(self, number: int) -> None:
        address = self._address_of(number)
        self._metrics.restarted(address, self._config.tasks[self.store.task])
        self._notes.append(f"worker {number} on {address} died and was started again")
        self._restarts.note(number, self.store.agent_steps)
