"""Exchanges are measured with the real server and couriers, on a grid so small that it takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from launch.bench.exchanges import Setting, figures, measure
from launch.bench.recorded import Recorded, record
from launch.bench.simulated import SimulatedWorkers
from launch.presets import PRESETS
from pathnet_rl.config import MOST_AGENT_STEPS
from pathnet_rl.engine import rmsprop_step
from pathnet_rl.grid import build_grid
from pathnet_rl.store import GridStore
from tests.support import ROOT, tiny_config


def small(folder: Path) -> tuple[GridStore, Recorded]:
    config = tiny_config(folder, agent_steps=(MOST_AGENT_STEPS,))
    grid = build_grid(config)
    recorded = record(config, grid, folder, pathways=3, gradients=2)
    store = GridStore.create(folder / "node.block", grid, config.learning)
    store.initialise(grid.all_modules(), np.random.default_rng(0))
    store.begin_task(0, MOST_AGENT_STEPS)
    return store, recorded


def test_recorded_gradients_are_a_workers(tmp_path: Path) -> None:
    store, recorded = small(tmp_path)
    assert recorded.agent_steps == 16
    assert len(recorded.paths) == 3
    assert recorded.cpu_seconds > 0.0
    for path, gradients in zip(recorded.paths, recorded.read(store.grid), strict=True):
        assert len(gradients) == 2
        for gradient in gradients:
            found = [tuple(part.shape) for part in (*gradient.layers, gradient.head)]
            assert found == store.grid.shapes(path, 0)
            for part in (*gradient.layers, gradient.head):
                assert part.abs().sum() > 0
    assert not (tmp_path / "recording.block").exists()


def test_a_step_for_many_pushes_counts_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, counters and decays are those of pushes made one by one."""
    store, recorded = small(tmp_path)
    now = [100.0]
    monkeypatch.setattr("launch.bench.simulated.time.monotonic", lambda: now[0])
    config = tiny_config(tmp_path)
    found = {}
    for together in (False, True):
        store.begin_task(0, MOST_AGENT_STEPS)
        store.squares.fill_(1e6)  # Beside it gradients are nothing, and what is left is the decay.
        workers = SimulatedWorkers(
            store, rmsprop_step(config), recorded, 4, 2.0, together, np.random.default_rng(1)
        )
        before = store.parameters.clone()
        workers.push_due()
        for _ in range(12):
            now[0] += 0.25
            workers.push_due()
        rows = range(len(store.grid.rows))
        changed = [row for row in rows if (store.parameters != before)[store.grid.rows[row]].any()]
        found[together] = [store.pushes(row) for row in rows]
        assert (store.updates, store.agent_steps) == (4 * 2 * 3, 4 * 2 * 3 * 16)
        assert {row for row in rows if store.pushes(row)} >= set(changed)
        decay = config.learning.rmsprop_decay
        for row in rows:
            wanted = 1e6 * decay ** store.pushes(row)
            np.testing.assert_allclose(store.row(row)[1], wanted, rtol=1e-4)
        workers.stop()
        now[0] += 1.0
        workers.push_due()
        assert store.updates == 4 * 2 * 3
    assert found[True] == found[False]
    assert max(found[True]) == 24


@pytest.mark.parametrize("together", [False, True])
def test_exchanges_of_two_nodes(
    tmp_path: Path, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`measure` itself compares what nodes pushed with what the server knows of in the end."""
    config = tiny_config(tmp_path, agent_steps=(MOST_AGENT_STEPS,))
    grid = build_grid(config)
    recorded = record(config, grid, tmp_path, pathways=3, gradients=2)
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr("launch.bench.exchanges.SHARED_MEMORY", memory)
    found = measure(Setting(6, 2, 40.0, 0.1, together), config, grid, recorded, 0.5)
    assert found["exchanges"] >= 2
    assert found["exchanges_per_second_asked"] == 20.0
    assert found["pushes_per_second_asked"] == 240.0
    for key in (
        "pushes_per_second", "bytes_per_second_up", "bytes_per_second_down", "staleness",
        "server_milliseconds", "courier_milliseconds", "cpus_busy",
    ):  # fmt: skip
        assert found[key] > 0.0, key
    assert found["bytes_up"] > 8 * found["numbers_up"]
    assert found["exchange_milliseconds_95"] >= found["exchange_milliseconds"]
    assert list(memory.iterdir()) == []


def test_figures_by_hand() -> None:
    rows = np.array(
        [[1.0, 0.010, 0.002, 5, 10, 20, 100, 200], [2.0, 0.030, 0.004, 7, 30, 40, 300, 400]]
    )
    found = figures(rows, Setting(4, 2, 1.0, 0.5), 4.0, 0.02)
    assert found["exchanges_per_second_asked"] == 4.0
    assert found["exchanges_per_second"] == 0.5
    assert (found["bytes_per_second_up"], found["bytes_per_second_down"]) == (50.0, 75.0)
    assert (found["server_cpu_percent"], found["server_milliseconds"]) == (0.5, 10.0)
    assert found["courier_milliseconds"] == pytest.approx(3.0)
    assert found["exchange_milliseconds"] == pytest.approx(20.0)
    assert found["staleness"] == 6.0


def test_pushes_are_made_together_where_there_are_many_and_an_exchange_cannot_tell() -> None:
    assert not Setting(4, 4, 78.3, 0.05).pushes_together
    assert Setting(64, 4, 78.3, 0.2).pushes_together
    assert not Setting(
        64, 4, 78.3, 0.01
    ).pushes_together  # Some workers do not push in an interval.


@pytest.mark.alone
@pytest.mark.slow
def test_the_command_writes_and_prints_everything(tmp_path: Path) -> None:
    options = ("--quick", "--preset", "cartpole", "--seconds", "0.5")
    found = subprocess.run(
        [sys.executable, "-m", "launch.bench.nodes", *options],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    report = json.loads((tmp_path / "runs" / "scaling" / "latest.json").read_text())
    assert [(row["workers"], row["nodes"]) for row in report["settings"]] == [
        (2, 2), (4, 4), (64, 4), (256, 16),
    ]  # fmt: skip
    assert [row["fitted"] for row in report["comparison"]] == [True, True, True, False]
    assert report["costs"]["constant"] + report["costs"]["per_byte"] > 0.0
    for title in (
        "exchanges, measured",
        "the model beside it",
        "one server, predicted",
        "CPU hours",
    ):
        assert title in found.stdout


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (("--preset", "chess"), f"--preset takes {', '.join(PRESETS)}, got chess"),
        (("--rounds", "0"), "--rounds must be at least 1, got 0"),
        (("--seconds", "-1"), "--seconds must be a positive number, got -1.0"),
    ],
)
def test_bad_options_are_answered_with_one_line(options: tuple[str, ...], answer: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "launch.bench.nodes", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode != 0
    assert found.stderr == f"error: {answer}\n"
