"""Frames, images, modules' numbers, head and optimizer beside numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pathnet_rl import optimizer
from pathnet_rl.engine import plain_kernels as plain
from pathnet_rl.engine.check.case import EXACT, ROUNDED, Array, Case, case, normal
from pathnet_rl.engine.compiled.images import Frames, image_kernel, keep_frames
from pathnet_rl.engine.compiled.layer_loops import head_kernel
from pathnet_rl.engine.compiled.module_layout import lay_out_kernel, take_back
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.rmsprop import shared_rmsprop
from pathnet_rl.engine.compiled.room import padded
from pathnet_rl.engine.compiled.tiles import tile_positions


def frames_like(*shape: int) -> Array:
    """Bytes [..., H, W]: a background, rectangles on it, and a frame that is blank."""
    rng = np.random.default_rng(shape)
    frames = np.full(shape, 87, np.uint8)
    for frame in frames.reshape(-1, *shape[-2:])[1:]:
        for _ in range(4):
            top, left = rng.integers(0, shape[-2]), rng.integers(0, shape[-1])
            there = frame[top : top + shape[-2] // 5, left : left + shape[-1] // 6]
            there[:] = rng.integers(0, 256, there.shape)
    return frames


def keep_case(environments: int, channels: int, height: int, width: int) -> Case:
    """Frames of one step, standardised."""
    shape = environments, channels, height * width
    seen = frames_like(environments, channels, height, width).reshape(shape)
    filled = np.zeros(shape, np.uint8), *np.zeros((2, environments, channels), np.float32)

    def keep(seen: Array, width: int, planes: Array, medians: Array, scales: Array) -> None:
        keep_frames(seen, width, True, Frames(planes, medians, scales), 0)

    size = f"{environments} x {channels} frames of {height} x {width}"
    return case("keep_frames", size, ROUNDED, keep, plain.keep_frames, (seen, width), filled)


def expand_case(channels: int, height: int, width: int, halves: bool) -> Case:
    """One image, of float32 or bfloat16."""
    planes = frames_like(channels, height, width).reshape(channels, -1)
    medians, scales = np.full(channels, 87.0, np.float32), np.full(channels, 0.03, np.float32)
    kernel = image_kernel(channels, halves)

    def expand(planes: Array, medians: Array, scales: Array, image: Array) -> None:
        kernel(Frames(planes[None], medians[None], scales[None]), 0, image)

    image = np.zeros(planes.size + LANE, np.uint16 if halves else np.float32)
    size = f"{height} x {width} x {channels}, {'bfloat16' if halves else 'float32'}"
    return case("expand", size, EXACT, expand, plain.expand, (planes, medians, scales), [image])


def lay_out_case(modules: int, shape: tuple[int, ...], pairs: bool) -> Case:
    """Modules of weights [k, C, height, width]."""
    units, channels, height, width = shape
    fan_in, pitch = channels * height * width, padded(modules * units) + LANE
    by_input = (
        np.zeros((fan_in // 2, pitch, 2), np.uint16)
        if pairs
        else np.zeros((fan_in, pitch), np.float32)
    )
    by_unit = np.zeros((modules * units + 1, height, width * channels + LANE), np.float32)
    filled = by_unit, by_input, np.zeros(pitch, np.float32)
    size = f"{modules} of {' x '.join(map(str, shape))}, {'bfloat16' if pairs else 'float32'}"
    given, kernel = (normal(modules, units * fan_in + units), shape), lay_out_kernel(pairs)
    return case("lay_out", size, EXACT, kernel, plain.lay_out, given, filled)


def take_back_case(modules: int, shape: tuple[int, ...]) -> Case:
    """The way back."""
    units, channels, height, width = shape
    by_unit = normal(padded(modules * units), height, padded(width * channels))
    given = by_unit, normal(padded(modules * units)), shape
    filled = [np.zeros((modules, units * channels * height * width + units), np.float32)]
    size = f"{modules} of {' x '.join(map(str, shape))}"
    return case("take_back", size, EXACT, take_back, plain.take_back, given, filled)


def head_case(samples: int, features: int, lanes: int) -> Case:
    """Samples of one step."""
    kernel = head_kernel(tile_positions(samples))

    def head(inputs: Array, weights: Array, bias: Array, outputs: Array) -> None:
        kernel(inputs, weights, bias, outputs, 0, samples, lanes)

    given = normal(samples, features), normal(features, lanes), normal(lanes)
    filled = [np.zeros((samples, lanes), np.float32)]
    size = f"{samples} samples, {features} features, {lanes} lanes"
    return case("head", size, ROUNDED, head, plain.head, given, filled)


def rmsprop_case(rows: int, of: int, width: int) -> Case:
    """Some rows of a block."""
    chosen, gradients = np.arange(rows)[::-1] * (of // rows), normal(rows, width)

    def on(step: Callable[..., None]) -> Callable[..., None]:
        def run(rows: Array, gradients: Array, parameters: Array, squares: Array) -> None:
            step(parameters, squares, rows, gradients, 7e-4, 0.99, 0.1)

        return run

    functions = on(shared_rmsprop), on(optimizer.shared_rmsprop)
    filled = normal(of, width), normal(of, width) ** 2
    size = f"{rows} of {of} rows of {width}"
    return case("rmsprop", size, EXACT, *functions, (chosen, gradients), filled)
