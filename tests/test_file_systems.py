"""File systems that cannot do everything, folders of another version, and places as a shell writes them."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from tests.support import tiny_config

TENSORS = {"a": torch.ones(3)}


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_locks_is_not_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    said: list[str] = []
    folder = RunFolder(tiny_config(tmp_path))
    assert not folder.open(said.append)
    folder.close()
    assert len(said) == 1
    assert "has no locks" in said[0]
    assert "another process is" not in said[0]


@pytest.mark.parametrize(("number", "refused"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_flushed_is_no_failed_checkpoint(
    number: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def of_files_alone(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_dir():
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    if refused:
        with pytest.raises(UserError, match="Input/output error"):
            checkpoint.save(tmp_path, "one", TENSORS, {}, 1)
    else:
        saved = checkpoint.save(tmp_path, "one", TENSORS, {"b": 1}, 1)
        assert checkpoint.load(saved)[1] == {"b": 1}


def test_of_two_checkpoints_of_the_same_agent_step_the_later_one_is_kept(tmp_path: Path) -> None:
    for number in range(3):
        checkpoint.save(tmp_path, "one", {"a": torch.full((3,), float(number))}, {"b": number}, 2)
    (kept,) = checkpoint.list_checkpoints(tmp_path)
    tensors, state = checkpoint.load(kept)
    assert tensors["a"].tolist() == [2.0] * 3
    assert state == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_run_of_a_newer_version_is_named_as_such(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    folder = RunFolder(config)
    folder.open()
    folder.close()
    path = folder.path / "config.json"
    found: dict[str, Any] = json.loads(path.read_text())
    found["grid"]["attention"] = True
    path.write_text(json.dumps(found))
    before = path.read_text()
    with pytest.raises(UserError, match="not understood by this version") as refused:
        RunFolder(config).open()
    assert "grid.attention" in str(refused.value)
    assert "delete" not in str(refused.value)
    assert path.read_text() == before


@pytest.mark.parametrize("written", ["~/runs", "$HOME/runs", "${HOME}/runs"])
def test_places_are_what_a_shell_would_make_of_them(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunConfig(folder=written).folder == str(tmp_path / "runs")
    monkeypatch.setenv("PATHNET_RL_FOLDER", written)
    assert RunConfig().folder == str(tmp_path / "runs")


def test_a_home_that_is_none_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="no such home folder"):
        RunConfig(folder="~nobody-of-that-name/runs")
