"""How many CPUs there are to use: those of the container, not those of its host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pathnet_rl import cpus


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 6),
        ({"cpu.max": "max 100000"}, 6),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "900000 100000"}, 6),
        ({"cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        ({"cpu.max": "500000 100000", "a/b/cpu.max": "400000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 6),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu.max": "nonsense"}, 6),
    ],
)
def test_a_quota_counts(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    read = cpus._read
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(
        cpus, "_read", lambda path: "0::/a/b\n" if path.name == "cgroup" else read(path)
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert cpus.usable_cpus() == expected
