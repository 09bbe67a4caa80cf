"""What people do to a run's folder: edit, move, link and thin it out. Said at once, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.report import read_returns
from pathnet_rl.returns_file import ReturnsFile
from pathnet_rl.run_folder import RunFolder
from tests.support import run_experiment, tiny_config

CHANGES = {"tasks": ("CartPole-v1",), "agent_steps": (400,)}


def test_a_copy_without_checkpoints_is_not_learned_into_twice(tmp_path: Path) -> None:
    """As `rsync --exclude checkpoints` leaves it: all episodes were there twice, and reported."""
    config = tiny_config(tmp_path, **CHANGES)
    run_experiment(config)
    folder = RunFolder(config)
    rows = folder.returns.read_bytes()
    shutil.rmtree(folder.path / "checkpoints")
    with pytest.raises(UserError, match="of the arm pathnet, of which this run has no checkpoint"):
        run_experiment(config)
    assert folder.returns.read_bytes() == rows


def test_checkpoints_that_the_configuration_disowns_are_not_learned_beside(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, **CHANGES)
    run_experiment(config)
    path = RunFolder(config).path / "config.json"
    said = json.loads(path.read_text())
    said.pop("run")
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match="of which this run has no checkpoint"):
        run_experiment(config)


def test_a_budget_that_was_edited_is_not_what_was_learned(tmp_path: Path) -> None:
    """The same options agree with the edited file; it was reported as a run of so many agent steps."""
    run_experiment(tiny_config(tmp_path, **CHANGES))
    longer = tiny_config(tmp_path, tasks=("CartPole-v1",), agent_steps=(800,))
    path = RunFolder(longer).path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "agent_steps": [800]}))
    with pytest.raises(UserError, match=r"of a task of 400 agent steps, and config.json says 800"):
        run_experiment(longer)


def test_another_setting_that_was_edited_is_not_what_was_learned_with(tmp_path: Path) -> None:
    """The same options agree with the edited file: the rest was learned, and all reported, with them."""
    config = tiny_config(tmp_path, **CHANGES)
    run_experiment(config)
    learning = config.learning.model_copy(update={"learning_rate": 0.5})
    edited = config.model_copy(update={"learning": learning})
    path = RunFolder(config).path / "config.json"
    said = json.loads(path.read_text())
    said["learning"]["learning_rate"] = 0.5
    path.write_text(json.dumps(said))
    with pytest.raises(UserError, match=r"learning.learning_rate: was 0.005, is now 0.5"):
        run_experiment(edited)
    _, (left_out,) = read_runs([path.parent])
    assert "learning.learning_rate" in left_out.reason
    said["learning"]["learning_rate"] = config.learning.learning_rate
    path.write_text(json.dumps({**said, "report_seconds": 3.0}))  # Which may change.
    assert len(run_experiment(config)[Arm.PATHNET]) == 1


def test_a_folder_that_is_moved_while_it_learns_is_not_begun_where_it_was(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, **{**CHANGES, "checkpoint_seconds": 0.01})
    old, new = RunFolder(config).path, tmp_path / "moved"

    def move() -> bool:
        if not new.exists():
            old.rename(new)
        return False

    with pytest.raises(UserError, match="moved"):
        run_experiment(config, stop_requested=move)
    assert not old.exists()
    new.rename(old)
    assert len(run_experiment(config)[Arm.PATHNET]) == 1


def test_rows_of_a_copy_by_links_are_its_own(tmp_path: Path) -> None:
    """As `cp -al` and backups make it; the file was one, and each run cut off the rows of the other."""
    original, copy = tmp_path / "original.csv", tmp_path / "copy.csv"
    ReturnsFile(original).close()
    os.link(original, copy)
    before = original.read_bytes()
    file = ReturnsFile(copy)
    file.add(0, "pathnet", 128, 12.0, 12)
    file.close()
    assert original.read_bytes() == before
    assert copy.read_bytes().startswith(before)
    assert copy.read_bytes().endswith(b"0,pathnet,128,12.0,12\n")


def test_a_table_that_a_spreadsheet_saved_is_read_or_shown(tmp_path: Path) -> None:
    text = "task,arm,agent_steps,episode_return,length\r\n0,pathnet,128,12.0,12\r\n"
    path = tmp_path / "returns.csv"
    path.write_text(text, encoding="utf-8-sig", newline="")
    assert read_returns(path)[0, "pathnet"].returns.tolist() == [12.0]
    path.write_text(text.replace(",", ";"), newline="")
    with pytest.raises(UserError, match="it has no column task, but 'task;arm;agent_steps"):
        read_returns(path)
