"""The short form of `python -m tests.faults`: what is done to a run on one machine, and on several nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import Options, Suite


@pytest.mark.parametrize(
    "kinds",
    [
        ("all workers", "checkpoint cut"),
        pytest.param(("courier", "death of a node", "server"), marks=pytest.mark.long),
    ],
    ids=["here", "nodes"],
)
def test_it_goes_on(kinds: tuple[str, ...], tmp_path: Path) -> None:
    suite = Suite(Options(kills=len(kinds), seed=0, kinds=kinds, stop_seconds=2.0), tmp_path)
    suite.run()
    assert len(suite.faults) == len(kinds)
    assert [fault.failure for fault in suite.faults] == [""] * len(kinds)
    assert all(fault.recovered for fault in suite.faults)
