"""Checkpoints: written whole or not at all, the last few kept, damage told in one line."""

from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint, reading
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


def test_who_reads_beside_a_run_at_work_finds_a_whole_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, "step-0", keep=1)
    ended = threading.Event()

    def run() -> None:
        for step in range(1, 200):
            # Of the same name, which is superseded, and of another, for which the oldest goes.
            save(tmp_path, f"step-{step // 2}", keep=1)
        ended.set()

    with ThreadPoolExecutor() as pool:
        running = pool.submit(run)
        looks = 0
        while not ended.is_set():
            latest = checkpoint.newest(tmp_path, None)
            assert latest is not None
            assert latest[1] == STATE
            assert checkpoint.anything_in(tmp_path)
            looks += 1
        running.result()
    assert looks > 10
    assert [path.name for path in tmp_path.iterdir()] == ["step-99-2"]


def test_what_goes_while_it_is_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "step-1", keep=1)
    real, went = reading.read_bytes, []

    def read_bytes(path: Path, *arguments: int) -> bytes:
        if path.name == "block.safetensors" and path.parent.name == "step-1":
            went.append(save(tmp_path, "step-2", keep=1))
        return real(path, *arguments)

    monkeypatch.setattr("pathnet_rl.saved.read_bytes", read_bytes)
    latest = checkpoint.newest(tmp_path, None)
    assert latest is not None
    assert went == list(tmp_path.iterdir()) == [tmp_path / "step-2"]


@pytest.mark.parametrize("left", ["all", "state.json"])
def test_a_kill_while_an_old_one_is_deleted_leaves_nothing_for_good(
    left: str, tmp_path: Path
) -> None:
    old = save(tmp_path, "step-1")
    old.rename(tmp_path / "step-1.unfinished")
    if left != "all":
        (tmp_path / "step-1.unfinished" / "block.safetensors").unlink()
    save(tmp_path, "step-2")
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]


def test_what_somebody_keeps_in_a_checkpoint_stays_where_it_is(tmp_path: Path) -> None:
    note = save(tmp_path, "step-1") / "note.txt"
    note.write_text("the good one")
    save(tmp_path, "step-2", keep=1)
    assert note.read_text() == "the good one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-1", "step-2"]
