"""Members in processes of this machine: the runs of one process, and nothing that goes on alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.block_files import blocks_of
from pathnet_rl.comparison.experiment import Comparison, Member
from pathnet_rl.comparison.progress import read_progress
from tests.small_comparison import instructions, small_comparison
from tests.support import ROOT
from workers.one_run import Outcome, learn
from workers.run_pool import MOST_DEATHS, learn_here

ENDLESS = 10**9


def test_a_pool_of_processes_learns_what_one_process_does(tmp_path: Path) -> None:
    here, there = small_comparison(tmp_path / "here"), small_comparison(tmp_path / "there")
    (mine,), (theirs,) = here.members(), there.members()
    assert learn(mine, instructions(here)).error is None
    ended = [o for some in learn_here([theirs], instructions(there), 1, print) for o in some]
    assert [(o.member, o.error, o.stopped) for o in ended] == [(theirs, None, False)]
    assert (mine.path / "returns.csv").read_bytes() == (theirs.path / "returns.csv").read_bytes()
    assert theirs.finished()
    assert not theirs.log.exists()


def endless(folder: Path, seeds: int) -> tuple[Comparison, list[Member]]:
    given = small_comparison(folder, agent_steps=ENDLESS, seeds=seeds)
    return given, list(given.members())


def number_of(child: BaseProcess) -> int:
    """Processes are numbered as they are begun."""
    return int(child.name.rpartition("-")[2])


def test_told_to_stop_all_save_and_no_more_are_begun(tmp_path: Path) -> None:
    given, members = endless(tmp_path, 3)
    ended: list[Outcome] = []
    for some in learn_here(members, instructions(given), 2, print):
        ended += some
        if all(read_progress(member.path)[0] for member in members[:2]):
            instructions(given).stop.touch()
    assert {outcome.member.seed for outcome in ended if outcome.stopped} == {0, 1}
    assert len(ended) == 2
    for member in members[:2]:
        saved = sorted(member.path.glob("checkpoints/pathnet/*"))
        assert "step-000000000000" not in saved[-1].name
    assert not members[2].path.exists()
    assert not multiprocessing.active_children()


def test_a_process_that_dies_again_and_again_is_an_error_of_its_member_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    given = small_comparison(tmp_path, seeds=2)
    doomed = next(iter(small_comparison(tmp_path / "doomed", agent_steps=ENDLESS).members()))
    ended: list[Outcome] = []
    said: list[str] = []
    for some in learn_here([doomed, *given.members()], instructions(given), 2, said.append):
        ended += some
        killed = len(said)
        if doomed not in [outcome.member for outcome in ended] and blocks_of(
            doomed.config, Arm.PATHNET
        ):
            number = min if killed == 0 else max
            number(multiprocessing.active_children(), key=number_of).kill()
    why = "its process died (signal 9), perhaps for want of memory; fewer --processes may help"
    errors = {outcome.member.path: outcome.error for outcome in ended}
    assert len(errors) == 3
    assert errors.pop(doomed.path) == why
    assert set(errors.values()) == {None}
    assert said == [f"{doomed.name}: {why}; it goes on"] * (MOST_DEATHS - 1)
    assert blocks_of(doomed.config, Arm.PATHNET) == []


def test_a_process_that_dies_once_is_said_and_its_member_goes_on(tmp_path: Path) -> None:
    given = small_comparison(tmp_path, agent_steps=4000)
    (member,) = given.members()
    ended: list[Outcome] = []
    said: list[str] = []
    for some in learn_here([member], instructions(given), 1, said.append):
        ended += some
        if not said and read_progress(member.path)[0]:
            for child in multiprocessing.active_children():
                child.kill()
    assert len(said) == 1
    assert [(outcome.member, outcome.error) for outcome in ended] == [(member, None)]
    assert member.finished()


def test_a_long_temporary_folder_has_no_room_for_sockets_and_that_is_no_obstacle(
    tmp_path: Path,
) -> None:
    """In a process of its own: a fork server is started once."""
    long = tmp_path / ("long" * 25)
    long.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests.small_comparison import *\n"
        "from workers.run_pool import learn_here\n"
        "if __name__ == '__main__':\n"
        "    given = small_comparison(Path(sys.argv[1]))\n"
        "    crew = learn_here(list(given.members()), instructions(given), 1, print)\n"
        "    ended = [outcome for some in crew for outcome in some]\n"
        "    assert [outcome.error for outcome in ended] == [None], ended\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(long)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_error_that_nobody_foresaw_is_told_by_its_last_line(tmp_path: Path) -> None:
    given = small_comparison(tmp_path)
    (member,) = given.members()
    broken = Member(member.pair, member.setting, member.seed, member.config)
    object.__setattr__(broken, "config", member.config.model_copy(update={"tasks": (1, 2)}))
    ((outcome,),) = [some for some in learn_here([broken], instructions(given), 1, print) if some]
    assert outcome.error is not None
    assert "\n" not in outcome.error
    assert outcome.error.endswith(f"({broken.log})")
    assert "Traceback" in broken.log.read_text()


def test_members_that_are_left_do_not_go_on_alone(tmp_path: Path) -> None:
    given, members = endless(tmp_path, 2)
    with contextlib.closing(learn_here(members, instructions(given), 2, print)) as pool:
        next(pool)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()
