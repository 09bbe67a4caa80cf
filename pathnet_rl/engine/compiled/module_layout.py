"""Modules' numbers from torch's order into the one that the compiled loops take, and back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from pathnet_rl.engine.compiled.registers import bfloat16_bits
from pathnet_rl.engine.compiler import compiled


@functools.cache
def lay_out_kernel(pairs: bool) -> Any:
    """Modules' numbers in torch's order, [k, C, height, width] and biases, as the loops take them."""

    def lay_out(rows: Any, shape: Any, by_module: Any, weights: Any, bias: Any) -> None:
        """Fill the first n k of `by_module` [n k, height, width x C, and more], `weights` and `bias`.

        Args:
            rows: [n, module size]. shape: (k, C, height, width) of a module's weights.
            weights: [height x width x C, step]; of pairs [half as many, step, 2], the bits of bfloat16.
        """
        outputs, channels, height, width = shape
        units = len(rows) * outputs
        for unit in range(units):
            row, output = rows[unit // outputs], unit % outputs
            bias[unit] = row[outputs * channels * height * width + output]
            for c in range(channels):
                for y in range(height):
                    line = row[((output * channels + c) * height + y) * width :]
                    target = by_module[unit, y, c:]
                    for x in range(width):
                        target[x * channels] = line[x]
        number = np.empty(1, np.float32)
        bits = number.view(np.uint32)
        for y in range(height):
            for place in range(width * channels):
                word = y * width * channels + place
                for unit in range(units):
                    if pairs:
                        number[0] = by_module[unit, y, place]
                        weights[word // 2, unit, word % 2] = bfloat16_bits(bits[0])
                    else:
                        weights[word, unit] = by_module[unit, y, place]

    return compiled(lay_out, pairs)


@compiled
def take_back(by_module: Any, bias: Any, shape: Any, rows: Any) -> None:
    """The way back, for gradients: fill `rows` [n, module size] from what `lay_out_kernel` fills."""
    outputs, channels, height, width = shape
    for unit in range(len(rows) * outputs):
        row, output = rows[unit // outputs], unit % outputs
        row[outputs * channels * height * width + output] = bias[unit]
        for c in range(channels):
            for y in range(height):
                line = row[((output * channels + c) * height + y) * width :]
                source = by_module[unit, y, c:]
                for x in range(width):
                    line[x] = source[x * channels]
