"""The benchmark runs, and writes what it says it writes; the figures are this machine's own affair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from launch.bench import contender
from launch.bench.contender import Contender
from launch.bench.rows import A2C, ROWS, Row
from launch.bench.scaling import families
from pathnet_rl.arms import Arm
from pathnet_rl.events import make_writer
from pathnet_rl.grid import build_grid
from pathnet_rl.run_folder import RunFolder
from tests.support import ROOT
from workers.metrics_hub import PHASES


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_benchmark_writes_every_figure(tmp_path: Path) -> None:
    options = ("--games", "pong", "--rounds", "1", "--seconds", "1", "--population", "4")
    found = subprocess.run(
        [sys.executable, "-m", "launch.bench", *options],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    report = json.loads((tmp_path / "runs" / "bench" / "latest.json").read_text())
    pong = report["games"]["pong"]
    for row in ROWS:
        for key in ("agent_steps_per_second", "agent_steps_per_cpu_second"):
            assert pong[row][key] > 0
    assert set(pong) - {A2C} == {
        *ROWS, "system_over_environment", "ray_overhead", "system_milliseconds", "peak_pss_mib",
        "seconds_to_first_rollout",
    }  # fmt: skip
    assert pong["system_over_environment"] > 0
    assert set(pong["system_milliseconds"]) == {
        "environment", "acting", "learning", "store", "ray_and_the_rest", "idle",
    }  # fmt: skip
    assert report["peak_pss_mib"] == pong["peak_pss_mib"] > 0
    assert report["seconds_to_first_rollout"] == pong["seconds_to_first_rollout"] > 0
    assert not list((tmp_path / "runs").glob("bench-*"))
    assert not list(Path("/dev/shm").glob("*bench-pong-*"))


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (("--games", "breakout"), "--games takes pong, riverraid, maze, got breakout"),
        (("--rounds", "0"), "--rounds must be at least 1, got 0"),
        (("--seconds", "nan"), "--seconds must be a positive number, got nan"),
        (("--population", "0"), "--population must be at least one pathway a CPU"),
    ],
)
def test_bad_options_are_answered_with_one_line(options: tuple[str, ...], answer: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "launch.bench", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode != 0
    assert found.stderr.startswith("error: ")
    assert answer in found.stderr
    assert found.stderr.count("\n") == 1


def test_rows_of_a_family_differ_in_what_it_is_named_after() -> None:
    found = families("pong", 64)
    assert [row.population for row in found.pop("population")] == [64, 256]
    assert [row.value for row in found.pop("frozen")] == [0, 1, 3, 5]
    assert {row.kind for row in found.pop("workers")} == {"system"}
    nodes = found.pop("nodes")
    assert [(row.kind, row.config(0).workers) for row in nodes] == [("system", 3), ("nodes", 3)]
    for name, rows in found.items():
        assert len({row.label for row in rows}) == len(rows)
        for row in rows:
            config = row.config(0)
            assert row.value == {
                "N": config.grid.width,
                "L": build_grid(config).depth,
                "E": config.learning.environments,
                "t_max": config.learning.rollout_steps,
            }.get(name)


@pytest.mark.parametrize(
    ("end", "answer"), [("0", "7 agent steps done; lower --rounds"), ("3", "ended with 3")]
)
def test_a_row_that_ends_is_said_and_not_measured(tmp_path: Path, end: str, answer: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({end})"])
    process.wait()
    counter = tmp_path / "counter"
    np.array([7], dtype=np.int64).tofile(counter)
    with pytest.raises(SystemExit, match=answer):
        Contender(Row("serial", "pong"), [process], counter, 0.0).check()


@pytest.fixture
def late_row(tmp_path: Path) -> Iterator[Contender]:
    """A row that is at work, and in whose events there is nothing yet."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    row = Row("serial", "pong", checkout=str(tmp_path))
    RunFolder(row.config(process.pid)).events(Arm.PATHNET, 0).mkdir(parents=True)
    yield Contender(row, [process], tmp_path / "counter", 0.0)
    process.kill()
    process.wait()


def test_the_first_report_of_a_slow_machine_is_waited_for(late_row: Contender) -> None:
    folder = RunFolder(late_row.row.config(late_row.processes[0].pid)).events(Arm.PATHNET, 0)
    writer = make_writer(folder, 0)

    def report() -> None:
        for step, milliseconds in enumerate((9.0, 1.0, 3.0)):  # Of the first, nothing is taken.
            for phase in PHASES:
                writer.add_scalar(f"speed/{phase}_milliseconds", milliseconds, step)
        writer.close()

    late = threading.Timer(0.6, report)
    late.start()
    late_row.read_phases()
    late.join()
    assert late_row.phases == dict.fromkeys(PHASES, 2.0)


def test_a_row_that_reports_nothing_is_said(
    late_row: Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contender, "REPORT_SECONDS", 0.3)
    with pytest.raises(SystemExit, match="the row serial-64-before reported nothing"):
        late_row.read_phases()
