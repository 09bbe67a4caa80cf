"""The torch engine on a GPU, skipped where there is none, and how ray's workers share GPUs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, LearningConfig
from pathnet_rl.engine import EngineSize
from pathnet_rl.engine.torch_engine import TorchEngine
from pathnet_rl.genotype import Genotype
from pathnet_rl.grid import Grid
from pathnet_rl.watching import Interrupted
from tests.support import new_store, run_experiment, tiny_config
from tests.test_custom_modules import LAYERS, settings
from tests.test_network import GRIDS, close, observations, some_modules
from workers.ray_nodes import Node, room_for_workers

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

PATHWAYS, STEPS, ENVIRONMENTS = 5, 3, 2
ALL = {**GRIDS, "modules of one's own": Grid(settings(*LAYERS), (2, 12, 9), (3,))}


@on_a_gpu
@pytest.mark.parametrize("name", ALL)
def test_outputs_and_gradients_are_those_of_the_cpu(name: str, tmp_path: Path) -> None:
    grid, rng = ALL[name], np.random.default_rng(0)
    store = new_store(tmp_path / "block", grid)
    frozen = some_modules(grid, rng) if grid.modules > 3 else ((),) * grid.depth
    store.freeze(frozen)
    paths = [Genotype.random(rng, grid.depth, grid.modules, 2).active for _ in range(PATHWAYS)]
    weights = [store.pull(0, path, frozen) for path in paths]
    size = EngineSize(PATHWAYS, grid.modules, STEPS, ENVIRONMENTS, grid.actions[0])
    seen = [observations(grid, STEPS * ENVIRONMENTS, rng) for _ in range(PATHWAYS)]
    drawn = rng.standard_normal((PATHWAYS, STEPS * ENVIRONMENTS, grid.actions[0] + 1))
    upstream = [(one[:, :-1], one[:, -1]) for one in drawn.astype(np.float32)]
    found = []
    for device in ("cpu", "cuda"):
        engine = TorchEngine(grid, size, device)
        engine.load(weights)
        for step in range(STEPS):
            rows = slice(step * ENVIRONMENTS, (step + 1) * ENVIRONMENTS)
            engine.forward([one[rows] for one in seen], step)
        outputs = [torch.from_numpy(a.copy()) for p in range(PATHWAYS) for a in engine.outputs(p)]
        gradients = engine.backward(upstream)
        found.append([*outputs, *(t for g in gradients for t in (*g.layers, g.head))])
        assert all(tensor.device.type == "cpu" for tensor in found[-1])
        assert 0 <= engine.dead_units() <= 1
    for of_cpu, of_gpu in zip(*found, strict=True):
        close(of_gpu, of_cpu)


@on_a_gpu
def test_a_run_begun_on_the_gpu_is_gone_on_with_on_the_cpu(tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path,
        tasks=("ALE/Pong-v5",),
        agent_steps=(1_000_000,),
        learning=LearningConfig(environments=2, rollout_steps=10),
        evolution=EvolutionConfig(population=4, episodes=1, rivals=1),
        grid=settings("conv(kernels=4, size=8, stride=4)", "linear(units=10)"),
        arms=(Arm.INDEPENDENT,),
        device="cuda",
    )
    asked = iter([False, True])
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: next(asked, True))
    on_cpu = config.model_copy(update={"device": "cpu"})
    with pytest.raises(Interrupted):
        run_experiment(on_cpu, stop_requested=lambda: True)


@pytest.mark.parametrize("gpus", range(1, 9))
def test_all_workers_of_a_node_find_room_on_its_gpus(gpus: int) -> None:
    for workers in range(1, 129):
        share = Node("", "", cpus=workers, gpus=gpus).gpu_share(workers)
        places = gpus * (10_000 // math.floor(10_000 * share + 0.5))
        assert places >= workers
        assert share == 1 or gpus < workers


def test_only_nodes_with_a_gpu_have_workers_of_a_run_on_gpus() -> None:
    nodes: list[dict[str, dict[str, float]]] = [
        {"Resources": {"CPU": 8.0}},
        {"Resources": {"CPU": 4.0, "GPU": 2.0}},
        {"Resources": {}},
    ]
    assert [room_for_workers(node, "cpu") for node in nodes] == [(8, 0), (4, 0), (0, 0)]
    assert [room_for_workers(node, "cuda") for node in nodes] == [(0, 0), (4, 2), (0, 0)]
    assert Node("", "", *room_for_workers(nodes[1], "cpu")).gpu_share(4) == 0.0
