"""From the frames that environments show to what the first layer takes in.

Axes: E environments, C frames (or channels) of H x W pixels.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.errors import UserError
from pathnet_rl.tiles import LANE, MULTIPLIES_PAIRS, VECTOR, compiled, standardise_pixels

MEDIAN_STRIDE = 8
"""Every eighth pixel of every eighth row tells a frame's background."""


def image_dtype(precision: str, pairs_fit: bool = True) -> torch.dtype:
    """The number format of the first layer: `precision` is a name of GridConfig.image_precision.

    Args:
        pairs_fit: the first layer's windows consist of whole pairs of numbers.

    Raises:
        UserError: bfloat16 is asked for and cannot be had.
    """
    if precision == "bfloat16":
        if not MULTIPLIES_PAIRS:
            raise UserError(
                "this processor does not multiply bfloat16; use --grid.image-precision auto or float32"
            )
        if not pairs_fit:
            raise UserError(
                "bfloat16 images need a first layer that is a convolution over an even number of numbers a"
                " line and step; use --grid.image-precision auto or float32"
            )
    halves = precision != "float32" and MULTIPLIES_PAIRS and pairs_fit
    return torch.bfloat16 if halves else torch.float32


def standardise(planes: torch.Tensor) -> None:
    """Bring each frame to median 0 and standard deviation 1, in place.

    The median, because a game's background is of one grey: it becomes 0 and is no part of the gradient.
    `planes` holds values in [0, 255] as float32, shape [E, C, H, W]; the median is that of a sample of
    pixels. A deviation below one grey level counts as one: a blank frame stays blank.
    """
    flat = planes.view(*planes.shape[:2], -1)
    sample = planes[:, :, ::MEDIAN_STRIDE, ::MEDIAN_STRIDE].flatten(2)
    flat.sub_(sample.median(2, keepdim=True).values)
    # The same as flat.std(), at a fifth of its cost.
    mean = flat.mean(2, keepdim=True)
    square = torch.linalg.vector_norm(flat, dim=2, keepdim=True).square_().div_(flat.shape[2])
    flat.div_(square.sub_(mean.square_()).clamp_(min=1.0).sqrt_())


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _median_and_scale(frame: Any, counts: Any) -> tuple[float, float]:
    """Of one frame [H, W]; `counts` [256] is for this function's own use."""
    height, width = frame.shape
    counts[:] = 0
    for y in range(0, height, MEDIAN_STRIDE):
        for x in range(0, width, MEDIAN_STRIDE):
            counts[frame[y, x]] += 1
    middle = (counts.sum() - 1) // 2
    grey, up_to = 0, counts[0]
    while up_to <= middle:
        grey += 1
        up_to += counts[grey]
    total, squares = np.int64(0), np.int64(0)
    for pixel in frame.reshape(-1):
        value = np.int64(pixel)
        total += value
        squares += value * value
    mean = total / frame.size
    return float(grey), 1.0 / math.sqrt(max(squares / frame.size - mean * mean, 1.0))


@functools.cache
def prepare_kernel(channels: int, halves: bool) -> Any:
    """Standardise (or scale) frames of bytes and reorder them, in one pass; compiled when first called.

    Args:
        halves: to bfloat16 instead of float32.
    """
    drop = np.uint32(16 if halves else 0)

    def prepare(frames: Any, standardised: bool, images: Any) -> None:
        """Fill images [E, H x W x C], the bits of the numbers, from frames [E, C, H, W]."""
        environments, _, height, width = frames.shape
        pixels = height * width
        medians, scales = np.zeros(channels, np.float32), np.empty(channels, np.float32)
        scales[:] = 1.0 / 255.0
        counts = np.empty(256, np.int64)
        groups = pixels // VECTOR
        number = np.empty(1, np.float32)
        bits = number.view(np.uint32)
        for e in range(environments):
            stack, image = frames[e], images[e]
            if standardised:
                for c in range(channels):
                    medians[c], scales[c] = _median_and_scale(stack[c], counts)
            standardise_pixels(
                stack.ctypes.data, pixels, groups, medians.ctypes.data, scales.ctypes.data,
                image.ctypes.data, channels, halves,
            )  # fmt: skip
            for c in range(channels):
                flat = stack[c].reshape(-1)
                for i in range(groups * VECTOR, pixels):
                    number[0] = (np.float32(flat[i]) - medians[c]) * scales[c]
                    # Rounded to the nearest number that is left, to the even one of two.
                    half = ((bits[0] >> drop) & 1) + 0x7FFF if drop else 0
                    image[i * channels + c] = (bits[0] + half) >> drop

    return compiled(prepare, channels, halves)


class ImageInputs:
    """The prepared images of T + 1 steps, channels-last, kept for the backward pass.

    Args:
        shape: (C, H, W) of an observation. steps: T + 1. environments: E.
        standardised: see `standardise`; else scaled to [0, 1]. dtype: float32 or bfloat16.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        steps: int,
        environments: int,
        standardised: bool,
        dtype: torch.dtype,
    ) -> None:
        channels, height, width = shape
        self._shape = (environments, *shape)
        self._standardised = standardised
        laid_out = (steps * environments, height, width, channels)
        count = math.prod(laid_out)
        flat = torch.zeros(count + LANE, dtype=dtype)
        self.images = flat[:count].view(laid_out)
        self._steps = self.images.chunk(steps)
        half = dtype == torch.bfloat16
        self._prepare_bytes = prepare_kernel(channels, half)
        bits = flat.view(torch.int16 if half else torch.int32).numpy()
        bits = bits.view(np.uint16 if half else np.uint32)
        self._words = bits[:count].reshape(steps, environments, -1)
        self.words: NDArray[Any] = bits if half else flat.numpy()
        """`images` as the first layer takes them: flat, with LANE spare numbers; bfloat16 as uint16."""

    def prepare(self, observations: NDArray[np.generic], step: int) -> torch.Tensor:
        """[E, H, W, C] from [E, C, H, W], kept as one step of `images`.

        Raises:
            ValueError: the observations are of another shape.
        """
        if observations.shape != self._shape:
            raise ValueError(f"observations of shape {observations.shape}, not {self._shape}")
        images = self._steps[step]
        if observations.dtype == np.uint8:
            frames = np.ascontiguousarray(observations)
            self._prepare_bytes(frames, self._standardised, self._words[step])
        else:
            # A copy: what is float32 already would be changed under the environment's hands.
            planes = torch.from_numpy(observations).to(torch.float32, copy=True)
            if self._standardised:
                standardise(planes)
            else:
                planes.mul_(1.0 / 255.0)
            images.copy_(planes.permute(0, 2, 3, 1))
        return images
