"""The parameter server on the network, for couriers of other nodes; and what a courier has of it."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pathnet_rl.exchange import Changes, News, WholeBlock
from pathnet_rl.store import StaleTaskError
from workers import exchange_wire as wire
from workers.parameter_server import ParameterServer

ANSWER_SECONDS = 60.0
"""After so long without an answer a connection counts as broken."""
PATIENCE_SECONDS = 0.5
"""Between two attempts to reach a server that is being started again."""


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the key that a connection begins with."""

    host: str
    port: int
    key: bytes


class ExchangeServer:
    """Answers exchanges on a port of its own, each connection in a thread; they are applied one at a time."""

    def __init__(self, server: ParameterServer, host: str) -> None:
        self._server, self._turn = server, threading.Lock()
        self._listener = socket.create_server((host, 0))
        port = self._listener.getsockname()[1]
        self.address = Address(host, port, secrets.token_bytes(wire.KEY_BYTES))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept nobody any more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed.
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # The courier comes again.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(ANSWER_SECONDS)
            key = wire.receive(connection, wire.KEY_BYTES)
            if not hmac.compare_digest(key, self.address.key):
                return
            connection.settimeout(None)
            while True:
                wire.send(connection, self._answer(wire.receive(connection)))

    def _answer(self, frame: bytes) -> bytes:
        asked = wire.unpack(frame)
        with self._turn:
            if "join" in asked:
                whole = self._server.whole_block(int(asked["join"][0]))
                frozen = np.zeros((len(whole.frozen), self._server.modules), np.int64)
                for layer, modules in enumerate(whole.frozen):
                    frozen[layer, list(modules)] = 1
                return wire.pack({**wire.arrays_of(whole.news), "frozen": frozen})
            try:
                news = self._server.exchange(wire.changes_of(asked))
            except StaleTaskError as error:
                return wire.pack({"stale": np.frombuffer(str(error).encode(), np.uint8)})
        return wire.pack(wire.arrays_of(news))


class ExchangeClient:
    """The server's verbs for a courier, over a connection that is made anew when it breaks.

    Nothing is applied twice, so what had no answer is asked again.

    Args:
        locate: says where the server is (now; it may have been started again).
    """

    def __init__(self, locate: Callable[[], Address]) -> None:
        self._locate = locate
        self._connection: socket.socket | None = None
        self._closed = False

    def exchange(self, changes: Changes) -> News:
        """As `ParameterServer.exchange`."""
        return wire.news_of(self._ask(wire.pack(wire.arrays_of(changes))))

    def whole_block(self, slot: int) -> WholeBlock:
        """As `ParameterServer.whole_block`."""
        answer = self._ask(wire.pack({"join": np.array([slot], np.int64)}))
        frozen = tuple(tuple(np.flatnonzero(layer).tolist()) for layer in answer["frozen"])
        return WholeBlock(wire.news_of(answer), frozen)

    def close(self) -> None:
        """Hang up for good: who waits for an answer gets a ConnectionAbortedError."""
        self._closed = True
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, frame: bytes) -> wire.Arrays:
        while not self._closed:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                wire.send(self._connection, frame)
                answer = wire.unpack(wire.receive(self._connection))
            except OSError:
                self._hang_up()
                time.sleep(PATIENCE_SECONDS)
                continue
            if "stale" in answer:
                raise StaleTaskError(answer["stale"].tobytes().decode())
            return answer
        self._hang_up()
        raise ConnectionAbortedError("the courier has been dismissed")

    def _connect(self) -> socket.socket:
        address = self._locate()
        connection = socket.create_connection((address.host, address.port), ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.send(connection, address.key)
        return connection
