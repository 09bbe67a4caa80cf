"""How often workers were started again, and when that is a fault and no accident."""

from __future__ import annotations

from collections import Counter

from pathnet_rl.errors import UserError

MOST_IN_A_ROW = 5
"""Workers that die this often without an agent step of anybody in between will die again."""
MOST_OF_ONE = 20
"""So will one that dies this often before it has told of any work, whatever others do."""


class Restarts:
    """A count of them."""

    def __init__(self) -> None:
        self.count = 0
        self._fruitless = self._agent_steps = 0
        self._of_one = Counter[int]()
        self._why = "nobody said why"

    def died(self, why: str) -> None:
        """What was said of a death. Ray tells of it more than once, and not each time of how."""
        self._why = why

    def worked(self, worker: int) -> None:
        """It has told of its work."""
        self._of_one.pop(worker, None)

    def note(self, worker: int, agent_steps: int) -> None:
        """One was started again; `agent_steps` are those of the task, of all.

        Raises:
            UserError: it is one too many.
        """
        self.count += 1
        self._of_one[worker] += 1
        self._fruitless = self._fruitless + 1 if agent_steps == self._agent_steps else 1
        self._agent_steps = agent_steps
        if self._fruitless > MOST_IN_A_ROW:
            raise UserError(
                f"workers died {self._fruitless} times without an agent step in between: {self._why}"
            )
        if self._of_one[worker] > MOST_OF_ONE:
            raise UserError(
                f"worker {worker} died {self._of_one[worker]} times before it had done anything:"
                f" {self._why}"
            )
