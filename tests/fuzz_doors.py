"""The doors by which bytes come in: each a folder that is right, a file in it, and what reads that file."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from launch.picture import Options, draw
from pathnet_rl.arms import Arm
from pathnet_rl.comparison.experiment import Comparison, ComparisonFolder
from pathnet_rl.comparison.progress import read_progress
from pathnet_rl.config import RunConfig
from pathnet_rl.evidence.replicates import grouped
from pathnet_rl.evidence.report import write_report
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.evidence.summary import measure_all, random_means
from pathnet_rl.grid import build_grid
from pathnet_rl.mirror import _holder
from pathnet_rl.random_policy import RandomPolicy
from pathnet_rl.report import summarise
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.supervised import datasets, summary
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.transfer import ArmRun, finished_results
from tests.support import ROOT, TapeDisplay
from workers.coordinator import TournamentCoordinator
from workers.metrics_hub import MetricsHub
from workers.parameter_server import ParameterServer

OLDER = ROOT / "tests" / "data" / "older_runs"


@dataclass(frozen=True)
class Door:
    """`read` is given a copy of `folder` in which `file` is other bytes.

    `often`: how often it is chosen. `writes`: what reading may write when all is well.
    """

    name: str
    folder: Path
    file: str
    read: Callable[[Path], object]
    often: int = 4


def resume(path: Path) -> None:
    """What a run does that goes on, up to its first step; the roles are the real ones."""
    config = RunFolder.existing(OLDER / "unfinished").config
    config = config.model_copy(update={"folder": str(path.parent), "name": path.name})
    folder = RunFolder(config)
    folder.open()
    block = path.parent / f"{path.name}.block"
    hub: MetricsHub | None = None
    try:
        latest = folder.latest(Arm.PATHNET)
        assert latest is not None
        hub = MetricsHub(config, Arm.PATHNET)
        server = ParameterServer(config, Arm.PATHNET, build_grid(config), block)
        coordinator = TournamentCoordinator(config, Arm.PATHNET, server)
        crew: Any = types.SimpleNamespace(
            hub=hub, server=server, store=server._store, coordinator=coordinator, restarts=0
        )
        run = ArmRun(config, Arm.PATHNET, crew, folder, TapeDisplay(), lambda: False)
        run._restore(*latest)
        for assignment in coordinator.assignments(range(config.evolution.population)):
            server._store.pull(server._store.task, assignment.genotype.active, assignment.always)
        coordinator.snapshot()
    finally:
        if hub is not None:
            hub.close()
        block.unlink(missing_ok=True)
        folder.close()


def look(path: Path) -> None:
    """What a report reads, and what a finished run sums up; without pictures, which take long."""
    records, _ = read_runs([path])
    groups, _ = grouped(records)
    measure_all(groups, random_means(groups, {}))
    folder = RunFolder.existing(path)
    results = {arm: finished_results(folder, arm) or [] for arm in folder.config.arms}
    summarise(folder.config, folder, results, random_episodes=1)


def whole_report(path: Path) -> None:
    """The page and its pictures."""
    write_report([path], path.parent / f"{path.name}-report", 0)


def picture(path: Path) -> None:
    """The grid, drawn."""
    draw(Options(path, path.parent / "grid.png"))


def begin_again(path: Path) -> None:
    """What a second start does first."""
    config = RunFolder.existing(OLDER / "finished").config
    folder = RunFolder(config.model_copy(update={"folder": str(path.parent), "name": path.name}))
    try:
        if folder.open():
            folder.note_resumption()
    finally:
        folder.close()


def images(path: Path) -> None:
    """What an experiment on images has kept."""
    folder = ExperimentFolder(Experiment(folder=str(path.parent), name=path.name))
    try:
        folder.open()
        summary.summarise(folder.everything(), ["independent"], by_accuracy=False)
    finally:
        folder.close()


def comparison(path: Path) -> None:
    """What a comparison has kept."""
    base = RunConfig(folder=str(path.parent), name=path.name)
    folder = ComparisonFolder(Comparison(base=base))
    try:
        folder.open()
    finally:
        folder.close()


def doors(made: Path) -> list[Door]:
    """All of them; what they need is made in a folder."""
    unfinished, finished = OLDER / "unfinished", OLDER / "finished"
    saved = next(unfinished.glob("checkpoints/pathnet/*")).relative_to(unfinished)
    over = next(finished.glob("checkpoints/pathnet/*")).relative_to(finished)
    policy = finished if (finished / "random_policy.csv").exists() else _policy(made / "policy")
    lists = _experiment(made / "images")
    progress = _bytes(made / "progress", "progress.json", _PROGRESS)
    return [
        Door("resume-state", unfinished, f"{saved}/state.json", resume, 14),
        Door("resume-block", unfinished, f"{saved}/block.safetensors", resume),
        Door("resume-returns", unfinished, "returns.csv", resume),
        Door("resume-config", unfinished, "config.json", resume),
        Door("again-config", finished, "config.json", begin_again),
        Door("again-provenance", finished, "provenance.json", begin_again),
        Door("look-state", finished, f"{over}/state.json", look, 10),
        Door("look-config", finished, "config.json", look, 10),
        Door("look-provenance", finished, "provenance.json", look),
        Door("look-returns", finished, "returns.csv", look, 6),
        Door("page-state", finished, f"{over}/state.json", whole_report, 0),
        Door("page-provenance", finished, "provenance.json", whole_report, 0),
        Door("page-config", finished, "config.json", whole_report, 0),
        Door("picture-state", finished, f"{over}/state.json", picture, 1),
        Door("random-policy", policy, "random_policy.csv", _read_policy),
        Door("images-results", lists, "results/5-6_to_6-7/pathnet.jsonl", images, 6),
        Door("images-config", lists, "config.json", images),
        Door("comparison-config", _comparison(made / "compare"), "config.json", comparison),
        Door("progress", progress, "progress.json", read_progress),
        Door("lock", _bytes(made / "lock", "lock.json", _LOCK), "lock.json", _read_lock),
        *_data_doors(made),
    ]


_PROGRESS = json.dumps({"agent_steps": 12, "start": "a"}).encode()
_LOCK = json.dumps({"holder": "a", "host": "b", "process": 3, "renewals": 1}).encode()


def _bytes(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    return folder


def _read_lock(path: Path) -> None:
    assert _holder((path / "lock.json").read_bytes()).startswith("process")


def _policy(folder: Path) -> Path:
    rows = "task,protocol,agent_steps,episode_return\nCartPole-v1,dqn,20,20.0\nCartPole-v1,dqn,33,13.0\n"
    return _bytes(folder, "random_policy.csv", rows.encode())


def _read_policy(path: Path) -> None:
    RandomPolicy(path / "random_policy.csv").known("CartPole-v1", "dqn")


def _experiment(folder: Path) -> Path:
    experiment = ExperimentFolder(Experiment(folder=str(folder.parent), name=folder.name))
    experiment.open()
    run = experiment.identity
    experiment.close()
    line = {
        "run": run,
        "sequence": "5-6>6-7", "arm": "pathnet", "seed": 0, "generations": 3, "censored": False,
        "first_generations": 4, "first_censored": False, "overlap": 2, "accuracy": [0.5, 0.75, 1.0],
    }  # fmt: skip
    lines = [json.dumps({**line, "seed": seed}) for seed in range(3)]
    (folder / "results" / "5-6_to_6-7").mkdir(parents=True)
    for arm in ("pathnet", "independent"):
        text = "".join(f"{one}\n".replace('"pathnet"', f'"{arm}"') for one in lines)
        (folder / "results" / "5-6_to_6-7" / f"{arm}.jsonl").write_text(text)
    (folder / ".lock").unlink()
    return folder


def _comparison(folder: Path) -> Path:
    comparison(folder)
    (folder / ".lock").unlink()
    return folder


def _data_doors(made: Path) -> list[Door]:
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 256, (30, 28, 28)).astype(np.uint8)
    colours = rng.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    idx = struct.pack(">4i", 2051, *digits.shape) + digits.tobytes()
    named = struct.pack(">2i", 2049, 30) + labels.tobytes()
    mnist = _bytes(made / "mnist", "train-images-idx3-ubyte", idx)
    (mnist / "train-labels-idx1-ubyte").write_bytes(named)
    packed = _bytes(made / "packed", "train-images-idx3-ubyte.gz", gzip.compress(idx))
    (packed / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(named))
    rows = np.concatenate(
        [labels[:12, None], colours.transpose(0, 3, 1, 2).reshape(12, -1)], axis=1
    )
    batches = made / "cifar"
    for number in range(1, 6):
        (batches / f"data_batch_{number}.bin").parent.mkdir(exist_ok=True)
        (batches / f"data_batch_{number}.bin").write_bytes(
            np.roll(rows, number, axis=0).astype(np.uint8).tobytes()
        )
    matrix, arrays = io.BytesIO(), io.BytesIO()
    content = {"X": colours.transpose(1, 2, 3, 0), "y": labels[:12, None] + 1}
    savemat(matrix, content, do_compression=True)
    svhn = _bytes(made / "svhn", "train_32x32.mat", matrix.getvalue())
    np.savez_compressed(arrays, x_train=digits, y_train=labels)
    npz = _bytes(made / "npz", "digits.npz", arrays.getvalue())

    def loads(name: str, file: str = "") -> Callable[[Path], object]:
        return lambda path: datasets.load(name, str(path / file))

    return [
        Door("mnist-images", mnist, "train-images-idx3-ubyte", loads("mnist")),
        Door("mnist-labels", mnist, "train-labels-idx1-ubyte", loads("mnist")),
        Door("mnist-packed", packed, "train-images-idx3-ubyte.gz", loads("mnist")),
        Door("cifar", batches, "data_batch_3.bin", loads("cifar10")),
        Door("svhn", svhn, "train_32x32.mat", loads("svhn"), 8),
        Door("npz", npz, "digits.npz", loads("mnist", "digits.npz"), 8),
    ]


def copy_of(door: Door, place: Path) -> Path:
    """A copy of a door's folder."""
    shutil.copytree(door.folder, place, ignore=shutil.ignore_patterns("tensorboard", "*.png"))
    return place
