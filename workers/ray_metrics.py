"""What a run tells ray's own metrics, by node, for Prometheus and Grafana; learning is TensorBoard's."""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from pathnet_rl.arms import Arm
from pathnet_rl.telemetry import Exchanges, Telemetry

TAGS = ("node", "arm", "task")
"""The node's address; the arm; the task's name."""


class RunMetrics:
    """Those of one arm. Ray puts `ray_` before every name, and `_total` behind those of counters."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._agent_steps = Counter(
            "pathnet_rl_agent_steps", "Agent steps of the node's workers.", TAGS
        )
        self._updates = Counter("pathnet_rl_updates", "Pushes of the node's workers.", TAGS)
        self._exchanges = Counter(
            "pathnet_rl_exchanges", "Exchanges of the node with the parameter server.", TAGS
        )
        self._restarts = Counter(
            "pathnet_rl_restarts", "Workers of the node that died and were started again.", TAGS
        )
        self._staleness = Gauge(
            "pathnet_rl_staleness_updates",
            "Pushes of others between two exchanges of the node.",
            TAGS,
        )
        self._exchange_seconds = Gauge(
            "pathnet_rl_exchange_seconds", "Wall time of the node's exchanges, mean.", TAGS
        )

    def worked(self, node: str, task: str, telemetry: Telemetry) -> None:
        """What one of its workers has done."""
        if telemetry.updates:
            self._agent_steps.inc(telemetry.samples, self._tags(node, task))
            self._updates.inc(telemetry.updates, self._tags(node, task))

    def exchanged(self, node: str, task: str, exchanges: Exchanges) -> None:
        """How exchanges of its courier went."""
        if exchanges.exchanges:
            tags, count = self._tags(node, task), exchanges.exchanges
            self._exchanges.inc(count, tags)
            self._staleness.set(exchanges.staleness / count, tags)
            self._exchange_seconds.set(exchanges.seconds / count, tags)

    def restarted(self, node: str, task: str) -> None:
        """One of its workers."""
        self._restarts.inc(1, self._tags(node, task))

    def _tags(self, node: str, task: str) -> dict[str, str]:
        return {"node": node, "arm": self._arm.value, "task": task}


class TournamentMetrics:
    """Those of a tournament coordinator, in its process."""

    def __init__(self, arm: Arm, node: str) -> None:
        self._tags = {"node": node, "arm": arm.value}
        self._tournaments = Counter(
            "pathnet_rl_tournaments", "Pathways that were judged and met rivals.", ("node", "arm")
        )

    def held(self) -> None:
        """One tournament."""
        self._tournaments.inc(1, self._tags)
