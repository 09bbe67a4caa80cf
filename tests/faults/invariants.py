"""What holds of a run whatever was done to it, as its checkpoints and rows say.

In its task every episode lasts ten agent steps and every rollout twenty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from pathnet_rl import checkpoint
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.grid import build_grid
from pathnet_rl.returns_file import check_returns
from pathnet_rl.run_folder import RunFolder

TASK = "tests.misbehaving:tests/Behaving-v0"
EPISODE = 10


@dataclass
class Invariants:
    """Of one run, looked at again and again.

    Attributes:
        cut: names of checkpoints that were cut.
        untold: agent steps that may lack their rows: what was in flight when workers were killed.
        checkpoints: looked at. lacking: agent steps of the last one that lack their rows.
    """

    folder: RunFolder
    cut: set[str]
    untold: float = 0.0
    checkpoints: int = 0
    lacking: int = 0
    _seen: set[str] = field(default_factory=set)
    _frozen: dict[int, torch.Tensor] = field(default_factory=dict)

    def look(self) -> None:
        """Check every new checkpoint."""
        for path in checkpoint.list_checkpoints(self.folder.checkpoints(Arm.PATHNET)):
            if path.name not in self._seen | self.cut:
                self.lacking = self._check(path)
                self._seen.add(path.name)
                self.checkpoints += 1

    def _check(self, path: Path) -> int:
        tensors, state = checkpoint.load(path)
        kept = check_returns(self.folder.returns, state["hub"])
        _, *rows = kept.decode().splitlines()
        task, steps = state["store"]["task"], state["store"]["agent_steps"]
        played = EPISODE * sum(row.startswith(f"{task},") for row in rows)
        assert played <= steps, f"{path.name}: episodes of {played} agent steps"
        assert steps - played <= self.untold, f"{path.name}: episodes of {played} agent steps"
        self._check_frozen(path, tensors["parameters"], state["store"]["frozen"])
        for judged in state["coordinator"]["fitness"]:
            assert judged is None or 0.0 <= judged <= EPISODE
        return int(steps - played)

    def _check_frozen(self, path: Path, parameters: torch.Tensor, frozen: list[list[int]]) -> None:
        grid = build_grid(self.folder.config)
        for layer, modules in enumerate(frozen):
            for module in modules:
                row = grid.row_of(layer) + module
                numbers = parameters[grid.rows[row]]
                before = self._frozen.setdefault(row, numbers.clone())
                assert torch.equal(numbers, before), f"{path.name}: frozen module {module} changed"


def configuration(folder: Path, name: str, tasks: int) -> RunConfig:
    """What `RunFolder` needs to know of such a run."""
    return RunConfig(name=name, folder=str(folder), tasks=(TASK,) * tasks)
