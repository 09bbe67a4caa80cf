"""A pathway's numbers on their way through ray, in parcels that travel inside a call.

Ray puts whatever has more than 100 KB into its object store, and the daemons of both nodes carry it
over: an Atari pathway's 375 KB, there and back, took 20 ms of CPU that way and takes 7 in parcels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pathnet_rl.pathway_weights import PathwayWeights

PARCEL_BYTES = 100_000


def parcels_needed(wanted: Sequence[tuple[int, ...]]) -> int:
    """For float32 numbers of these shapes; two at least, as ray gives a single result back bare."""
    size = 4 * sum(int(np.prod(shape)) for shape in wanted)
    return max(2, -(-size // PARCEL_BYTES))


def pack(weights: PathwayWeights, count: int) -> tuple[bytes, ...]:
    """So many parcels of about the same size."""
    tensors = (*weights.layers, weights.head)
    numbers = np.concatenate([tensor.numpy().reshape(-1) for tensor in tensors])
    return tuple(part.tobytes() for part in np.array_split(numbers, count))


def unpack(
    parcels: Sequence[bytes], wanted: Sequence[tuple[int, ...]], trainable: tuple[int, ...]
) -> PathwayWeights:
    """What was packed.

    Raises:
        ValueError: the numbers are not as many as the shapes take.
    """
    numbers = np.frombuffer(bytearray().join(parcels), np.float32)
    ends = np.cumsum([int(np.prod(shape)) for shape in wanted])
    if len(numbers) != ends[-1]:
        raise ValueError(
            f"{len(numbers)} numbers came, not the {ends[-1]} of shapes {list(wanted)}"
        )
    parts = np.split(numbers, ends[:-1])
    *layers, head = (
        torch.from_numpy(part.reshape(shape)) for part, shape in zip(parts, wanted, strict=True)
    )
    return PathwayWeights(tuple(layers), head, trainable)
