"""Seeds in processes of this machine: the results of one process, and nothing that goes on alone."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.jobs import do
from tests.small_experiment import ENDLESS, JOBS, QUICK, small_experiment, write_digits
from workers.seed_pool import do_here


def wait_until_no_process_is_left() -> None:
    until = time.monotonic() + 30
    while multiprocessing.active_children():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_pool_of_processes_gives_the_same_results_as_this_process(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    expected = {job: do(given, job).results for job in JOBS}
    assert {done.job: done.results for done in do_here(given, JOBS)} == expected


def test_a_job_that_is_left_does_not_go_on_alone(tmp_path: Path) -> None:
    given = small_experiment(write_digits(tmp_path))
    with contextlib.closing(do_here(given, [QUICK, ENDLESS, ENDLESS])) as pool:
        assert next(pool).job == QUICK
        assert multiprocessing.active_children()
    wait_until_no_process_is_left()


def test_a_process_that_dies_is_one_line(tmp_path: Path) -> None:
    def kill_one() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.05)
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(UserError, match="the same command goes on, with fewer --processes") as died:
        next(do_here(small_experiment(write_digits(tmp_path)), [ENDLESS, ENDLESS]))
    killer.join()
    assert "\n" not in str(died.value)
    wait_until_no_process_is_left()
