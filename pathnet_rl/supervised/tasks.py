"""The tasks that are made of labelled images: their names, and how they are made.

Images are uint8 [n, H, W] or [n, H, W, 3], labels uint8 [n].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.datasets import ImageSet
from pathnet_rl.supervised.image_files import Bytes

if TYPE_CHECKING:
    import torch

PAIR = re.compile(r"^(\d)-(\d)$")
SETS_OF_TASK = {
    "cifar10": ("cifar10",),
    "svhn": ("svhn",),
    "mnist-on-cifar": ("mnist", "cifar10"),
}


@dataclass(frozen=True)
class Task:
    """A classification task: images as rows of numbers in [0, 1], float32 [n, inputs]; labels [n]."""

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    classes: int


def sets_of(task: str) -> tuple[str, ...]:
    """The data sets that a task is made of.

    Raises:
        UserError: there is no such task.
    """
    pair = PAIR.match(task)
    if pair and pair[1] != pair[2]:
        return ("mnist",)
    if task not in SETS_OF_TASK:
        raise UserError(
            f"there is no task {task!r}; tasks are two different digits such as 5-6, "
            + ", ".join(SETS_OF_TASK)
        )
    return SETS_OF_TASK[task]


def make_task(name: str, sets: Sequence[ImageSet], noise: float, noise_seed: int) -> Task:
    """A task from its name.

    Args:
        sets: the data sets that it is made of, as `sets_of` names them.
        noise: share of the pixels of a pair of digits that are salt or pepper.

    Raises:
        UserError: the data do not hold what it needs.
    """
    # One stream a task, whichever sequence it is part of.
    key = [ord(letter) for letter in name]
    rng = np.random.default_rng(np.random.SeedSequence(noise_seed, spawn_key=key))
    pair = PAIR.match(name)
    if pair:
        return binary_mnist(sets[0], (int(pair[1]), int(pair[2])), noise, rng)
    if name == "mnist-on-cifar":
        return mnist_on_cifar(sets[0], sets[1], rng)
    return all_classes(name, sets[0])


def salt_and_pepper(images: Bytes, share: float, rng: np.random.Generator) -> Bytes:
    """A copy in which each pixel is noise with probability `share`: half of those 0, half 255."""
    drawn = rng.random(images.shape, dtype=np.float32)
    return np.where(drawn < share, np.where(drawn < share / 2, 0, 255), images).astype(np.uint8)


def binary_mnist(
    mnist: ImageSet, pair: tuple[int, int], noise: float, rng: np.random.Generator
) -> Task:
    """Tell two digits apart under salt-and-pepper noise, which is drawn once for each image.

    Raises:
        UserError: one of them is not in the set.
    """
    for digit in pair:
        if digit not in mnist.labels:
            raise UserError(f"{mnist.source} has no images of the digit {digit}")
    chosen = np.isin(mnist.labels, pair)
    images = salt_and_pepper(mnist.images[chosen], noise, rng)
    return _task(f"{pair[0]}-{pair[1]}", images, mnist.labels[chosen] == pair[1], 2)


def all_classes(name: str, images: ImageSet) -> Task:
    """Tell all ten classes of a set apart."""
    return _task(name, images.images, images.labels, 10)


def mnist_on_cifar(mnist: ImageSet, cifar: ImageSet, rng: np.random.Generator) -> Task:
    """Digits on natural images: |patch - digit|, 32 x 32 x 3, labelled with the digit."""
    patches = cifar.images[rng.integers(0, len(cifar.images), len(mnist.images))].astype(np.int16)
    digits = np.pad(mnist.images, ((0, 0), (2, 2), (2, 2)))[..., None].astype(np.int16)
    blended = np.abs(patches - digits).astype(np.uint8)
    return _task("mnist-on-cifar", blended, mnist.labels, 10)


def _task(name: str, images: Bytes, labels: NDArray[Any], classes: int) -> Task:
    import torch  # Slow to import, so late.

    rows = torch.from_numpy(images.reshape(len(images), -1)).float() / 255.0
    return Task(name, rows, torch.from_numpy(labels.astype(np.int64)), classes)
