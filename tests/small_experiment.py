"""A supervised experiment that takes a moment, for those who have its jobs done."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pathnet_rl.arms import Arm
from pathnet_rl.supervised.config import (
    SerialEvolutionConfig,
    SerialGridConfig,
    SerialLearningConfig,
)
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.jobs import Job

SEQUENCE = "0-1>1-2"
JOBS = [
    Job(SEQUENCE, arm, seeds)
    for arm in (Arm.PATHNET, Arm.FROZEN_ACTIVE, Arm.FINE_TUNE)
    for seeds in ((0, 1), (2,))
]
QUICK = Job(SEQUENCE, Arm.PATHNET, (0,))
ENDLESS = Job(SEQUENCE, Arm.PATHNET, tuple(range(10**6)))


def write_digits(folder: Path) -> Path:
    """Twelve images of each of three digits, nothing but noise."""
    path = folder / "digits.npz"
    images = np.random.default_rng(0).integers(0, 256, (36, 28, 28), dtype=np.uint8)
    np.savez(path, x_train=images, y_train=np.arange(36, dtype=np.uint8) % 3)
    return path


def small_experiment(data: Path, generations: int = 4) -> Experiment:
    return Experiment(
        sequences=(SEQUENCE,),
        data=str(data),
        processes=2,
        grid=SerialGridConfig(units=4),
        evolution=SerialEvolutionConfig(population=4),
        learning=SerialLearningConfig(minibatches=5, generations=generations, threshold=None),
    )
