"""What a worker tells and when: no episode is known before the agent steps that it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_pathway_worker import Bench
from workers import pathway_worker


def test_what_the_server_has_not_yet_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pathway_worker, "TELL_SECONDS", 0.0)
    bench = Bench(tmp_path)
    store, told = bench.store, bench.hub.told
    bench.worker.begin_task()
    bench.worker.step()
    assert len(told) == 1, "on the server's own node there is nothing to wait for"
    store.begin_exchange()  # As on another node from here on.
    bench.worker.step()
    store.end_exchange()
    assert len(told) == 1, "it may have been pushed after that exchange had begun"
    store.begin_exchange()
    bench.worker.step()
    assert len(told) == 1
    store.end_exchange()
    bench.worker.step()
    assert len(told) == 2
    store.begin_exchange()
    store.end_exchange()
    bench.worker.tell()
    assert [one.updates for one in told] == [1, 1, 1, 1, 0]


def test_who_is_told_to_stop_tells_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker.begin_task()
    bench.store.begin_exchange()
    bench.worker.step()
    bench.worker.tell()
    assert bench.hub.told == []
    bench.store.stopped = True
    bench.worker.end_task()
    assert [one.updates for one in bench.hub.told] == [1, 0]
