"""From the frames that environments show to what the first layer takes in.

Axes: T steps, E environments, C frames (or channels) of H x W pixels; samples are T + 1 steps of E.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.frame_vectors import (
    MOST_SUMMED,
    Planes,
    standardise_pixels,
    sum_bytes,
)
from pathnet_rl.engine.compiled.registers import LANE, MULTIPLIES_PAIRS, VECTOR, bfloat16_bits
from pathnet_rl.engine.compiler import compiled, part
from pathnet_rl.engine.frames import MEDIAN_STRIDE, medians_and_scales
from pathnet_rl.errors import UserError


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


class Frames(NamedTuple):
    """The frames of samples, and what makes images of them: (pixel - median) x scale.

    Attributes:
        planes: [samples, C, H x W], uint8 or float32. medians, scales: [samples, C], float32.
    """

    planes: NDArray[Any]
    medians: NDArray[np.float32]
    scales: NDArray[np.float32]


@part
def _background(frame: Any, width: int, counts: Any) -> int:
    """The median of a sample of bytes [H x W]; `counts` [256] is for this function's own use."""
    counts[:] = 0
    sampled = 0
    for line in range(0, len(frame), MEDIAN_STRIDE * width):
        for i in range(line, line + width, MEDIAN_STRIDE):
            counts[frame[i]] += 1
            sampled += 1
    grey, up_to = 0, counts[0]
    while up_to <= (sampled - 1) // 2:
        grey += 1
        up_to += counts[grey]
    return grey


@part
def _variance(frame: Any, sums: Any) -> float:
    """Of bytes [H x W]; `sums` [2, VECTOR] is for this function's own use."""
    total, squares = np.int64(0), np.int64(0)
    for begin in range(0, len(frame), MOST_SUMMED):
        some = frame[begin : begin + MOST_SUMMED]
        groups = len(some) // VECTOR
        sum_bytes(some.ctypes.data, groups, sums.ctypes.data)
        for lane in range(VECTOR):
            total += sums[0, lane]
            squares += sums[1, lane]
        for i in range(groups * VECTOR, len(some)):
            value = np.int64(some[i])
            total += value
            squares += value * value
    mean = total / len(frame)
    return float(squares / len(frame) - mean * mean)


@compiled
def keep_frames(seen: Any, width: int, standardised: bool, frames: Any, first: int) -> None:
    """Copy bytes [E, C, H x W] whose lines are `width` long to `frames`, from the sample `first` on.

    Their medians and scales are taken on the way.
    """
    environments, channels, pixels = seen.shape
    counts, sums = np.zeros(256, np.int64), np.empty((2, VECTOR), np.int32)
    for e in range(environments):
        for c in range(channels):
            frame, plane = seen[e, c], frames.planes[first + e, c]
            for i in range(pixels):
                plane[i] = frame[i]
            median, scale = 0, 1.0 / 255.0
            if standardised:
                median = _background(frame, width, counts)
                scale = 1.0 / math.sqrt(max(_variance(frame, sums), 1.0))
            frames.medians[first + e, c], frames.scales[first + e, c] = median, scale


@part
def expand(frames: Frames, sample: int, image: Any, channels: int, halves: bool) -> None:
    """Fill `image` [H x W x C], flat, from the frames of one sample.

    Args:
        channels, halves: literals. halves: in bfloat16, as uint16, instead of float32.
    """
    planes = frames.planes[sample]
    medians, scales = frames.medians[sample], frames.scales[sample]
    pixels = planes.shape[1]
    # Numbers that are not bytes are rare, and taken one at a time.
    groups = pixels // VECTOR if planes.itemsize == 1 else 0
    addresses = Planes(planes.ctypes.data, pixels, medians.ctypes.data, scales.ctypes.data)
    standardise_pixels(addresses, groups, image.ctypes.data, channels, halves)
    number = np.empty(1, np.float32)
    bits = number.view(np.uint32)
    for c in range(channels):
        for i in range(groups * VECTOR, pixels):
            number[0] = (np.float32(planes[c, i]) - medians[c]) * scales[c]
            if halves:
                image[i * channels + c] = bfloat16_bits(bits[0])
            else:
                image[i * channels + c] = number[0]


@functools.cache
def image_kernel(channels: int, halves: bool) -> Any:
    """`expand`, compiled when first called."""

    def image_of(frames: Any, sample: int, image: Any) -> None:
        expand(frames, sample, image, channels, halves)

    return compiled(image_of, channels, halves)


class ImageInputs:
    """What environments showed in T + 1 steps, kept as it came: images are made of it one at a time.

    An image takes four or eight times the room of its frames. Those of a rollout would go through memory
    twice; one goes through the nearest cache, where the first layer takes it up at once.

    Args:
        shape: (C, H, W) of an observation. steps: T + 1. environments: E.
        standardised: see frames.py; else scaled to [0, 1]. dtype: float32 or bfloat16.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        steps: int,
        environments: int,
        standardised: bool,
        dtype: torch.dtype,
    ) -> None:
        self._shape = (environments, *shape)
        self._samples = steps * environments
        self._standardised = standardised
        self.channels = shape[0]
        self.halves = dtype == torch.bfloat16
        flat = torch.zeros(math.prod(shape) + LANE, dtype=dtype)
        self._image = flat[: math.prod(shape)].view(*shape[1:], shape[0])
        self.numbers: NDArray[Any] = (
            flat.view(torch.int16).numpy().view(np.uint16) if self.halves else flat.numpy()
        )
        """Room for one image, [H, W, C] flat, and LANE spare numbers; bfloat16 as uint16."""
        self.frames = self._room(np.uint8)

    def _room(self, dtype: type[np.generic]) -> Frames:
        pixels = self._shape[2] * self._shape[3]
        medians, scales = np.zeros((2, self._samples, self.channels), np.float32)
        return Frames(np.zeros((self._samples, self.channels, pixels), dtype), medians, scales)

    def keep(self, observations: NDArray[np.generic], step: int) -> None:
        """Take in one step's observations [E, C, H, W].

        Raises:
            ValueError: the observations are of another shape.
        """
        if observations.shape != self._shape:
            raise ValueError(f"observations of shape {observations.shape}, not {self._shape}")
        environments, channels, _, width = self._shape
        first = step * environments
        if observations.dtype == np.uint8:
            seen = np.ascontiguousarray(observations).reshape(environments, channels, -1)
            keep_frames(seen, width, self._standardised, self.frames, first)
            return
        if self.frames.planes.dtype == np.uint8:
            self.frames = self._room(np.float32)
        planes = torch.from_numpy(observations.astype(np.float32))
        samples = slice(first, first + environments)
        self.frames.planes[samples] = planes.flatten(2).numpy()
        self.frames.medians[samples], self.frames.scales[samples] = 0.0, 1.0 / 255.0
        if self._standardised:
            medians, scales = medians_and_scales(planes)
            self.frames.medians[samples], self.frames.scales[samples] = medians, scales

    def image(self, sample: int) -> torch.Tensor:
        """[H, W, C] of one sample, until the next is asked for."""
        image_kernel(self.channels, self.halves)(self.frames, sample, self.numbers)
        return self._image
