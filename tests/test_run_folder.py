"""The run folder: made, found again, and kept from those it does not belong to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from tests.support import tiny_config


def open_once(config: RunConfig) -> bool:
    folder = RunFolder(config)
    try:
        return folder.open()
    finally:
        folder.close()


def refusal(config: RunConfig) -> str:
    with pytest.raises(UserError) as refused:
        open_once(config)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_new_folder_says_what_the_run_is_and_where_it_comes_from(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    assert not open_once(config)
    assert RunFolder.existing(tmp_path / "tiny").config == config
    (start,) = json.loads((tmp_path / "tiny" / "provenance.json").read_text())
    assert start["packages"]["torch"] != "not installed"
    assert {"started", "command", "commit", "python", "host", "cpus"} <= start.keys()


def test_the_same_run_is_found_again_and_each_start_is_noted(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    assert not open_once(config)
    for _ in range(2):
        assert open_once(config)
        RunFolder(config).note_resumption()
    assert len(json.loads((tmp_path / "tiny" / "provenance.json").read_text())) == 3


def test_where_and_how_often_may_change(tmp_path: Path) -> None:
    open_once(tiny_config(tmp_path))
    assert open_once(
        tiny_config(
            tmp_path,
            workers=2,
            serial=False,
            checkpoint_seconds=1.0,
            report_seconds=1.0,
            checkpoints_kept=1,
        )
    )


def test_another_experiment_is_refused_and_told_apart(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    open_once(config)
    RunFolder(config).save(Arm.PATHNET, "beginning", {}, {})
    before = (tmp_path / "tiny" / "config.json").read_text()
    message = refusal(tiny_config(tmp_path, seed=4, arms=(Arm.FINE_TUNE,)))
    assert "seed: was 0, is now 4" in message
    assert "arms: was ['pathnet'], is now ['fine-tune']" in message
    assert (tmp_path / "tiny" / "config.json").read_text() == before


def test_a_start_that_came_to_nothing_may_be_made_again_with_other_options(tmp_path: Path) -> None:
    open_once(tiny_config(tmp_path))
    corrected = tiny_config(tmp_path, seed=4)
    assert not open_once(corrected)
    assert RunFolder.existing(tmp_path / "tiny").config == corrected
    assert len(json.loads((tmp_path / "tiny" / "provenance.json").read_text())) == 1


def test_a_second_process_is_kept_out_until_the_first_is_done(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    folder = RunFolder(config)
    folder.open()
    assert "another process" in refusal(config)
    folder.close()
    assert open_once(config)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.tex").write_text("chapter 1")
    assert "no readable config.json" in refusal(tiny_config(tmp_path))
    assert (tmp_path / "tiny" / "thesis.tex").read_text() == "chapter 1"
    assert not (tmp_path / "tiny" / "config.json").exists()


@pytest.mark.parametrize("left", ["", '{"name": "tiny", "tas', "[]"])
def test_a_half_written_configuration_is_one_line(left: str, tmp_path: Path) -> None:
    open_once(tiny_config(tmp_path))
    (tmp_path / "tiny" / "config.json").write_text(left)
    assert "half-written" in refusal(tiny_config(tmp_path))


@pytest.mark.parametrize("left", ["", '[{"started": "20', "{}"])
def test_a_half_written_provenance_is_one_line_and_left_alone(left: str, tmp_path: Path) -> None:
    open_once(tiny_config(tmp_path))
    provenance = tmp_path / "tiny" / "provenance.json"
    provenance.write_text(left)
    with pytest.raises(UserError, match="half-written") as refused:
        RunFolder(tiny_config(tmp_path)).note_resumption()
    assert "\n" not in str(refused.value)
    assert provenance.read_text() == left


def test_a_provenance_that_is_one_start_is_read_as_a_list_of_one(tmp_path: Path) -> None:
    """So experiments on images kept it once."""
    open_once(tiny_config(tmp_path))
    provenance = tmp_path / "tiny" / "provenance.json"
    provenance.write_text('{"started": "2026-11-01T10:00:00+00:00", "command": ["a"]}')
    RunFolder(tiny_config(tmp_path)).note_resumption()
    first, second = json.loads(provenance.read_text())
    assert first == {"started": "2026-11-01T10:00:00+00:00", "command": ["a"]}
    assert second["packages"]["torch"] != "not installed"


def test_an_empty_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    assert not open_once(tiny_config(tmp_path))


def test_a_start_that_was_killed_before_it_wrote_anything_is_fine(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / ".lock").write_text("")
    assert not open_once(tiny_config(tmp_path))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(tiny_config(tmp_path / "file"))
    assert "cannot write" in refusal(tiny_config(Path("/proc/nowhere")))


def test_the_name_of_a_run_stays_in_its_folder(tmp_path: Path) -> None:
    """A name that leads elsewhere would mix its files with others'."""
    for name in (".", "..", "a/b"):
        with pytest.raises(UserError, match="name"):
            tiny_config(tmp_path, name=name)
