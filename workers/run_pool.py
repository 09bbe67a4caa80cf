"""The members of a comparison in processes of this machine: each has one of its own, on one CPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from pathnet_rl.block_files import remove_blocks_of
from pathnet_rl.comparison.experiment import Member
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.handlers import handlers_kept
from workers.one_run import Instructions, Outcome, learn
from workers.signals import ENDING, leave_to_parent

SECONDS = 1.0
"""Between two looks, if nobody ends in between."""
MOST_DEATHS = 3
"""A member whose process is killed this often is not learned."""
MOST_BYTES = 107
"""Of a Unix socket's path."""


@dataclass(frozen=True)
class _Running:
    member: Member
    process: ForkServerProcess
    outcome: Connection


def learn_here(
    members: Sequence[Member],
    instructions: Instructions,
    processes: int | None,
    say: Callable[[str], None],
) -> Generator[list[Outcome]]:
    """Those who have ended, at least once a second; no more are begun once all are told to stop.

    A member whose process is killed is gone on with, some times; then that is its error. When this is closed
    or interrupted, all are ended at once.
    """
    context = multiprocessing.get_context("forkserver")
    _start_fork_server()
    side_by_side = processes or usable_cpus()
    waiting, running = deque(members), list[_Running]()
    deaths = Counter[str]()
    try:
        while running or (waiting and not instructions.stop.exists()):
            while waiting and len(running) < side_by_side and not instructions.stop.exists():
                member = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(member, instructions, sender))
                process.start()
                sender.close()
                running.append(_Running(member, process, receiver))
            ended = set(wait([one.process.sentinel for one in running], SECONDS))
            over = [one for one in running if one.process.sentinel in ended]
            running = [one for one in running if one.process.sentinel not in ended]
            outcomes = []
            for one in over:
                outcome = _outcome(one)
                status = one.process.exitcode or 0
                if status < 0 and outcome.error and not instructions.stop.exists():
                    deaths[one.member.name] += 1
                    if deaths[one.member.name] < MOST_DEATHS:
                        say(f"{one.member.name}: {outcome.error}; it goes on")
                        waiting.append(one.member)
                        continue
                outcomes.append(outcome)
            yield outcomes
    finally:
        for one in running:
            one.process.kill()
            one.process.join()
            _free_blocks(one.member)


def _start_fork_server() -> None:
    """Start what members are forked from: it has loaded the libraries, for which each would take seconds."""
    forkserver.set_forkserver_preload(
        ["workers.one_run", "workers.serial", "torch.utils.tensorboard", "pathnet_rl.pictures"]
    )
    with handlers_kept(ENDING), _room_for_sockets():
        leave_to_parent()
        forkserver.ensure_running()


@contextlib.contextmanager
def _room_for_sockets() -> Iterator[None]:
    """The fork server listens in the temporary folder, whose path may be too long for that."""
    given = tempfile.gettempdir()
    if len(os.fsencode(given)) + len("/pymp-00000000/listener-00000000") <= MOST_BYTES:
        yield
        return
    tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = given


def _outcome(one: _Running) -> Outcome:
    """What a process that has ended said of its member, or how it died."""
    one.process.join()
    try:
        outcome: Outcome = one.outcome.recv()
        return outcome
    except EOFError:
        _free_blocks(one.member)
        return Outcome(one.member, error=_last_words(one.member, one.process.exitcode))
    finally:
        one.outcome.close()


def _free_blocks(member: Member) -> None:
    """A process that was ended could not remove the blocks that it had in memory."""
    for arm in member.config.arms:
        remove_blocks_of(member.config, arm)


def _last_words(member: Member, status: int | None) -> str:
    if status is not None and status < 0:
        how = f"signal {-status}"
        return f"its process died ({how}), perhaps for want of memory; fewer --processes may help"
    try:
        said = [line for line in member.log.read_text().splitlines() if line.strip()]
    except OSError:
        said = []
    return f"{said[-1].strip() if said else f'exit status {status}'} ({member.log})"


def _work(member: Member, instructions: Instructions, outcome: Connection) -> None:
    """What a process does: learn its member; on SIGTERM, or if its parent is gone, save and stop."""
    told: list[int] = []
    leave_to_parent()
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    parent = multiprocessing.parent_process()
    _write_to_log(member)

    def stop_requested() -> bool:
        return bool(told) or (parent is not None and not parent.is_alive())

    ended = learn(member, instructions, stop_requested)
    with contextlib.suppress(BrokenPipeError):  # The parent is gone. What was learned is saved.
        outcome.send(ended)
    if not member.log.stat().st_size:
        member.log.unlink()


def _write_to_log(member: Member) -> None:
    """Whatever is printed from here on, by libraries and by an error too, goes beside the run folder."""
    member.path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(member.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
