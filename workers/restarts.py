"""How often workers were started again, and when that is a fault and no accident."""

from __future__ import annotations

from pathnet_rl.errors import UserError

MOST_IN_A_ROW = 5
"""Workers that die this often without an agent step in between will die again."""


class Restarts:
    """A count of them. `agent_steps` are those of the task."""

    def __init__(self) -> None:
        self.count = 0
        self._fruitless = self._agent_steps = 0

    def note(self, agent_steps: int) -> None:
        """One more.

        Raises:
            UserError: it is one too many without an agent step in between.
        """
        self.count += 1
        self._fruitless = self._fruitless + 1 if agent_steps == self._agent_steps else 1
        self._agent_steps = agent_steps
        if self._fruitless > MOST_IN_A_ROW:
            raise UserError(
                f"workers died {self._fruitless} times without an agent step in between; the log of"
                " one is among ray's in /tmp/ray/session_latest/logs"
            )
