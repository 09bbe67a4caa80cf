"""Events continue for a TensorBoard that looks on, though a clock was set back or starts share a second."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from pathnet_rl.events import make_writer


def steps_seen(reader: EventAccumulator) -> list[int]:
    reader.Reload()
    return [point.step for point in reader.Scalars("episode/return")]


@pytest.mark.parametrize("clock", [lambda now: now - 86_400.0, lambda now: now])
def test_points_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: object) -> None:
    assert callable(clock)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    # The process of a later start may have any number: names of one second are in no order.
    monkeypatch.setattr(event_file_writer.os, "getpid", iter([9, 1000, 20, 3]).__next__)
    live = EventAccumulator(str(tmp_path))
    for start in range(4):
        writer = make_writer(tmp_path, 20 * start)
        for step in (20 * start + 10, 20 * start + 20):
            writer.add_scalar("episode/return", float(step), step)
        writer.close()
        expected = list(range(10, 20 * start + 21, 10))
        assert steps_seen(live) == expected
        assert steps_seen(EventAccumulator(str(tmp_path))) == expected
        monkeypatch.setattr(time, "time", lambda: clock(now))
    assert event_file_writer.time is time
