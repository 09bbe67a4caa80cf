"""Labelled images in the files that their authors publish, as the common archives lay them out.

Whatever is missing, cut, doubled or of another kind is one line. Only names that are known are looked at:
other files may lie beside them.
"""

from __future__ import annotations

import gzip
import io
import itertools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.bounded import check_mat, check_npz, gunzip, is_packed

Bytes = NDArray[np.uint8]
EXTRA = "pip install -e '.[images]'"

MNIST_FOLDERS = ("", "raw", "MNIST/raw", "MNIST", "mnist/raw", "mnist")
"""Below the folder that was given. Not just anywhere: the files of Fashion-MNIST have the same names."""
CIFAR_FOLDERS = ("", "cifar-10-batches-bin")
CIFAR_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR_ROW = 1 + 3 * 32 * 32
SVHN_FOLDERS = ("", "SVHN", "svhn")
SVHN_FILE = "train_32x32.mat"


def read_npz(path: Path) -> tuple[Bytes, Bytes]:
    """Images and labels of an .npz file with x_train and y_train, or with JPEG images.

    Raises:
        UserError: it has others.
    """
    check_npz(path)
    with np.load(path, allow_pickle=False) as file:
        if "train_jpeg" in file:
            return _decode_jpegs(file["train_jpeg"], file["train_offsets"]), file["train_labels"]
        if {"x_train", "y_train"} <= set(file.keys()):
            images, labels = file["x_train"], file["y_train"].reshape(-1)
            return whole_numbers(path, images), whole_numbers(path, labels)
    raise UserError(
        f"{path} has neither x_train and y_train nor train_jpeg, train_offsets and train_labels"
    )


def whole_numbers(what: object, array: NDArray[Any]) -> Bytes:
    """An array of bytes.

    Raises:
        UserError: it holds something else.
    """
    inside = array.dtype.kind in "iuf" and bool(((array >= 0) & (array <= 255)).all())
    # As other libraries hand them on, whole numbers may be of a type that has others, too.
    if not inside or (array.dtype.kind == "f" and (array != np.trunc(array)).any()):
        raise UserError(f"{what}: images and labels must be whole numbers from 0 to 255")
    return array.astype(np.uint8)


def _decode_jpegs(stream: Bytes, offsets: NDArray[np.uint32]) -> Bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(f"JPEG images need the package Pillow: {EXTRA}") from error
    return np.stack(
        [
            np.asarray(
                Image.open(io.BytesIO(stream[start:stop].tobytes()), formats=("JPEG",)).convert(
                    "RGB"
                )
            )
            for start, stop in itertools.pairwise(offsets)
        ]
    )


def read_mnist(given: Path) -> tuple[Bytes, Bytes] | None:
    """MNIST's training images: the four authors' files, packed or not, in any of the usual folders.

    Raises:
        UserError: one of them is damaged.
    """
    parts = ("train-images-idx3-ubyte", 3), ("train-labels-idx1-ubyte", 1)
    # Given one of the files, the others lie beside it.
    folder = given if given.is_dir() else given.parent
    for below in MNIST_FOLDERS:
        files = [_idx_file(folder / below, stem) for stem, _ in parts]
        if None not in files and (given.is_dir() or given in files):
            images, labels = (
                _read_idx(file, axes)
                for file, (_, axes) in zip(files, parts, strict=True)
                if file is not None
            )
            return images, labels
    return None


def _idx_file(folder: Path, stem: str) -> Path | None:
    """The file by one of its names; some archives put it into a folder of the same name."""
    names = [stem, stem.replace("-idx", ".idx")]
    for name in (*names, *(f"{name}.gz" for name in names)):
        for file in (folder / name, folder / name / name, folder / name / names[0]):
            if file.is_file():
                return file
    return None


def _read_idx(file: Path, axes: int) -> Bytes:
    try:
        # Browsers unpack what they download, or do not, and leave it its name.
        content = gunzip(file) if is_packed(file) else file.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{file} is damaged or cut ({error}); get it again, or give it unpacked"
        ) from error
    header = 4 * (1 + axes)
    if len(content) < header or content[:4] != bytes((0, 0, 8, axes)):
        raise UserError(f"{file} is damaged or no IDX file of {axes} axes; get it again")
    sizes = np.frombuffer(content[4:header], ">i4")
    if len(content) - header != int(np.prod(sizes, dtype=object)):
        wanted = " x ".join(str(size) for size in sizes)
        raise UserError(
            f"{file} is cut or longer than it says ({len(content) - header:,} bytes for {wanted}); get it"
            " again"
        )
    return np.frombuffer(content[header:], np.uint8).reshape(sizes).copy()


def read_cifar(given: Path) -> tuple[Bytes, Bytes] | None:
    """CIFAR-10's training images: the five batches of the binary version.

    Raises:
        UserError: some of them are missing, cut or the same.
    """
    if not given.is_dir() and given.name not in CIFAR_BATCHES:
        return None
    folder = given if given.is_dir() else given.parent
    for below in CIFAR_FOLDERS:
        files = [folder / below / name for name in CIFAR_BATCHES]
        missing = [file.name for file in files if not file.is_file()]
        if len(missing) < len(files):
            if missing:
                raise UserError(
                    f"{folder / below} lacks {', '.join(missing)}: CIFAR-10 has five batches; get it again"
                )
            return _read_batches(files)
    for python in (folder / "cifar-10-batches-py", folder):
        if (python / "data_batch_1").is_file():
            raise UserError(
                f"{python} is CIFAR-10 for Python, whose pickles are not read, since they can run anything;"
                " get the binary version, cifar-10-binary.tar.gz"
            )
    return None


def _read_batches(files: list[Path]) -> tuple[Bytes, Bytes]:
    batches: dict[bytes, Path] = {}
    for file in files:
        content = file.read_bytes()
        if content in batches:
            raise UserError(f"{file} is the same as {batches[content].name}; get it again")
        batches[content] = file
    most = max(len(content) for content in batches)
    for content, file in batches.items():
        if len(content) % CIFAR_ROW or len(content) < most:
            raise UserError(
                f"{file} is cut: it has {len(content):,} bytes, another batch {most:,}, and an image takes"
                f" {CIFAR_ROW:,}; get it again"
            )
    rows = np.frombuffer(b"".join(batches), np.uint8).reshape(-1, CIFAR_ROW)
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), rows[:, 0].copy()


def read_svhn(given: Path) -> tuple[Bytes, Bytes] | None:
    """SVHN's training images, cropped: train_32x32.mat.

    Raises:
        UserError: it is damaged, or holds something else.
    """
    files = [given / below / SVHN_FILE for below in SVHN_FOLDERS] if given.is_dir() else [given]
    file = next((file for file in files if file.is_file()), None)
    if file is None or file.suffix != ".mat":
        return None
    from scipy.io import loadmat

    check_mat(file, ("X", "y"))
    content: dict[str, Any] = loadmat(str(file), variable_names=("X", "y"))
    if not {"X", "y"} <= content.keys():
        raise UserError(f"{file} has no X and y: it is not {SVHN_FILE} of the cropped digits")
    labels = whole_numbers(file, content["y"].reshape(-1))
    if labels.size and labels.max() > 10:
        raise UserError(f"{file} has a label {labels.max()} beyond 10")
    images = whole_numbers(file, content["X"])
    if images.ndim != 4:
        raise UserError(f"{file}: X has {images.ndim} axes and not 4")
    # The digit 0 is labelled 10.
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels % 10
