"""Bad input and bad surroundings on the real command line: one clear line each, and nothing is lost."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launch.presets import PRESETS
from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.block_files import blocks_of
from pathnet_rl.config import RunConfig
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted
from tests.support import ROOT, command, run_command, run_experiment


@dataclass(frozen=True)
class Case:
    """A command and a part of the one line that answers it.

    `prepare` is given the folder of the runs before; `most_bytes` limits every file it writes.
    """

    arguments: tuple[str, ...]
    answer: tuple[str, ...]
    prepare: Callable[[Path], None] = field(default=lambda runs: None)
    most_bytes: int | None = None


CARTPOLE = ("cartpole", "--serial", "--tasks", "CartPole-v1", "--agent-steps", "40000")


def begin_run(runs: Path) -> None:
    """The run of CARTPOLE, stopped and saved after its first moments."""
    config = PRESETS["cartpole"][1].model_copy(
        update={
            "folder": str(runs),
            "tasks": ("CartPole-v1",),
            "agent_steps": (40_000,),
            "report_seconds": 0.05,
        }
    )
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: True)


def saved(runs: Path) -> list[Path]:
    folder = RunFolder(RunConfig(name="cartpole", folder=str(runs)))
    return checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET))


def change_layout(runs: Path) -> None:
    begin_run(runs)
    path = saved(runs)[-1] / "state.json"
    state = json.loads(path.read_text())
    state["store"]["layout_version"] = 99
    path.write_text(json.dumps(state))


def damage(runs: Path) -> None:
    begin_run(runs)
    for path in saved(runs):
        block = path / "block.safetensors"
        block.write_bytes(block.read_bytes()[:1000])


def empty_state(runs: Path) -> None:
    begin_run(runs)
    for path in saved(runs):
        (path / "state.json").write_text("{")


def leave_half_a_run(runs: Path) -> None:
    (runs / "cartpole" / "checkpoints").mkdir(parents=True)
    (runs / "cartpole" / "config.json.unfinished").write_text('{"name": "ca')


def leave_half_a_configuration(runs: Path) -> None:
    (runs / "cartpole").mkdir(parents=True)
    (runs / "cartpole" / "config.json").write_text('{"name": "ca')


def put_a_file_there(runs: Path) -> None:
    runs.write_text("")


CASES = {
    "unknown game": Case(("laptop", "--tasks", "ALE/Pongg-v5"), ("'ALE/Pongg-v5'", "ALE/Pong-v5")),
    "vector into convolutions": Case(
        ("laptop", "--tasks", "CartPole-v1"), ("layer 0", "linear modules")
    ),
    "tasks of different shapes": Case(
        ("cartpole", "--tasks", "CartPole-v1", "ALE/Pong-v5"), ("(4, 84, 84)", "share a grid")
    ),
    "continuous actions": Case(("cartpole", "--tasks", "Pendulum-v1"), ("Pendulum-v1", "Discrete")),
    "wider than the grid": Case(("cartpole", "--grid.width", "9"), ("N = 9", "M = 6")),
    "an arm of the experiments on images": Case(
        ("cartpole", "--arms", "population-20"), ("no arm population-20", "choose from pathnet")
    ),
    "zero workers": Case(("cartpole", "--workers", "0"), ("workers", "greater than or equal to 1")),
    "more workers than pathways": Case(("cartpole", "--workers", "9"), ("9 workers", "8 pathways")),
    "too many agent steps": Case(("cartpole", "--agent-steps", "9" * 20), ("at most",)),
    "infinite rate": Case(("cartpole", "--learning.learning-rate", "inf"), ("finite number",)),
    "a module that cannot be": Case(("cartpole", "--tasks", "./x:Foo-v0"), ("'./x'", "imported")),
    "learning that diverges": Case(
        (*CARTPOLE, "--learning.learning-rate", "1e30"), ("diverged", "--learning.learning-rate")
    ),
    "a state that says nothing": Case(CARTPOLE, ("damaged", "no other can be read"), empty_state),
    "unwritable folder": Case(CARTPOLE, ("cannot write", "Not a directory"), put_a_file_there),
    "half-written run": Case(CARTPOLE, ("half-written",), leave_half_a_run),
    "half-written configuration": Case(CARTPOLE, ("half-written",), leave_half_a_configuration),
    "another configuration": Case(
        (*CARTPOLE, "--seed", "5"), ("seed: was 0, is now 5", "--name"), begin_run
    ),
    "another layout": Case(CARTPOLE, ("another layout", "99"), change_layout),
    "damaged checkpoint": Case(CARTPOLE, ("damaged", "cut", "no other can be read"), damage),
    "no space for the block": Case(CARTPOLE, ("cannot reserve", "free space"), most_bytes=8000),
    "disk full in a new run": Case(
        (*CARTPOLE, "--report-seconds", "0.02"), ("cannot write", "free space"), most_bytes=150_000
    ),
    "disk full in a run that goes on": Case(
        (*CARTPOLE, "--report-seconds", "0.02", "--checkpoints-kept", "100"),
        ("cannot write", "free space"),
        begin_run,
        most_bytes=150_000,
    ),
}


def checkpoints_of(runs: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in runs.rglob("checkpoints/*/*/*")}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_answered_with_one_clear_line_and_nothing_is_lost(
    name: str, tmp_path: Path
) -> None:
    case, runs = CASES[name], tmp_path / "runs"
    case.prepare(runs)
    before = checkpoints_of(runs)

    def limit() -> None:
        if case.most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.most_bytes, case.most_bytes))

    process = subprocess.run(
        command(*case.arguments, "--folder", str(runs)),
        cwd=ROOT, capture_output=True, text=True, timeout=200, preexec_fn=limit, check=False,
    )  # fmt: skip
    assert process.returncode not in (0, None)
    assert process.stderr.startswith("error: ")
    assert process.stderr.endswith("\n")
    assert process.stderr.count("\n") == 1, process.stderr
    for part in case.answer:
        assert part in process.stderr
    assert "Traceback" not in process.stdout
    after = checkpoints_of(runs) if runs.is_dir() else {}
    assert {path: after.get(path) for path in before} == before
    assert not [path for path in after if ".unfinished" in str(path)]
    config = RunConfig(name="cartpole", folder=str(runs))
    assert blocks_of(config, Arm.PATHNET) == [], "something was left in shared memory"
    if case.most_bytes is not None and before:
        again = run_command(*CARTPOLE, "--folder", str(runs))
        assert again.returncode == 0, again.stderr
        assert "going on from" in again.stdout, "once there is space it goes on"
