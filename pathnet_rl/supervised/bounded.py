"""Files of images from elsewhere: how large they become is found out before they are unpacked.

Every function raises ValueError where that is more than a data set of this kind has.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 2**31
"""Of an array: SVHN with its extra images has 1.9 GB."""


def is_packed(path: Path) -> bool:
    """A file begins as gzip's do."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def gunzip(path: Path) -> bytes:
    """What a .gz file holds."""
    with gzip.open(path) as file:
        content = file.read(MOST_BYTES + 1)
    _check(path.name, len(content))
    return content


def check_npz(path: Path) -> None:
    """Look at the arrays of an .npz file, of which a few bytes may declare any number of zeros."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read(file)
            _check(name, math.prod(shape) * dtype.itemsize)


def check_mat(path: Path, names: tuple[str, ...]) -> None:
    """Look at the arrays of a .mat file."""
    from scipy.io import whosmat

    found: list[tuple[str, Any, str]] = whosmat(str(path))
    for name, shape, _ in found:
        if name in names:
            _check(name, math.prod(shape))


def _check(name: str, size: int) -> None:
    if not 0 <= size <= MOST_BYTES:
        raise ValueError(f"{name} would take {size:,} bytes")
