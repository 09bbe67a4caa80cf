"""How many CPUs this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus() -> int:
    """CPUs that this process may use: those it may run on, and no more than its container's quota.

    At least one; a quota of 2.5 CPUs is two.
    """
    quota = _quota()
    there = len(os.sched_getaffinity(0))
    return there if quota is None else max(1, min(there, int(quota)))


def _quota() -> float | None:
    """CPUs by the control groups that the process is in, versions 1 and 2; None without a limit."""
    limits = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, _, group = line.partition("::") if "::" in line else line.rpartition(":")
        inside = CGROUPS / group.lstrip("/")
        # In a container the path is often that of the host, and what counts lies at the top.
        for folder in dict.fromkeys((inside, *inside.parents, CGROUPS)):
            if folder.is_relative_to(CGROUPS):
                limits += [_of(_read(folder / "cpu.max"))]
    older = CGROUPS / "cpu"
    limits.append(_of(f"{_read(older / 'cpu.cfs_quota_us')} {_read(older / 'cpu.cfs_period_us')}"))
    found = [limit for limit in limits if limit is not None]
    return min(found) if found else None


def _of(text: str) -> float | None:
    """CPUs of "200000 100000", microseconds of a period; None of "max 100000", "-1 100000" or nothing."""
    try:
        quota, period = (int(word) for word in text.split())
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
