"""Both engines for tests: made for a store's grid, and loaded with one pathway."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine import Engine, EngineSize
from pathnet_rl.engine.compiled.network import CompiledEngine
from pathnet_rl.engine.torch_engine import TorchEngine
from pathnet_rl.grid import Grid
from pathnet_rl.pathway_weights import PathwayWeights

EngineName = Literal["compiled", "torch"]
ENGINES: tuple[EngineName, ...] = ("compiled", "torch")


def make_engine(
    name: EngineName, grid: Grid, steps: int, environments: int, task: int = 0, pathways: int = 1
) -> Engine:
    """An engine with room for every module of a layer."""
    size = EngineSize(pathways, grid.modules, steps, environments, grid.actions[task])
    return CompiledEngine(grid, size) if name == "compiled" else TorchEngine(grid, size)


def act(engine: Engine, seen: NDArray[np.generic]) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward all T steps of one pathway on observations [B, ...]; logits [B, A] and values [B]."""
    environments = engine.size.environments
    for step in range(engine.size.steps):
        engine.forward([seen[step * environments : (step + 1) * environments]], step)
    logits, values = engine.outputs(0)
    return torch.from_numpy(logits.copy()), torch.from_numpy(values.copy())


def backward(
    engine: Engine, d_logits: NDArray[np.float32], d_values: NDArray[np.float32]
) -> PathwayWeights:
    """The gradients of one pathway."""
    (found,) = engine.backward([(d_logits, d_values)])
    return found
