"""Files that are not ours, among ours: left as they are, and not taken for ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.block_files import NEW_SECONDS, remove_leftovers
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from tests.support import first_state, small_grid, tiny_config


def numbers(value: float) -> dict[str, torch.Tensor]:
    return {"parameters": torch.full((7,), value)}


def state(step: int) -> dict[str, object]:
    return {**first_state(tiny_config(Path())), "step": step}


def begun(config: RunConfig, steps: int = 3) -> RunFolder:
    """A run that has saved so many checkpoints, at steps 1, 2, ..."""
    folder = RunFolder(config)
    folder.open()
    for step in range(1, steps + 1):
        folder.save(Arm.PATHNET, f"step-{step}", numbers(step), state(step))
    folder.close()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def said(folder: RunFolder) -> list[str]:
    lines: list[str] = []
    folder.open(lines.append)
    folder.close()
    return lines


def latest_step(folder: RunFolder) -> int:
    latest = folder.latest(Arm.PATHNET)
    assert latest is not None
    assert float(latest[0]["parameters"][0]) == latest[1]["step"]
    return int(latest[1]["step"])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return begun(tiny_config(tmp_path, checkpoints_kept=3))


@pytest.fixture
def saved(run: RunFolder) -> Path:
    return run.checkpoints(Arm.PATHNET)


def a_note(saved: Path, _: Path) -> None:
    (saved / "zzz-notes").mkdir()
    (saved / "zzz-notes" / "why.txt").write_text("best so far")


def of_the_system(saved: Path, _: Path) -> None:
    (saved / ".DS_Store").write_bytes(b"x")
    (saved / "lost+found").mkdir()
    (saved / "zzz~").write_text("")


def a_model(saved: Path, _: Path) -> None:
    (saved / "zzz-export").mkdir()
    (saved / "zzz-export" / "model.safetensors").write_bytes(b"x")


def of_another_run(saved: Path, tmp_path: Path) -> None:
    other = begun(tiny_config(tmp_path, name="other", seed=5), steps=9)
    shutil.copytree(other.checkpoints(Arm.PATHNET) / "step-9", saved / "step-9")


def of_another_run_with_the_same_options(saved: Path, tmp_path: Path) -> None:
    other = begun(tiny_config(tmp_path, name="other"), steps=9)
    shutil.copytree(other.checkpoints(Arm.PATHNET) / "step-9", saved / "step-9")


def an_older_copy(saved: Path, _: Path) -> None:
    shutil.copytree(saved / "step-1", saved / "zzz (copy)")


def a_backup_of_a_folder(saved: Path, _: Path) -> None:
    shutil.copytree(saved / "step-1", saved / "step-9.bak")


FOREIGN: list[Callable[[Path, Path], None]] = [
    a_note, of_the_system, a_model, of_another_run, of_another_run_with_the_same_options,
    an_older_copy, a_backup_of_a_folder,
]  # fmt: skip


@pytest.mark.parametrize("put", FOREIGN)
def test_what_lies_among_checkpoints_is_neither_gone_on_from_nor_deleted(
    put: Callable[[Path, Path], None], run: RunFolder, saved: Path, tmp_path: Path
) -> None:
    before = {path.name for path in saved.iterdir()}
    put(saved, tmp_path)
    foreign = {path: contents(path) for path in saved.iterdir() if path.name not in before}
    assert foreign
    assert latest_step(run) == 3
    lines = said(run)
    of_others = put in (of_another_run, of_another_run_with_the_same_options)
    wanted = [f"left alone: {saved / 'step-9'} is a checkpoint of another run"] * of_others
    assert lines == wanted
    run.open()
    for step in range(4, 10):
        run.save(Arm.PATHNET, f"step-{step}", numbers(step), state(step))
    run.close()
    assert latest_step(run) == 9
    assert {path: contents(path) for path in foreign} == foreign
    left = {path.name for path in saved.iterdir()} - {path.name for path in foreign}
    newest = "step-9-2" if of_others else "step-9"
    assert left == {"step-7", "step-8", newest}, "of ours the last three are kept"


def test_one_that_was_renamed_is_still_the_newest_and_is_the_users(
    run: RunFolder, saved: Path
) -> None:
    (saved / "step-3").rename(saved / "a-good-one")
    assert latest_step(run) == 3
    run.open()
    for step in range(4, 9):
        run.save(Arm.PATHNET, f"step-{step}", numbers(step), state(step))
    run.close()
    assert (saved / "a-good-one" / "block.safetensors").exists()


def test_a_checkpoint_that_was_moved_and_linked_is_not_emptied(
    run: RunFolder, saved: Path, tmp_path: Path
) -> None:
    (saved / "step-1").rename(tmp_path / "archive")
    (saved / "step-1").symlink_to(tmp_path / "archive")
    before = contents(tmp_path / "archive")
    run.open()
    for step in range(4, 9):
        run.save(Arm.PATHNET, f"step-{step}", numbers(step), state(step))
    run.close()
    assert contents(tmp_path / "archive") == before


def test_a_users_file_in_a_checkpoint_outlives_it(run: RunFolder, saved: Path) -> None:
    (saved / "step-1" / "notes.txt").write_text("before the change")
    run.open()
    for step in range(4, 9):
        run.save(Arm.PATHNET, f"step-{step}", numbers(step), state(step))
    run.close()
    assert contents(saved / "step-1") == {"notes.txt": b"before the change"}


@pytest.mark.parametrize("name", ["block.safetensors", "state.json"])
def test_a_newest_checkpoint_that_is_cut_is_said_and_the_one_before_is_taken(
    name: str, run: RunFolder, saved: Path
) -> None:
    file = saved / "step-3" / name
    file.write_bytes(file.read_bytes()[:-9])
    cut = file.read_bytes()
    assert latest_step(run) == 2
    (line,) = said(run)
    assert line.startswith(f"left alone: the checkpoint {saved / 'step-3'} is damaged (")
    run.open()
    run.save(Arm.PATHNET, "step-3", numbers(30), state(30))
    run.close()
    assert latest_step(run) == 30
    if name == "state.json":  # It cannot say whose it is.
        assert file.read_bytes() == cut


def test_numbers_of_another_checkpoint_are_not_taken(run: RunFolder, saved: Path) -> None:
    shutil.copy(saved / "step-1" / "block.safetensors", saved / "step-3" / "block.safetensors")
    assert latest_step(run) == 2
    assert "is cut, changed or another checkpoint's" in said(run)[0]


def test_if_all_are_damaged_nothing_is_begun_anew(run: RunFolder, saved: Path) -> None:
    for path in saved.iterdir():
        (path / "state.json").write_text("{")
    before = contents(run.path)
    with pytest.raises(
        UserError, match="no other can be read: put one back, or learn it all again"
    ) as refused:
        run.latest(Arm.PATHNET)
    assert "\n" not in str(refused.value)
    assert contents(run.path) == before
    assert run.anything_learned()


def test_what_kills_left_unfinished_goes_and_a_users_stays(run: RunFolder, saved: Path) -> None:
    shutil.copytree(saved / "step-3", saved / "step-9.unfinished")
    state_of = saved / "step-9.unfinished" / "state.json"
    state_of.write_text(state_of.read_text().replace('"step-3"', '"step-9"'))
    (saved / "step-9.unfinished" / "block.safetensors").write_bytes(b"half")
    shutil.copytree(saved / "step-1", saved / "mine.unfinished")
    run.open()
    run.save(Arm.PATHNET, "step-4", numbers(4), state(4))
    run.close()
    names = {path.name for path in saved.iterdir()}
    assert names == {"step-2", "step-3", "step-4", "mine.unfinished"}


def test_a_run_that_was_made_before_runs_had_an_identity_is_gone_on_with(tmp_path: Path) -> None:
    run = begun(tiny_config(tmp_path))
    config = json.loads((run.path / "config.json").read_text())
    del config["run"]
    (run.path / "config.json").write_text(json.dumps(config))
    for path in run.checkpoints(Arm.PATHNET).iterdir():
        said_before = json.loads((path / "state.json").read_text())
        del said_before["checkpoint"]
        (path / "state.json").write_text(json.dumps(said_before))
    assert latest_step(run) == 3
    assert said(run) == []
    run.open()
    run.save(Arm.PATHNET, "step-4", numbers(4), state(4))
    run.close()
    assert latest_step(run) == 4


def test_a_copied_run_folder_is_the_same_run(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "copy")
    copy = RunFolder(tiny_config(tmp_path, name="copy"))
    assert copy.open()
    copy.close()
    assert latest_step(copy) == 3


@pytest.mark.parametrize("left", [".DS_Store", "lost+found", "config.json.unfinished"])
def test_what_systems_leave_makes_no_folder_somebody_elses(left: str, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    if left == "lost+found":
        (tmp_path / "tiny" / left).mkdir()
    else:
        (tmp_path / "tiny" / left).write_text("")
    folder = RunFolder(tiny_config(tmp_path))
    assert not folder.open()
    folder.close()
    assert folder.identity is not None


def test_another_programs_configuration_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text('{"architectures": ["Bert"], "name": "b"}')
    with pytest.raises(UserError, match=r"tiny/config.json is another program's"):
        RunFolder(tiny_config(tmp_path)).open()


def test_numbers_of_another_grid_are_one_line(tmp_path: Path) -> None:
    from tests.support import new_store

    store = new_store(tmp_path / "grid.block", small_grid())
    tensors, header = store.state()
    before = store.parameters.clone()
    for wrong in ({}, {**tensors, "squares": tensors["squares"][:-1]}):
        with pytest.raises(UserError, match="another grid's: ") as refused:
            store.load_state(wrong, header)
        assert "\n" not in str(refused.value)
    assert torch.equal(store.parameters, before)


def test_only_blocks_are_taken_for_leftovers(tmp_path: Path) -> None:
    import os

    from tests.support import new_store

    new_store(tmp_path / "pathnet-rl-killed.block", small_grid())
    (tmp_path / "pathnet-rl-reserved.block").write_bytes(bytes(100))
    (tmp_path / "pathnet-rl-notes.block").write_bytes(b"what I found in /dev/shm")
    for path in tmp_path.iterdir():
        old = path.stat().st_mtime - 2 * NEW_SECONDS
        os.utime(path, (old, old))
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pathnet-rl-notes.block"]


def test_the_same_step_saved_again_replaces_its_own_alone(tmp_path: Path) -> None:
    """At every moment one of the two is there: nothing is moved out of the way first."""
    for value in range(4):
        checkpoint.save(tmp_path, "one", numbers(value), {"value": value}, 2, "mine")
    (kept,) = tmp_path.iterdir()
    tensors, found = checkpoint.load(kept)
    assert found == {"value": 3}
    np.testing.assert_array_equal(tensors["parameters"].numpy(), 3.0)
