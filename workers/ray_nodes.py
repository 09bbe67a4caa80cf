"""The nodes of a cluster that work for a run: each has a block that its workers map, and a courier."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from pathnet_rl.block import SLOTS
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid
from pathnet_rl.telemetry import Exchanges
from workers.ray_actors import CourierActor, make_actor
from workers.ray_waits import Silent, answer, ask_head

_logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""How long couriers may take to clear up."""
END_SECONDS = 60.0
"""How long they may take to tell what their node did last; then its node counts as lost."""


@dataclass
class Node:
    """One of the cluster.

    Attributes:
        identity, address: as ray has them. cpus: all it has that workers may have. gpus: for `--device cuda`.
        block: where its workers find it. courier: None on the driver's node.
        ready: for workers; other nodes are once they have taken over the task's block.
        workers: their numbers.
    """

    identity: str
    address: str
    cpus: int
    gpus: int = 0
    block: Path | None = None
    courier: ActorHandle[Any] | None = None
    ready: bool = False
    workers: set[int] = field(default_factory=set)

    @property
    def arrival(self) -> str:
        """Said of it when it has come."""
        count = len(self.workers)
        workers = f"{count} worker{'s' if count > 1 else ''}"
        return f"a node has come: {self.address}, with {workers}"

    def gpu_share(self, workers: int) -> float:
        """What each of so many workers asks ray for, so that all find room.

        Of a GPU ray gives a worker all or a part, in ten thousandths, and never parts of two.
        """
        if not (self.gpus and workers):
            return 0.0
        return 10_000 // math.ceil(workers / self.gpus) / 10_000


def room_for_workers(description: dict[str, Any], device: str) -> tuple[int, int]:
    """A node's CPUs that workers may have, and its GPUs that they need; none where there is no GPU for them.

    Args:
        description: of the node, by `ray.nodes()`.
    """
    resources = description["Resources"]
    cpus, gpus = (int(resources.get(name, 0)) for name in ("CPU", "GPU"))
    if device == "cpu":
        return cpus, 0
    return (cpus, gpus) if gpus else (0, 0)


def alive() -> dict[str, dict[str, Any]]:
    """Ray's descriptions of the nodes that are there, by identity."""
    return {node["NodeID"]: node for node in ask_head(ray.nodes) if node["Alive"]}


class Nodes:
    """The driver's node, whose block is the parameter server's, and others that come and go.

    Args:
        block: of the driver's node.
        server: makes the parameter server's actor, when the first other node needs it; its name.
    """

    def __init__(
        self, config: RunConfig, grid: Grid, block: Path, server: Callable[[], str]
    ) -> None:
        self._config, self._grid, self._block, self._server = config, grid, block, server
        self._identity = ray.get_runtime_context().get_node_id()
        self._nodes: dict[str, Node] = {}
        self._slots = 0
        self._arriving: dict[ray.ObjectRef[Any], Node] = {}
        self._telling: dict[ray.ObjectRef[Any], Node] = {}
        self._exchanges: dict[str, Exchanges] = {}
        self.look()
        self.home = self._nodes[self._identity]
        self.home.block, self.home.ready = block, True

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def look(self) -> list[Node]:
        """See which nodes are there now; those that have left since the last look."""
        found = alive()
        gone = [node for node in self if node.identity not in found]
        for node in gone:
            self._forget(node)
        for identity, described in found.items():
            if identity not in self._nodes:
                room = room_for_workers(described, self._config.device)
                self._nodes[identity] = Node(identity, described["NodeManagerAddress"], *room)
        return gone

    def _forget(self, node: Node) -> None:
        del self._nodes[node.identity]
        for waiting in (self._arriving, self._telling):
            for reference in [one for one, its in waiting.items() if its is node]:
                del waiting[reference]

    @property
    def pending(self) -> list[ray.ObjectRef[Any]]:
        """Answers of couriers that are waited for; each is for `hear`."""
        return [*self._arriving, *self._telling]

    def arriving(self, node: Node) -> bool:
        """It is about to be ready; neither that nor ready, it is to `arrive` (again)."""
        return node in self._arriving.values()

    def arrive(self, node: Node) -> None:
        """Let a node take over the server's block. It is ready when `hear` says so."""
        if node.courier is None:
            node.courier = make_actor(
                CourierActor,
                node.identity,
                {"num_cpus": 0, "max_restarts": -1},
                self._config,
                self._grid,
                f"{self._block.stem}-{node.identity[:12]}.block",
                self._server(),
                node.cpus,
            )
        # A slot of the server's counters that no other node has had in this task.
        self._slots += 1
        if self._slots > SLOTS // 2:
            raise UserError(
                f"more than {SLOTS // 2} nodes have come and gone in one task; the same command goes on"
                " from the last checkpoint"
            )
        self._arriving[node.courier.begin_task.remote(SLOTS - self._slots)] = node

    def hear(self, reference: ray.ObjectRef[Any]) -> Node | None:
        """Take one of `pending` that is there: a node that is ready for workers, or nothing to act upon."""
        arrived = self._arriving.pop(reference, None)
        node = arrived or self._telling.pop(reference)
        courier: Any = node.courier
        try:
            said = answer(reference)
        except RayTaskError:
            raise
        except ActorDiedError as error:
            if node.identity in alive():
                reason = str(error).strip().splitlines()[-1].strip()
                raise UserError(f"the courier on {node.address} is dead: {reason}") from error
            return None  # The next look finds the node gone.
        except RayError:
            if arrived:
                # Its process died on the way, or the node: asked again at once it would fail at once, again
                # and again, until ray knows that a node is gone.
                return None
            # A courier that ray starts again finds its files; the actor is called in order.
            courier.go_on.remote()
            self._telling[courier.tell.remote()] = node
            return None
        self._telling[courier.tell.remote()] = node
        if arrived:
            node.block, node.ready = said, True
            return node
        self._count(node, said)
        return None

    def begin_task(self) -> None:
        """Nobody has anything of this task yet."""
        self._slots = 0
        self._arriving, self._telling = {}, {}
        for node in self:
            node.ready = node is self.home

    def end_task(self) -> None:
        """Let the server have all that nodes did. Their workers have ended."""
        ending: list[tuple[Node, ray.ObjectRef[Exchanges]]] = [
            (node, node.courier.end_task.remote()) for node in self if node.courier and node.ready
        ]
        for node, reference in ending:
            # What a node that is gone had not told is lost.
            with contextlib.suppress(RayError):
                try:
                    said = answer(reference, f"the courier on {node.address}", END_SECONDS)
                    self._count(node, said)
                except Silent:
                    _logger.warning("node %s is silent; what it did last is lost", node.address)
        self._telling = {}

    def _count(self, node: Node, exchanges: Exchanges) -> None:
        self._exchanges[node.address] = self._exchanges.get(node.address, Exchanges()) + exchanges

    def take_exchanges(self) -> dict[str, Exchanges]:
        """The figures since they were last taken, by the nodes' addresses."""
        taken, self._exchanges = self._exchanges, {}
        return taken

    def close(self) -> None:
        """Let every node free its block, and dismiss the couriers."""
        couriers = [node.courier for node in self if node.courier]
        closing: list[Any] = [courier.close.remote() for courier in couriers]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        for courier in couriers:
            ray.kill(courier)
