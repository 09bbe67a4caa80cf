"""Data as archives ship them and as downloads leave them: taken, or refused in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pathnet_rl.errors import UserError
from pathnet_rl.supervised import datasets
from pathnet_rl.supervised.datasets import DataMissing, load
from tests.support import ROOT
from tests.test_datasets import COLOUR, DIGITS, LABELS, cifar_batches, idx_files

IMAGES, NAMES = "train-images-idx3-ubyte", ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


def as_torchvision(folder: Path) -> None:
    """Its raw folder, beside which it keeps those of other sets with files of the same names."""
    for name in ("MNIST", "FashionMNIST"):
        (folder / name / "raw").mkdir(parents=True)
        idx_files(folder / name / "raw", packed=True)
    idx_files(folder / "MNIST" / "raw", packed=False)
    (folder / "FashionMNIST" / "raw" / f"{IMAGES}.gz").write_bytes(b"of something else")


def as_raw(folder: Path) -> None:
    (folder / "raw").mkdir()
    idx_files(folder / "raw", packed=False)


def with_dots(folder: Path) -> None:
    idx_files(folder, packed=False)
    for name in NAMES:
        (folder / name).rename(folder / name.replace("-idx", ".idx"))


def in_folders_of_their_names(folder: Path) -> None:
    idx_files(folder, packed=False)
    for name in NAMES:
        dotted = name.replace("-idx", ".idx")
        (folder / name).rename(folder / "moved")
        (folder / dotted).mkdir()
        (folder / "moved").rename(folder / dotted / dotted)


def unpacked_and_called_packed(folder: Path) -> None:
    """As browsers leave what they download."""
    idx_files(folder, packed=False)
    (folder / IMAGES).rename(folder / f"{IMAGES}.gz")


def among_others(folder: Path) -> None:
    idx_files(folder, packed=False)
    (folder / f"{IMAGES} (copy)").write_bytes(b"half")
    (folder / f"{IMAGES}.gz.part").write_bytes(b"half")
    (folder / ".DS_Store").write_bytes(b"x")


@pytest.mark.parametrize(
    "layout",
    [
        as_torchvision,
        as_raw,
        with_dots,
        in_folders_of_their_names,
        unpacked_and_called_packed,
        among_others,
    ],
)
def test_mnist_is_taken_as_archives_lay_it_out(
    layout: Callable[[Path], None], tmp_path: Path
) -> None:
    layout(tmp_path)
    found = load("mnist", str(tmp_path))
    np.testing.assert_array_equal(found.images, DIGITS)
    np.testing.assert_array_equal(found.labels, LABELS)


def test_one_of_the_files_stands_for_its_folder(tmp_path: Path) -> None:
    idx_files(tmp_path, packed=True)
    assert len(load("mnist", str(tmp_path / f"{IMAGES}.gz")).images) == len(DIGITS)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataMissing, match="does not hold MNIST"):
        load("mnist", str(tmp_path / "notes.txt"))


def test_files_of_another_set_alone_are_not_taken_for_mnist(tmp_path: Path) -> None:
    as_torchvision(tmp_path)
    shutil.rmtree(tmp_path / "MNIST")
    with pytest.raises(DataMissing, match="does not hold MNIST"):
        load("mnist", str(tmp_path))


def packed_and_cut(folder: Path) -> None:
    idx_files(folder, packed=True)
    file = folder / f"{IMAGES}.gz"
    file.write_bytes(file.read_bytes()[:-500])


def no_packing(folder: Path) -> None:
    idx_files(folder, packed=True)
    (folder / f"{IMAGES}.gz").write_text("<html>404</html>")


def labels_for_images(folder: Path) -> None:
    idx_files(folder, packed=False)
    shutil.copy(folder / NAMES[1], folder / NAMES[0])


def too_long(folder: Path) -> None:
    idx_files(folder, packed=False)
    with (folder / IMAGES).open("ab") as file:
        file.write(b"more")


def fewer_labels(folder: Path) -> None:
    idx_files(folder, packed=False)
    content = (folder / NAMES[1]).read_bytes()
    (folder / NAMES[1]).write_bytes(content[:7] + b"\x0b" + content[8:-1])


def a_label_beyond(folder: Path) -> None:
    idx_files(folder, packed=False)
    content = (folder / NAMES[1]).read_bytes()
    (folder / NAMES[1]).write_bytes(content[:-1] + b"\x0a")


def a_batch_missing(folder: Path) -> None:
    cifar_batches(folder)
    (folder / "data_batch_3.bin").unlink()


def a_batch_twice(folder: Path) -> None:
    cifar_batches(folder)
    shutil.copy(folder / "data_batch_1.bin", folder / "data_batch_4.bin")


def a_batch_cut(folder: Path) -> None:
    cifar_batches(folder)
    file = folder / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:-10])


def a_batch_cut_between_images(folder: Path) -> None:
    cifar_batches(folder)
    file = folder / "data_batch_5.bin"
    file.write_bytes(file.read_bytes()[:3073])


def pickles(folder: Path) -> None:
    (folder / "cifar-10-batches-py").mkdir()
    (folder / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x04.")


def svhn(folder: Path, labels: np.ndarray, images: np.ndarray = COLOUR) -> None:
    savemat(folder / "train_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None]})


def svhn_cut(folder: Path) -> None:
    svhn(folder, LABELS)
    file = folder / "train_32x32.mat"
    file.write_bytes(file.read_bytes()[:2000])


DAMAGES: list[tuple[str, Callable[[Path], None], str]] = [
    ("mnist", packed_and_cut, f"{IMAGES}.gz is damaged or cut"),
    ("mnist", no_packing, f"{IMAGES}.gz is damaged or no IDX file"),
    ("mnist", labels_for_images, f"{IMAGES} is damaged or no IDX file of 3 axes"),
    ("mnist", too_long, f"{IMAGES} is cut or longer than it says"),
    ("mnist", fewer_labels, r"shape \(12, 28, 28\) for images of \(28, 28\), with 11 labels"),
    ("mnist", a_label_beyond, "has a label 10 beyond 9"),
    ("cifar10", a_batch_missing, "lacks data_batch_3.bin: CIFAR-10 has five batches"),
    ("cifar10", a_batch_twice, "data_batch_4.bin is the same as data_batch_1.bin"),
    ("cifar10", a_batch_cut, "data_batch_2.bin is cut: it has 6,136 bytes, another batch 6,146"),
    ("cifar10", a_batch_cut_between_images, "data_batch_5.bin is cut: it has 3,073 bytes"),
    ("cifar10", pickles, "pickles are not read.*get the binary version"),
    ("svhn", lambda folder: svhn(folder, LABELS + 2), "has a label 11 beyond 10"),
    ("svhn", lambda folder: svhn(folder, LABELS[:5]), "with 5 labels"),
    ("svhn", lambda folder: svhn(folder, LABELS, COLOUR / 255.0), "whole numbers from 0 to 255"),
    ("svhn", svhn_cut, "is damaged or of another kind"),
    ("svhn", lambda folder: (folder / "train_32x32.mat").mkdir(), "does not hold SVHN"),
]


@pytest.mark.parametrize(("name", "damage", "answer"), DAMAGES)
def test_what_is_wrong_with_data_is_one_line(
    name: str, damage: Callable[[Path], None], answer: str, tmp_path: Path
) -> None:
    damage(tmp_path)
    with pytest.raises(UserError, match=answer) as refused:
        load(name, str(tmp_path))
    assert "\n" not in str(refused.value)


def test_copies_of_batches_are_not_counted(tmp_path: Path) -> None:
    cifar_batches(tmp_path)
    for name in ("data_batch_1 (copy).bin", "data_batch_1(1).bin", "data_batch_6.bin"):
        shutil.copy(tmp_path / "data_batch_1.bin", tmp_path / name)
    assert len(load("cifar10", str(tmp_path)).images) == 10


def test_svhn_is_taken_as_a_file_and_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "SVHN").mkdir()
    svhn(tmp_path / "SVHN", np.where(LABELS == 0, 10, LABELS))
    for given in (tmp_path, tmp_path / "SVHN" / "train_32x32.mat"):
        np.testing.assert_array_equal(load("svhn", str(given)).labels, LABELS)


def offline(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command line where nothing can be reached."""
    return subprocess.run(
        [sys.executable, "-m", "launch.supervised", "mnist", "--data", "openml", "--folder",
         str(cache / "runs"), "--sequences", "0-1>1-2", "--seeds", "1", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "300", "PATHNET_DATA": str(cache),
             "https_proxy": "http://127.0.0.1:9", "HOME": "/nonexistent"},
    )  # fmt: skip


def test_a_download_that_is_kept_and_damaged_is_a_miss(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=DIGITS, y_train=LABELS)
    whole = (tmp_path / "mnist.npz").read_bytes()
    (tmp_path / "mnist.npz").write_bytes(whole[: len(whole) // 2])
    found = offline(tmp_path)
    assert "mnist.npz is damaged or of another kind" in found.stdout
    assert "downloaded anew" in found.stdout
    assert "could not be downloaded" in found.stdout
    assert found.stderr == "error: no sequence can be run without its data\n"
    assert found.returncode == 1
    assert (tmp_path / "mnist.npz").read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("wrong", ["a folder", "few labels", "another shape"])
def test_what_is_kept_and_is_something_else_is_a_miss(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATHNET_DATA", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    if wrong == "a folder":
        (tmp_path / "mnist.npz").mkdir()
    elif wrong == "few labels":
        np.savez(tmp_path / "mnist.npz", x_train=DIGITS, y_train=LABELS[:3])
    else:
        np.savez(tmp_path / "mnist.npz", x_train=COLOUR, y_train=LABELS)
    said: list[str] = []
    with pytest.raises(DataMissing, match="could not be downloaded"):
        load("mnist", "openml", said.append)
    assert said[0].endswith(": downloaded anew")


@pytest.mark.parametrize("wrong", ["no room", "a file for a folder"])
def test_a_download_that_cannot_be_kept_is_said_and_used(wrong: str, tmp_path: Path) -> None:
    from tests.test_checkpoint import full_disk

    cached = tmp_path / "cache" / "mnist.npz"
    if wrong == "no room":
        with full_disk(3000):
            said = datasets._keep(cached, DIGITS, LABELS)
        assert list(cached.parent.iterdir()) == []
    else:
        (tmp_path / "cache").write_text("")
        said = datasets._keep(cached, DIGITS, LABELS)
    assert said.startswith(f"not kept for the next time: cannot write {cached}")
    assert "\n" not in said


def test_what_was_kept_is_what_was_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATHNET_DATA", str(tmp_path))
    assert datasets._keep(tmp_path / "mnist.npz", DIGITS, LABELS).startswith("kept as")
    np.testing.assert_array_equal(load("mnist", "openml").images, DIGITS)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist.npz"]


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATHNET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert datasets.cache_folder() == Path("/home/someone/.cache/pathnet_rl")
