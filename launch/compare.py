"""Compare arms: pairs of games x seeds x settings, each a run of its own on a CPU of its own.

A pair is tasks joined by '>': 'ALE/Riverraid-v5>ALE/KungFuMaster-v5' (one task, or three, will do). Every
arm has the same budget, seeds and settings. The same command goes on with what was stopped or killed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import uuid
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table

from launch.command_line import from_presets, given_options, note_idle_options
from launch.display import Screen, clock, terminal
from launch.presets import PRESETS
from launch.signals import StopSignal, ends_with_one_line, status
from pathnet_rl.comparison.experiment import Comparison, ComparisonFolder, Member, check_tasks
from pathnet_rl.comparison.progress import Standing, Tally
from pathnet_rl.comparison.results import Line, Row, lines_of, rows_of, write_results
from pathnet_rl.config import RunConfig
from pathnet_rl.envs.interface import Described
from pathnet_rl.errors import UserError
from pathnet_rl.watching import Interrupted
from workers.one_run import Instructions, Outcome

PROGRAM = "python -m launch.compare"
MOST_NAMES = 5
"""Of failed runs, in the last line; each has had a line of its own."""


class Options(Comparison):
    """A comparison as the command line says it: the options of its runs stand beside its own."""

    base: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig()
    sweep: tyro.conf.UseAppendAction[tuple[str, ...]] = ()


def compare(comparison: Comparison, console: Console, given: Collection[str] = ()) -> None:
    """Learn what is missing, and sum up everything that is finished.

    Raises:
        UserError: something is wrong with the configuration or the surroundings, or members failed.
        Interrupted: asked to stop; every member has saved.
    """
    described = _check_surroundings(comparison)
    folder = ComparisonFolder(comparison)
    resumed = folder.open()
    try:
        members = list(comparison.members())
        finished = [member for member in members if member.finished()]
        failed: dict[str, str] = {}
        if len(finished) == len(members):
            console.print(f"{folder.where} is finished: nothing is left to do.", soft_wrap=True)
        else:
            if resumed:
                folder.note_resumption()
                line = (
                    f"Going on with {folder.where}: {len(finished)} of {len(members)} runs are done"
                )
                console.print(line, soft_wrap=True)
            note_idle_options(console, given, described)
            failed = _work(comparison, members, finished, console)
        failed |= _sum_up(comparison, members, failed, console)
    finally:
        folder.close()
    if failed:
        more = f" and {len(failed) - MOST_NAMES} more" if len(failed) > MOST_NAMES else ""
        names = ", ".join(list(failed)[:MOST_NAMES]) + more
        raise UserError(
            f"{len(failed)} of {len(members)} runs failed ({names}); what they learned is kept, and the"
            " same command tries them again"
        )


def _check_surroundings(comparison: Comparison) -> dict[str, Described]:
    if os.environ.get("RAY_ADDRESS") and not Path(comparison.base.folder).is_absolute():
        raise UserError(
            f"on a cluster all nodes must share --folder, and {comparison.base.folder} is another place on"
            " each; give it as an absolute path (or unset RAY_ADDRESS to use this machine alone)"
        )
    return check_tasks(comparison)


def _work(
    comparison: Comparison, members: Sequence[Member], finished: list[Member], console: Console
) -> dict[str, str]:
    """Have all members learned that are not finished; the errors of those that failed.

    Raises:
        Interrupted: asked to stop; every member has saved.
    """
    stop = StopSignal()
    stop.listen()
    random = comparison.random_policy_file, comparison.random_episodes
    instructions = Instructions(uuid.uuid4().hex, comparison.path / ".stop", *random)
    instructions.stop.unlink(missing_ok=True)
    tally = Tally(members, finished, instructions.start)
    done = {member.path for member in finished}
    missing = [member for member in members if member.path not in done]
    failed: dict[str, str] = {}
    with (
        Screen(console) as screen,
        contextlib.closing(_crew(comparison, missing, instructions, screen.note)) as crew,
    ):
        for ended in crew:
            for outcome in ended:
                _note(outcome, screen, tally, failed)
            standing = tally.look()
            screen.show(
                panel(standing), plain_line(standing), not (standing.running + standing.waiting)
            )
            if stop.requested and not instructions.stop.exists():
                screen.note("stopping: every run finishes its rollout and is saved")
                instructions.stop.touch()
    stop.leave()
    if instructions.stop.exists():
        instructions.stop.unlink()
        raise Interrupted
    return failed


def _note(outcome: Outcome, screen: Screen, tally: Tally, failed: dict[str, str]) -> None:
    """Count a member that has ended, and say how."""
    member = outcome.member
    if outcome.stopped:
        return
    tally.end(member, failed=outcome.error is not None)
    if outcome.error is None:
        screen.note(f"{member.name}: done, {member.path}")
    else:
        failed[member.name] = outcome.error
        screen.note(f"{member.name}: failed: {outcome.error}")


def _crew(
    comparison: Comparison,
    members: Sequence[Member],
    instructions: Instructions,
    say: Callable[[str], None],
) -> Generator[list[Outcome]]:
    """Those who learn the members: processes of this machine, the cluster that RAY_ADDRESS names, or Tune."""
    if comparison.tune:
        from workers.ray_tune import learn_with_tune

        return learn_with_tune(members, instructions, comparison.processes)
    if os.environ.get("RAY_ADDRESS"):
        from workers.ray_runs import learn_on_cluster

        return learn_on_cluster(members, instructions, comparison.processes)
    from workers.run_pool import learn_here

    return learn_here(members, instructions, comparison.processes, say)


def _sum_up(
    comparison: Comparison, members: Sequence[Member], failed: dict[str, str], console: Console
) -> dict[str, str]:
    """Print the table and write the files of what is finished; the errors of folders that cannot be read."""
    unreadable: dict[str, str] = {}
    random, episodes = comparison.random_policy, comparison.random_episodes
    rows: list[Row] = []
    there: list[Member] = []
    console.print("summing up; in new games a random policy plays, to compare with")
    for member in members:
        if member.name in failed:
            continue
        try:
            rows += rows_of(member, random, episodes)
            there.append(member)
        except UserError as error:
            unreadable[member.name] = str(error)
            console.print(f"{member.name}: failed: {error}", soft_wrap=True)
    if rows:
        files = write_results(comparison, there, rows, random)
        print_tables(console, lines_of(rows))
        console.print("\nLook at:")
        for path in files:
            console.print(f"  {path}", soft_wrap=True)
        console.print(f"  {there[0].path} and the others", soft_wrap=True)
        console.print(f"  TensorBoard: tensorboard --logdir {comparison.path}", soft_wrap=True)
    return unreadable


def plain_line(standing: Standing) -> str:
    """The whole progress in one line."""
    failed = f", {standing.failed} failed" if standing.failed else ""
    return (
        f"{standing.done}/{standing.members} runs done, {standing.running} running,"
        f" {standing.waiting} waiting{failed}: {standing.agent_steps:,}/{standing.budget:,} agent steps,"
        f" {standing.rate:,.0f}/s, {_left(standing)} left"
    )


def panel(standing: Standing) -> Table:
    """The same for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column()
    failed = f", {standing.failed} failed" if standing.failed else ""
    table.add_row(
        "runs",
        f"{standing.done} of {standing.members} done, {standing.running} running,"
        f" {standing.waiting} waiting{failed}",
    )
    table.add_row("", ProgressBar(total=standing.budget, completed=standing.agent_steps, width=50))
    table.add_row(
        "agent steps",
        f"{standing.agent_steps:,} of {standing.budget:,}, {standing.rate:,.0f}/s,"
        f" {_left(standing)} left",
    )
    return table


def _left(standing: Standing) -> str:
    return clock(standing.budget - standing.agent_steps, standing.rate)


def print_tables(console: Console, lines: Sequence[Line]) -> None:
    """A table a pair: an arm in a setting a row, means over seeds.

    The speedup is over independent: the ratio of areas above the random policy's return.
    """
    for pair in dict.fromkeys(line.pair for line in lines):
        table = Table(title=f"{pair}: the last task, means over seeds")
        for column in ("setting", "arm"):
            table.add_column(column, no_wrap=True)
        for column in ("seeds", "area under the curve", "speedup", "last 100 episodes"):
            table.add_column(column, justify="right")
        for line in lines:
            if line.pair == pair:
                table.add_row(
                    line.setting,
                    line.arm,
                    str(line.seeds),
                    _cell(line.area),
                    "-" if line.relative_area is None else str(line.relative_area),
                    _cell(line.mean_return_last_100),
                )
        console.print(table)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def read(arguments: Sequence[str] | None = None) -> Comparison:
    """The comparison that a command line describes."""
    presets = {
        # A comparison's folder holds folders of runs, and is not that of the preset's own run.
        name: (text, Options(base=run.model_copy(update={"name": f"compare-{name}"})))
        for name, (text, run) in PRESETS.items()
    }
    options = from_presets(presets, PROGRAM, __doc__, arguments)
    return Comparison.model_validate(options.model_dump(mode="json"))


def place_of(arguments: Sequence[str]) -> tuple[str, str]:
    """The folder and the name of the comparison that a command line describes.

    Raises:
        UserError: it cannot be run.
    """
    comparison = read(arguments)
    check_tasks(comparison)
    return comparison.base.folder, comparison.base.name


@ends_with_one_line
def main() -> None:
    """The command line: `python -m launch.compare PRESET [options]`."""
    console = terminal()
    try:
        compare(read(), console, given_options())
    except UserError as error:
        sys.exit(f"error: {error}")
    except Interrupted:
        console.print(f"Stopped and saved. To go on: {_again()}", soft_wrap=True)
        sys.exit(130)
    except KeyboardInterrupt as error:
        line = f"Ended at once; to go on from the last checkpoints: {_again()}"
        console.print(line, soft_wrap=True)
        sys.exit(status(error))


def _again() -> str:
    return shlex.join([*PROGRAM.split(), *sys.argv[1:]])


if __name__ == "__main__":
    main()
