"""Episodes that teach nobody (finalists, replays, a random policy): how far they are, and the way out."""

from __future__ import annotations

from collections.abc import Callable

from pathnet_rl.crew import Display
from pathnet_rl.first_episodes import Watching
from pathnet_rl.pace import Timer

SHOWN_SECONDS = 0.5
"""Between two looks at the display."""


class Interrupted(Exception):
    """The run was asked to stop; everything has been saved."""


class Watch:
    """Shows people which episodes are played, and how far they are.

    Args:
        stop_requested: whether to stop; nothing is learned meanwhile, so nothing is lost but these episodes.
    """

    def __init__(self, display: Display, stop_requested: Callable[[], bool]) -> None:
        self._display, self._stop_requested = display, stop_requested

    def of(self, what: str) -> Watching:
        """For `first_episodes`, which plays `what`. It raises Interrupted there."""
        shown: Timer | None = None

        def watching(agent_steps: int, ended: int, episodes: int) -> None:
            nonlocal shown
            if self._stop_requested():
                self._display.note("stopping: what is learned is saved; these episodes begin anew")
                raise Interrupted
            if shown is None or shown.due():
                shown = shown or Timer(SHOWN_SECONDS)
                how_far = f"{ended} of {episodes} episodes done, {agent_steps:,} agent steps"
                self._display.doing(what, how_far)

        return watching
