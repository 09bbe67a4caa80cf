"""Drawing the grid of a run from its run folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from launch.picture import Options, draw
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.errors import UserError
from tests.support import ROOT, run_experiment, tiny_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny_config(tmp_path_factory.mktemp("picture"), agent_steps=(1500,))
    run_experiment(config)
    return Path(config.folder) / config.name


def test_the_picture_lies_in_the_run_folder_unless_another_place_is_given(
    run: Path, tmp_path: Path
) -> None:
    assert draw(Options(run)) == run.resolve() / "grid_pathnet.png"
    elsewhere = tmp_path / "grid.svg"
    assert draw(Options(run, output=elsewhere)) == elsewhere
    assert "4 pathways (pathnet) after" in elsewhere.read_text()
    assert (run / "grid_pathnet.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_or_a_name_without_an_ending_is_a_place_too(run: Path, tmp_path: Path) -> None:
    """It went to a file beside the folder that was named, and the folder was said."""
    assert draw(Options(run, output=tmp_path)) == tmp_path / "grid_pathnet.png"
    assert draw(Options(run, output=tmp_path / "grid")) == tmp_path / "grid.png"
    assert {path.name for path in tmp_path.iterdir()} >= {"grid_pathnet.png", "grid.png"}


def test_a_reader_that_leaves_is_no_error(run: Path, tmp_path: Path) -> None:
    """As with `| true`."""
    words = [sys.executable, "-m", "launch.picture", str(run), "--output", str(tmp_path / "a.png")]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_copies_that_were_made_are_in_the_picture(tmp_path: Path) -> None:
    evolution = EvolutionConfig(population=4, episodes=2, rivals=2, duplication_rate=1.0)
    config = tiny_config(tmp_path, agent_steps=(3000,), evolution=evolution)
    run_experiment(config)
    drawn = draw(Options(tmp_path / config.name, output=tmp_path / "grid.svg")).read_text()
    assert "copy of module 3" in drawn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": Path("nowhere")}, "nowhere is no run folder"),
        ({"arm": Arm.FINE_TUNE}, "no checkpoint of the arm fine-tune"),
        ({"output": Path("/nowhere/grid.png")}, "cannot write /nowhere/grid.png: No such file"),
        ({"output": Path("grid.xyz")}, "cannot write grid.xyz: Format 'xyz' is not supported"),
    ],
)
def test_what_cannot_be_drawn_is_answered_in_one_line(
    change: dict[str, object], message: str, run: Path
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        draw(Options(**{"run": run, **change}))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
