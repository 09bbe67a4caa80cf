"""The roles as actors: how they are made, called and waited for.

Hazard: an idle actor is not idle. Ray wakes its process 100 times a second to look for signals, which costs
a per cent of a CPU where timers are slow (virtual machines), and the workers their caches. So there
are no more actors than work needs.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import block_folder
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Coordinator
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid
from pathnet_rl.store import GridStore
from pathnet_rl.telemetry import Exchanges, Telemetry
from workers.courier import Courier
from workers.exchange_server import Address, ExchangeClient, ExchangeServer
from workers.memory import keep_freed_memory
from workers.parameter_server import ParameterServer
from workers.pathway_worker import PathwayWorker
from workers.ray_waits import answer, reason_of
from workers.signals import hear_sigterm

TELL_SECONDS = 1.0
"""How often a courier tells how exchanges go."""


def make_actor(
    role: type[Any], node: str, options: dict[str, Any], *arguments: object
) -> ActorHandle[Any]:
    """An actor of a role, on a node and no other; ray's types do not follow it from class to handle."""
    groups = getattr(role, "CONCURRENCY_GROUPS", {})
    options_of_class: dict[str, Any] = {"concurrency_groups": groups}
    wrapped: Any = ray.remote(**options_of_class)(role)
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    actor = wrapped.options(scheduling_strategy=where, **options).remote(*arguments)
    return cast("ActorHandle[Any]", actor)


class Waiting:
    """An actor's methods as plain calls that wait for their answer; `who` it is, for people."""

    def __init__(self, actor: ActorHandle[Any], who: str) -> None:
        self._actor, self._who = actor, who

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> Any:
            try:
                return answer(getattr(self._actor, name).remote(*arguments), self._who)
            except RayTaskError:
                raise
            except RayError as error:
                raise UserError(
                    f"{self._who}, which holds the run's state, died: {reason_of(error)}; the same command"
                    " goes on from the last checkpoint"
                ) from error

        return call


class Outbox(deque[Telemetry]):
    """What a worker tells the hub waits here for the way to the driver."""

    def empty(self) -> Iterator[Telemetry]:
        """Everything, in order, and nothing is left."""
        while self:
            yield self.popleft()


@dataclass(frozen=True)
class Order:
    """Have these pathways. Orders may overtake one another: the one with the highest number holds."""

    number: int
    pathways: tuple[int, ...]


class Orders:
    """Those that a worker was given, by another thread than the one that follows them."""

    def __init__(self) -> None:
        self._given = self._taken = Order(-1, ())

    def give(self, order: Order) -> None:
        self._given = max(self._given, order, key=lambda one: one.number)

    @property
    def new(self) -> bool:
        """There is one that has not been taken."""
        return self._given is not self._taken

    def take(self) -> tuple[int, ...]:
        """The pathways to have."""
        self._taken = self._given
        return self._taken.pathways


class WorkerActor:
    """A pathway worker in an actor, on the block of its node.

    The coordinator is looked up by its name: handles among an actor's constructor arguments are kept in the
    object store and may be lost before a restart needs them.
    """

    CONCURRENCY_GROUPS: ClassVar[dict[str, int]] = {"orders": 1}
    """Threads for calls that may be answered while a task is run."""

    def __init__(
        self,
        config: RunConfig,
        arm: Arm,
        index: int,
        grid: Grid,
        block: Path,
        coordinator: str,
    ) -> None:
        import torch

        torch.set_num_threads(1)
        self._index = index
        self._outbox, self._orders = Outbox(), Orders()
        self._made: Callable[[], PathwayWorker] = lambda: PathwayWorker(
            config,
            arm,
            index,
            (),
            GridStore.open(block, grid, config.learning, rmsprop_step(config)),
            cast("Coordinator", Waiting(ray.get_actor(coordinator), "the coordinator")),
            self._outbox.append,
        )

    @cached_property
    def _worker(self) -> PathwayWorker:
        """Made by the first call: an actor with threads whose constructor fails is aborted, at length."""
        return self._made()

    def __repr__(self) -> str:
        """What ray puts before lines that the process prints, with the process and the node."""
        return f"worker {self._index}"

    def process(self) -> int:
        """The id of the process that this is; another one after a restart. The worker is there then."""
        _ = self._worker
        return os.getpid()

    def run_task(self, orders: Order) -> Iterator[Telemetry]:
        """Work until the current task is over or stopped; yields what the worker tells on the way."""
        self._orders.give(orders)
        hear_sigterm()  # Or the simulators that environments start would not.
        try:
            self._worker.begin_task(self._orders.take())
            while self._worker.working:
                if hold := self._worker.come_to_rest():
                    yield from self._outbox.empty()
                    self._worker.rest(hold)
                    continue
                self._worker.step()
                if self._orders.new:
                    self._worker.have(self._orders.take())
                yield from self._outbox.empty()
            self._worker.deliver()
            self._worker.end_task()
        except Exception as error:
            self._worker.deliver()
            self._worker.tell()  # What it did before is done.
            yield from self._outbox.empty()
            where = f"worker {self._index} on {ray.util.get_node_ip_address()}"
            error.add_note(f"{where}, {self._worker.at_work_on}")
            raise
        yield from self._outbox.empty()

    @ray.method(concurrency_group="orders")
    def order(self, order: Order) -> None:
        """Have other pathways after the step that is under way."""
        self._orders.give(order)


class ServerActor:
    """The parameter server for other nodes, in an actor on the driver's."""

    def __init__(self, config: RunConfig, arm: Arm, grid: Grid, block: Path) -> None:
        keep_freed_memory()
        server = ParameterServer(config, arm, grid, block)
        self._network = ExchangeServer(server, ray.util.get_node_ip_address())

    def address(self) -> Address:
        """Where couriers find it."""
        return self._network.address


class CourierActor:
    """A courier in an actor of its node; the server is looked up by its name.

    `block` is the name of the node's, wherever blocks lie there.
    """

    CONCURRENCY_GROUPS: ClassVar[dict[str, int]] = {"telling": 1}
    """So that a task can end while it waits to tell."""

    def __init__(self, config: RunConfig, grid: Grid, block: str, server: str, cpus: int) -> None:
        keep_freed_memory()
        self._server = ray.get_actor(server)
        self._client = ExchangeClient(self._locate)
        self._made: Callable[[], Courier] = lambda: Courier(
            config, grid, block_folder() / block, self._client, cpus
        )

    def _locate(self) -> Address:
        """Where the server is now.

        Raises:
            ConnectionError: ray is starting it again.
        """
        try:
            return cast("Address", answer(self._server.address.remote(), "the server"))
        except ActorUnavailableError as error:
            raise ConnectionError(str(error)) from error

    @cached_property
    def _courier(self) -> Courier:
        """Made by the first call, as a worker is."""
        return self._made()

    def begin_task(self, slot: int) -> Path:
        """As `Courier.begin_task`."""
        return self._courier.begin_task(slot)

    def go_on(self) -> None:
        """As `Courier.go_on`."""
        self._courier.go_on()

    @ray.method(concurrency_group="telling")
    def tell(self) -> Exchanges:
        """As `Courier.tell`, after a while."""
        time.sleep(TELL_SECONDS)
        return self._courier.tell()

    def end_task(self) -> Exchanges:
        """As `Courier.end_task`."""
        return self._courier.end_task()

    def close(self) -> None:
        """As `Courier.close`."""
        self._client.close()
        self._courier.close()
