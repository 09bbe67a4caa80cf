"""The courier in an actor of its node: several exchanges a second, one at a time, until the task ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from pathnet_rl.config import RunConfig
from pathnet_rl.exchange import Changes
from pathnet_rl.grid import Grid
from pathnet_rl.store import StaleTaskError
from pathnet_rl.telemetry import Exchanges
from workers.courier import Courier

TELL_SECONDS = 1.0
"""How often it tells the driver how exchanges go."""
PATIENCE_SECONDS = 0.5
"""Between two attempts to reach a server that ray is starting again."""


class CourierActor:
    """Begin a task, `tell` again and again, end the task; `go_on` where a restart found its files."""

    def __init__(self, config: RunConfig, grid: Grid, path: Path, server: str) -> None:
        self._courier = Courier(config, grid, path)
        self._interval = config.exchange_seconds
        self._server = ray.get_actor(server)
        self._loop: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def begin_task(self, slot: int) -> Path:
        """Take over the server's block and keep in step with it; where the node's block is."""
        self._courier.begin_task(await self._ask("whole_block", slot), slot)
        await self.go_on()
        return self._courier.path

    async def go_on(self) -> None:
        """Keep in step; also after this process was started again and found where it was."""
        if self._loop is None and self._courier.loaded:
            self._ending.clear()
            self._loop = asyncio.create_task(self._keep_in_step())

    async def tell(self) -> Exchanges:
        """How exchanges went, after a while.

        Raises:
            what ended them before the task did.
        """
        await asyncio.sleep(TELL_SECONDS)
        if self._loop is not None and self._loop.done():
            self._loop.result()
        return self._courier.tell()

    async def end_task(self) -> Exchanges:
        """Let the server have everything, and stop; no worker is at work here any more."""
        await self.go_on()
        if self._loop is not None:
            self._ending.set()
            await self._loop
            self._loop = None
        return self._courier.tell()

    async def close(self) -> None:
        """Free the node's block."""
        if self._loop is not None:
            self._loop.cancel()
        self._courier.close()

    async def _keep_in_step(self) -> None:
        clock = asyncio.get_running_loop()
        while not self._ending.is_set():
            due = clock.time() + self._interval
            await self._exchange()
            # An exchange that takes longer than the interval is the interval: none waits in a queue.
            try:
                await asyncio.wait_for(self._ending.wait(), max(0.0, due - clock.time()))
            except TimeoutError:
                continue
        while len((await self._exchange()).rows):
            pass

    async def _exchange(self) -> Changes:
        changes = self._courier.changes()
        try:
            self._courier.take(await self._ask("exchange", changes))
        except RayTaskError as error:
            if isinstance(error.cause, StaleTaskError):
                self._courier.stop_workers()
            raise
        return changes

    async def _ask(self, verb: str, argument: Any) -> Any:
        """The server's answer, from the one that is started again if need be: it applies nothing twice."""
        while True:
            try:
                return await getattr(self._server, verb).remote(argument)
            except ActorUnavailableError:
                await asyncio.sleep(PATIENCE_SECONDS)
