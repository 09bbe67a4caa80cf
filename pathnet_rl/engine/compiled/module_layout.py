"""Modules' numbers from torch's order into the ones that the compiled loops take, and back."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from pathnet_rl.engine.compiled.registers import bfloat16_bits
from pathnet_rl.engine.compiler import compiled


@functools.cache
def lay_out_kernel(pairs: bool) -> Any:
    """Modules' numbers in torch's order, [k, C, height, width] and biases, as the loops take them."""

    def lay_out(modules: Any, shape: Any, by_unit: Any, by_input: Any, bias: Any) -> None:
        """Fill the first n k of `by_unit` [n k, height, width x C, and more], of `by_input` and of `bias`.

        Args:
            modules: [n, module size]. shape: (k, C, height, width) of a module's weights.
            by_input: [height x width x C, pitch]; of pairs [half as many, pitch, 2], the bits of bfloat16.
        """
        units, channels, height, width = shape
        for unit in range(len(modules) * units):
            module, k = modules[unit // units], unit % units
            bias[unit] = module[units * channels * height * width + k]
            for c in range(channels):
                for y in range(height):
                    line = module[((k * channels + c) * height + y) * width :]
                    target = by_unit[unit, y, c:]
                    for x in range(width):
                        target[x * channels] = line[x]
        number = np.empty(1, np.float32)
        bits = number.view(np.uint32)
        for y in range(height):
            for i in range(width * channels):
                n = y * width * channels + i
                for unit in range(len(modules) * units):
                    if pairs:
                        number[0] = by_unit[unit, y, i]
                        by_input[n // 2, unit, n % 2] = bfloat16_bits(bits[0])
                    else:
                        by_input[n, unit] = by_unit[unit, y, i]

    return compiled(lay_out, pairs)


@compiled
def take_back(by_unit: Any, bias: Any, shape: Any, modules: Any) -> None:
    """The way back, for gradients: fill `modules` [n, module size] from what `lay_out_kernel` fills."""
    units, channels, height, width = shape
    for unit in range(len(modules) * units):
        module, k = modules[unit // units], unit % units
        module[units * channels * height * width + k] = bias[unit]
        for c in range(channels):
            for y in range(height):
                line = module[((k * channels + c) * height + y) * width :]
                source = by_unit[unit, y, c:]
                for x in range(width):
                    line[x] = source[x * channels]
