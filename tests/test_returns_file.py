"""returns.csv: what a checkpoint counts on must be there as it was written; what came after is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.returns_file import HEADER, ReturnsFile, check_returns
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted
from tests.support import TapeDisplay, read_rows, run_experiment, tiny_config


def written(path: Path, rows: int) -> dict[str, Any]:
    file = ReturnsFile(path)
    for number in range(rows):
        file.add(0, "pathnet", 10 * number, float(number), 7)
    state = file.state()
    file.close()
    return state


@pytest.mark.parametrize(
    ("after", "rows"),
    [(b"", 0), (b"0,pathnet,90,1.0,7\n", 1), (b"0,pathnet,90,1.0,7\n0,path", 2), (b"0", 1)],
)
def test_what_came_after_is_cut_off_and_counted(tmp_path: Path, after: bytes, rows: int) -> None:
    path = tmp_path / "returns.csv"
    state = written(path, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + after)
    again = ReturnsFile(path)
    assert again.go_on(state) == rows
    again.add(1, "pathnet", 5, 2.5, 3)
    later = again.state()
    assert path.read_bytes() == whole + b"1,pathnet,5,2.5,3\n"
    assert check_returns(path, later) == path.read_bytes()
    again.close()


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def other_ends_of_lines(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def another_number(path: Path) -> None:
    header, row, *rows = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([header, row[:-1] + b"0", *rows]))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARM = [
    (Path.unlink, "is missing, of which the last checkpoint has"),
    (shorter, "rows of episodes are missing"),
    (other_ends_of_lines, r"has other ends of lines \(CRLF\) than the run wrote"),
    (another_number, "is not what the run wrote before its last checkpoint"),
    (a_folder, "cannot be read"),
]


@pytest.mark.parametrize(("harm", "message"), HARM)
def test_what_came_before_is_not_believed_if_it_changed(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "returns.csv"
    state = written(path, 3)
    harm(path)
    with pytest.raises(UserError, match=message) as refused:
        check_returns(path, state)
    assert "\n" not in str(refused.value)


def test_a_state_of_an_older_version_has_only_a_length(tmp_path: Path) -> None:
    path = tmp_path / "returns.csv"
    state = {"returns_bytes": written(path, 3)["returns_bytes"]}
    another_number(path)
    assert len(check_returns(path, state)) == state["returns_bytes"]


@pytest.mark.parametrize(("harm", "message"), HARM)
def test_a_run_says_so_before_anything_is_learned(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    config = tiny_config(tmp_path, arms=(Arm.INDEPENDENT, Arm.PATHNET))
    looks = iter([False] * 3)
    with pytest.raises(Interrupted):
        run_experiment(
            config.model_copy(update={"agent_steps": (200_000,), "report_seconds": 0.1}),
            stop_requested=lambda: next(looks, True),
        )
    folder = RunFolder(config)
    harm(folder.returns)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message):
        run_experiment(config.model_copy(update={"agent_steps": (200_000,)}))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_says_how_many_rows_it_cuts_off(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(20_000,), report_seconds=0.1)
    looks = iter([False] * 3)
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: next(looks, True))
    folder = RunFolder(config)
    rows = read_rows(folder.returns)
    with folder.returns.open("a") as file:
        file.write("0,pathnet,9000,12.0,12\n0,pathnet,9001,1")
    display = TapeDisplay()
    run_experiment(config, display=display)
    assert any(note.startswith("2 rows of returns.csv came after that") for note in display.notes)
    assert read_rows(folder.returns)[: len(rows)] == rows


@pytest.mark.parametrize("left", [0, 1, len(HEADER) - 1, len(HEADER)])
def test_a_kill_before_the_first_checkpoint_is_gone_on_from(left: int, tmp_path: Path) -> None:
    """Between the file and its header, or inside it; the run could never be gone on with."""
    config = tiny_config(tmp_path, tasks=("CartPole-v1",), agent_steps=(400,))
    folder = RunFolder(config)
    folder.open()
    folder.close()
    folder.returns.write_bytes(HEADER[:left])
    _, (left_out,) = read_runs([folder.path])
    assert "has not begun" in left_out.reason
    run_experiment(config)
    whole = folder.returns.read_bytes()
    assert whole.startswith(HEADER)
    assert whole.count(HEADER) == 1
    assert len(read_rows(folder.returns)) > 1
