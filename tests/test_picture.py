"""Drawing the grid of a run from its run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.picture import Options, draw
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.errors import UserError
from tests.support import run_experiment, tiny_config


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
