"""Loops over numbers that would take several passes over memory in torch, compiled when first called."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

MEDIAN_STRIDE = 8
"""Every eighth pixel of every eighth row tells a frame's background."""


@numba.njit(cache=True, nogil=True)
def prepare_bytes(
    frames: Any,
    standardised: bool,
    images: Any,
    drop: Any,
) -> None:
    """Standardise (or scale) and reorder in one pass: a table turns the 256 greys into numbers.

    Args:
        frames: [E, C, H, W] uint8.
        images: [E, H x W x C], filled: the bits of float32 (uint32), or their upper half (uint16),
            which is bfloat16. drop: how many bits that leaves out, 0 or 16.
    """
    environments, channels, height, width = frames.shape
    pixels = height * width
    greys = np.empty(256, np.float32)
    bits = greys.view(np.uint32)
    table = np.empty(256, images.dtype)
    counts = np.empty(256, np.int64)
    for e in range(environments):
        image = images[e]
        for c in range(channels):
            frame = frames[e, c].reshape(-1)
            median, deviation = 0.0, 255.0
            if standardised:
                counts[:] = 0
                for y in range(0, height, MEDIAN_STRIDE):
                    for x in range(0, width, MEDIAN_STRIDE):
                        counts[frame[y * width + x]] += 1
                middle = (counts.sum() - 1) // 2
                grey, up_to = 0, counts[0]
                while up_to <= middle:
                    grey += 1
                    up_to += counts[grey]
                total, squares = np.int64(0), np.int64(0)
                for i in range(pixels):
                    value = np.int64(frame[i])
                    total += value
                    squares += value * value
                mean = total / pixels
                median = float(grey)
                deviation = math.sqrt(max(squares / pixels - mean * mean, 1.0))
            for grey in range(256):
                greys[grey] = (grey - median) / deviation
                # Rounded to the nearest number that is left, to the even one of two.
                half = ((bits[grey] >> drop) & 1) + 0x7FFF if drop else 0
                table[grey] = (bits[grey] + half) >> drop
            for i in range(pixels):
                image[i * channels + c] = table[frame[i]]


@numba.njit(cache=True, nogil=True)
def add_windows(columns: Any, images: Any, stride: int) -> None:
    """Add each window back to where it was cut from; windows may overlap.

    Args:
        columns: [samples, out H, out W, kernel, kernel x C] float32.
        images: [samples, H, W x C] float32, added to.
    """
    samples, height, width, kernel, row = columns.shape
    across = stride * row // kernel
    for sample in range(samples):
        for y in range(height):
            for x in range(width):
                for line in range(kernel):
                    target = images[sample, y * stride + line, x * across : x * across + row]
                    window = columns[sample, y, x, line]
                    for number in range(row):
                        target[number] += window[number]
