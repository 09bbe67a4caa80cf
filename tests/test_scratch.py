"""Folders of temporary files: the next process deletes what a killed one leaves, and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pathnet_rl.envs import scratch
from pathnet_rl.envs.scratch import MARK, Scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch._remove_leftovers.cache_clear()
    yield tmp_path
    scratch._remove_leftovers.cache_clear()


def killed_owner(kind: str) -> None:
    """A process that is killed while it has a folder with something in it."""
    pid = os.fork()
    if pid == 0:
        try:
            owned = Scratch(kind)
            (owned.path / "qkey").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_it_is_there_until_it_is_closed(temporary: Path) -> None:
    with Scratch("vizdoom-") as folder:
        assert folder.parent == temporary
        assert folder.name.startswith("pathnet-rl-vizdoom-")
        (folder / "sub").mkdir()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["", "vizdoom-"])
def test_what_a_killed_owner_left_is_deleted_by_the_next(kind: str, temporary: Path) -> None:
    killed_owner(kind)
    (left,) = temporary.iterdir()
    assert (left / "qkey").exists()
    with Scratch() as folder:
        assert list(temporary.iterdir()) == [folder]


def test_what_somebody_has_or_is_not_known_to_be_ours_stays(temporary: Path) -> None:
    others, elsewhere = temporary / "pathnet-rl-thesis", temporary / "elsewhere"
    for folder in (others, elsewhere):
        folder.mkdir()
        (folder / "important").touch()
    (elsewhere / MARK).touch()
    (temporary / "pathnet-rl-link").symlink_to(elsewhere)
    (temporary / "pathnet-rl-file").touch()
    with Scratch() as mine:
        scratch._remove_leftovers.cache_clear()
        with Scratch():
            assert mine.is_dir()
    assert (others / "important").exists()
    assert (elsewhere / "important").exists()
    assert (temporary / "pathnet-rl-link").is_symlink()
    assert (temporary / "pathnet-rl-file").exists()
