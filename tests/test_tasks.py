"""Tasks that are made of labelled images: which images, which labels, and noise once."""

from __future__ import annotations

import numpy as np
import pytest

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.datasets import ImageSet
from pathnet_rl.supervised.tasks import all_classes, binary_mnist, mnist_on_cifar
from tests.test_datasets import COLOUR, DIGITS, LABELS


def test_a_binary_task_has_two_digits_and_its_noise_once() -> None:
    images = np.full((4000, 28, 28), 128, np.uint8)
    mnist = ImageSet(images, (np.arange(4000) % 10).astype(np.uint8), "made")
    task = binary_mnist(mnist, (7, 2), 0.5, np.random.default_rng(1))
    assert task.images.shape == (800, 784)
    assert task.classes == 2
    kept = mnist.labels[np.isin(mnist.labels, (7, 2))]
    np.testing.assert_array_equal(task.labels.numpy(), kept == 2)
    values = task.images.numpy()
    shares = [float((values == v).mean()) for v in (0.0, 1.0, np.float32(128 / 255))]
    assert shares == pytest.approx([0.25, 0.25, 0.5], abs=0.01)
    again = binary_mnist(mnist, (7, 2), 0.5, np.random.default_rng(1))
    assert (again.images == task.images).all()


def test_a_digit_that_is_not_there_is_named() -> None:
    mnist = ImageSet(DIGITS[:6], LABELS[:6], "made")
    with pytest.raises(UserError, match="made has no images of the digit 7"):
        binary_mnist(mnist, (5, 7), 0.5, np.random.default_rng(0))


def test_digits_are_blended_onto_patches() -> None:
    mnist = ImageSet(DIGITS, LABELS, "made")
    cifar = ImageSet(COLOUR[:1], LABELS[:1], "made")
    task = mnist_on_cifar(mnist, cifar, np.random.default_rng(0))
    found = (task.images.numpy().reshape(12, 32, 32, 3) * 255).round().astype(int)
    digit = np.zeros((32, 32, 1), int)
    digit[2:30, 2:30, 0] = DIGITS[4]
    np.testing.assert_array_equal(found[4], np.abs(COLOUR[0].astype(int) - digit))
    assert task.labels.tolist() == LABELS.tolist()
    assert all_classes("cifar10", cifar).images.shape == (1, 3072)
