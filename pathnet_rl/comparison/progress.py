"""How far the members of a comparison are: each says so in a small file in its folder, wherever it runs."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathnet_rl.checkpoint import cannot_write
from pathnet_rl.comparison.experiment import Member
from pathnet_rl.crew import Progress
from pathnet_rl.reading import NotReadable, read_json

FILE = "progress.json"
SECONDS = 2.0
"""Between two words of a member."""
RATE_SECONDS = 120.0
"""The rate is that of the last so many seconds."""


class ProgressFile:
    """A `crew.Display` that writes how many agent steps a member has done, for whoever looks."""

    def __init__(self, member: Member, start: str) -> None:
        self._member, self._start = member, start
        self._next = 0.0

    def update(self, progress: Progress) -> None:
        if time.monotonic() >= self._next or progress.agent_steps >= progress.budget:
            self._next = time.monotonic() + SECONDS
            self.write(self._done_before(progress) + progress.agent_steps)

    def doing(self, what: str, how_far: str) -> None:
        """Nobody looks: no agent step is done meanwhile."""

    def note(self, line: str) -> None:
        """Nobody listens."""

    def write(self, agent_steps: int) -> None:
        """Say how many agent steps are done, and in which start of the comparison."""
        path = self._member.path / FILE
        unfinished = path.with_suffix(".unfinished")
        try:
            unfinished.write_text(json.dumps({"agent_steps": agent_steps, "start": self._start}))
            unfinished.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error

    def _done_before(self, progress: Progress) -> int:
        config, done = self._member.config, 0
        for arm in config.arms:
            for task in config.tasks_of(arm):
                if (arm, task) == (progress.arm, progress.task):
                    return done
                done += config.steps_of(task)
        return done


def read_progress(folder: Path) -> tuple[int, str]:
    """A member's agent steps and the start that said so; none of either without a readable file."""
    try:
        said = read_json(folder / FILE)
        return max(0, int(said["agent_steps"])), str(said["start"])
    except (OSError, NotReadable, ValueError, KeyError, TypeError, OverflowError):
        return 0, ""


@dataclass(frozen=True)
class Standing:
    """Where a comparison stands: members, and the agent steps of all of them."""

    done: int
    failed: int
    running: int
    waiting: int
    agent_steps: int
    budget: int
    rate: float

    @property
    def members(self) -> int:
        """All of them."""
        return self.done + self.failed + self.running + self.waiting


class Tally:
    """Adds up what members say in one start of a comparison."""

    def __init__(self, members: Sequence[Member], finished: Collection[Member], start: str) -> None:
        done = {member.path for member in finished}
        self._unfinished = {m.path: m for m in members if m.path not in done}
        self._said = {path: read_progress(path) for path in self._unfinished}
        self._start = start
        self._budget = sum(member.budget for member in members)
        self._steps_done = sum(member.budget for member in finished)
        self._done, self._failed = len(finished), 0
        self._marks: deque[tuple[float, int]] = deque()

    def end(self, member: Member, failed: bool) -> None:
        """A member has come to its end, or failed."""
        del self._unfinished[member.path]
        if failed:
            self._failed += 1
            self._steps_done += self._said[member.path][0]
        else:
            self._done += 1
            self._steps_done += member.budget

    def look(self) -> Standing:
        """What they say now."""
        running, steps = 0, self._steps_done
        for path, member in self._unfinished.items():
            said = self._said[path] = read_progress(path)
            running += said[1] == self._start
            steps += min(said[0], member.budget)
        now = time.monotonic()
        self._marks.append((now, steps))
        while now - self._marks[0][0] > RATE_SECONDS:
            self._marks.popleft()
        began, before = self._marks[0]
        return Standing(
            self._done,
            self._failed,
            running,
            len(self._unfinished) - running,
            steps,
            self._budget,
            max(0, steps - before) / max(now - began, 1e-9),
        )
