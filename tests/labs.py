"""Which DeepMind Lab a test meets: a strict fake always, and the engine itself wherever it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FAKE = Path(__file__).parent / "fake_lab"
ENGINE = pytest.param(
    "engine",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("deepmind_lab") is None,
        reason="DeepMind Lab is not installed; docs/labyrinth.md says how it can be",
    ),
)


@pytest.fixture(params=["fake", ENGINE])
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two the processes of environments will find."""
    if request.param == "fake":
        monkeypatch.syspath_prepend(str(FAKE))
    return str(request.param)
