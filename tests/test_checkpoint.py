"""Checkpoints: written whole or not at all, the last few kept, damage told in one line."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.errors import UserError

TENSORS = {"parameters": torch.arange(5000.0), "squares": torch.ones(5000)}
STATE: dict[str, Any] = {"fitness": [1.5, None], "generator": {"state": 2**100}}


def save(parent: Path, name: str, keep: int = 3) -> Path:
    return checkpoint.save(parent, name, TENSORS, STATE, keep)


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file can grow beyond that."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    tensors, state = checkpoint.load(save(tmp_path / "arm", "a"))
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)


def test_the_last_few_are_kept_oldest_first(tmp_path: Path) -> None:
    for name in ("step-1", "step-2", "step-3", "step-4"):
        save(tmp_path, name, keep=2)
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step-3", "step-4"]


def test_there_are_none_before_the_first(tmp_path: Path) -> None:
    assert checkpoint.list_checkpoints(tmp_path / "nowhere") == []


def test_what_a_kill_left_unfinished_is_ignored_and_replaced(tmp_path: Path) -> None:
    save(tmp_path, "step-1")
    leftover = tmp_path / "step-2.unfinished"
    leftover.mkdir()
    (leftover / "block.safetensors").write_bytes(b"half")
    assert [path.name for path in checkpoint.list_checkpoints(tmp_path)] == ["step-1"]
    checkpoint.load(save(tmp_path, "step-2"))
    assert not leftover.exists()


def test_nothing_has_its_final_name_before_all_of_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append([path.name for path in checkpoint.list_checkpoints(tmp_path)])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    save(tmp_path, "only")
    assert seen == [[], [], ["only"]]  # Numbers, state; then the folder that names them.


@pytest.mark.parametrize("most_bytes", [0, 10_000, 40_050])
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint_whole(
    most_bytes: int, tmp_path: Path
) -> None:
    first = save(tmp_path, "step-1")
    with full_disk(most_bytes), pytest.raises(UserError, match="free space") as refused:
        save(tmp_path, "step-2", keep=1)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [first]
    checkpoint.load(first)


def test_saving_where_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write") as refused:
        save(tmp_path / "file" / "arm", "step-1")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["block.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "scribbled", "gone"])
def test_a_damaged_checkpoint_is_one_line(name: str, damage: str, tmp_path: Path) -> None:
    path = save(tmp_path, "step-1")
    file = path / name
    whole = file.read_bytes()
    if damage == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "scribbled":
        file.write_bytes(b"\xff" * len(whole))
    else:
        file.unlink()
    with pytest.raises(UserError, match=r"step-1 is damaged \(") as refused:
        checkpoint.load(path)
    assert "\n" not in str(refused.value)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    checkpoint.write_json(path, {"a": 1})
    with full_disk(20), pytest.raises(UserError, match="cannot write"):
        checkpoint.write_json(path, {"a": list(range(100))})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
