"""Seeds in processes of this machine: the results of one process, and nothing that goes on alone."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.supervised.jobs import Job, do
from tests.small_experiment import ENDLESS, JOBS, QUICK, SEQUENCE, small_experiment, write_digits
from tests.support import ROOT
from workers.seed_pool import MOST_IN_A_ROW, do_here


def wait_until_no_process_is_left() -> None:
    until = time.monotonic() + 30
    while multiprocessing.active_children():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_pool_of_processes_gives_the_same_results_as_this_process(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    expected = {job: do(given, job).results for job in JOBS}
    assert {done.job: done.results for done in do_here(given, JOBS, print)} == expected


def test_a_job_that_is_left_does_not_go_on_alone(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    with contextlib.closing(do_here(given, [QUICK, ENDLESS, ENDLESS], print)) as pool:
        assert next(pool).job == QUICK
        assert multiprocessing.active_children()
    wait_until_no_process_is_left()


class Killer(threading.Thread):
    """Kills a process of the pool, and another one whenever that has been said."""

    def __init__(self, times: int) -> None:
        super().__init__()
        wait_until_no_process_is_left()  # It would take one of an earlier pool for one of this.
        self.said: list[str] = []
        self._times = times

    def run(self) -> None:
        former: set[int | None] = set()
        for deaths in range(self._times):
            new: list[BaseProcess] = []
            while len(self.said) < deaths or not new:
                time.sleep(0.05)
                there = multiprocessing.active_children()
                new = [process for process in there if process.pid not in former]
            former |= {process.pid for process in there}
            new[0].kill()


def test_a_process_that_dies_is_said_and_its_seeds_are_begun_anew(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    killer = Killer(1)
    killer.start()
    found = {done.job: done.results for done in do_here(given, JOBS, killer.said.append)}
    killer.join()
    (line,) = killer.said
    assert line.startswith("a process that learned seeds died")
    assert found == {job: do(given, job).results for job in JOBS}


def test_processes_that_die_again_and_again_are_one_line(tmp_path: Path) -> None:
    killer = Killer(MOST_IN_A_ROW + 1)
    killer.start()
    given = small_experiment(write_digits(tmp_path))
    with pytest.raises(UserError, match=r"died 4 times .* goes on, with fewer --processes") as died:
        next(do_here(given, [ENDLESS, ENDLESS], killer.said.append))
    killer.join()
    assert len(killer.said) == MOST_IN_A_ROW
    assert "\n" not in str(died.value)
    wait_until_no_process_is_left()


def test_nobody_goes_on_without_a_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.small_experiment import *\n"
        "from workers.seed_pool import do_here\n"
        "if __name__ == '__main__':\n"
        "    given = small_experiment(write_digits(Path(sys.argv[1])))\n"
        "    for done in do_here(given, [QUICK, ENDLESS], print): print(done.job.arm, flush=True)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert "pathnet" in parent.stdout.readline()
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_what_goes_wrong_in_a_job_is_raised_here_with_the_place_where_it_went_wrong(
    tmp_path: Path,
) -> None:
    given = small_experiment(write_digits(tmp_path))
    with pytest.raises(UserError, match="0-1x1-2"):
        list(do_here(given, [Job("0-1x1-2", Arm.PATHNET, (0,))], print))
    with pytest.raises(TypeError) as unforeseen:
        list(do_here(given, [Job(SEQUENCE, Arm.PATHNET, ("no seed",))], print))  # type: ignore[arg-type]
    assert "run_seed" in "".join(unforeseen.value.__notes__)
    wait_until_no_process_is_left()


def test_nobody_is_left_whenever_it_is_stopped(tmp_path: Path) -> None:
    """Results are on their way all the time; whoever shared a queue would wait for the rest of one."""
    given = small_experiment(write_digits(tmp_path))
    jobs = [Job(SEQUENCE, Arm.INDEPENDENT, (seed,)) for seed in range(4000)]
    for count in (1, 60):
        with contextlib.closing(do_here(given, jobs, print)) as pool:
            assert len(list(itertools.islice(pool, count))) == count
        assert not multiprocessing.active_children()
