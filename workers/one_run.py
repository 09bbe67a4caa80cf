"""One member of a comparison, learned by the serial twin where this is called: an ordinary run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pathnet_rl import engine
from pathnet_rl.comparison.experiment import Member, MemberFolder
from pathnet_rl.comparison.progress import ProgressFile, read_progress
from pathnet_rl.errors import UserError
from pathnet_rl.grid import build_grid
from pathnet_rl.random_policy import RandomPolicy
from pathnet_rl.report import summarise, write_report
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.transfer import run
from pathnet_rl.watching import Interrupted, Watch


@dataclass(frozen=True)
class Instructions:
    """What those who learn members are told: in which start, and which file tells all to stop.

    A file, since whoever learns may be on another machine: members and this lie on the same disk.

    Attributes:
        random_policy: the file of a random policy's episodes that all share; each member's own, if None.
        random_episodes: of it in each task; as configured, if None.
    """

    start: str
    stop: Path
    random_policy: Path | None = None
    random_episodes: int | None = None

    def policy(self, folder: RunFolder) -> RandomPolicy:
        """The random policy that a member's results are compared with; `folder` is the member's."""
        return RandomPolicy(self.random_policy or folder.random_policy)


@dataclass(frozen=True)
class Outcome:
    """How a member ended: finished, stopped (it has saved and can be gone on with), or failed."""

    member: Member
    stopped: bool = False
    error: str | None = None


def learn(
    member: Member, instructions: Instructions, stop_requested: Callable[[], bool] = lambda: False
) -> Outcome:
    """Learn a member from wherever it was left, until it is finished, fails or is asked to stop."""
    if stop_requested() or instructions.stop.exists():
        return Outcome(member, stopped=True)
    try:
        return _learn(member, instructions, lambda: stop_requested() or instructions.stop.exists())
    except UserError as error:
        return Outcome(member, error=str(error))


def _learn(
    member: Member, instructions: Instructions, stop_requested: Callable[[], bool]
) -> Outcome:
    import torch  # Slow to import, so late.

    from workers.serial import SerialCrew

    config = member.config
    torch.set_num_threads(1)
    grid = build_grid(config)
    engine.check_fit(config, grid)
    folder = MemberFolder(config)
    resumed = folder.open()
    try:
        if resumed:
            folder.note_resumption()
        display = ProgressFile(member, instructions.start)
        display.write(read_progress(member.path)[0])
        results = run(
            config, folder, lambda arm: SerialCrew(config, arm, grid), display, stop_requested
        )
        random = instructions.policy(folder)
        watch = Watch(display, stop_requested)
        summaries = summarise(config, folder, results, random, instructions.random_episodes, watch)
        write_report(config, folder, summaries)
    except Interrupted:
        return Outcome(member, stopped=True)
    finally:
        folder.close()
    return Outcome(member)
