"""Frames of bytes in vector registers: sums over them, and the images they become (registers.py)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pathnet_rl.engine.compiled.registers import (
    FLOAT,
    INT,
    VECTOR,
    at_address,
    load,
    long,
    rounded_to_bfloat16,
    store,
)
from pathnet_rl.engine.compiler import cgutils, intrinsic

MOST_SUMMED = 1 << 19
"""Bytes whose squares add up to less than 2^31 in each of VECTOR lanes."""

_BYTE = ir.IntType(8)


@intrinsic  # type: ignore[untyped-decorator]
def sum_bytes(context: Any, address: Any, groups: Any, sums: Any) -> Any:
    """The sum and the sum of squares of so many groups of VECTOR bytes, at most MOST_SUMMED bytes.

    Args:
        sums: address of [2, VECTOR] int32, filled: to be added up.
    """
    signature = types.void(*[types.int64] * 3)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        address, groups, sums = arguments
        words = ir.VectorType(INT, VECTOR)
        totals = [cgutils.alloca_once(builder, words) for _ in range(2)]
        for total in totals:
            builder.store(ir.Constant(words, None), total)
        with cgutils.for_range(builder, groups) as group:
            place = builder.add(address, builder.mul(group.index, long(VECTOR)))
            values = builder.zext(_bytes(builder, place), words)
            for total, added in zip(totals, (values, builder.mul(values, values)), strict=True):
                builder.store(builder.add(builder.load(total), added), total)
        for row, total in enumerate(totals):
            place = at_address(builder, sums, long(row * VECTOR), words)
            store(builder, builder.load(total), place)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def standardise_pixels(
    context: Any, frames: Any, pixels: Any, groups: Any, medians: Any, scales: Any, image: Any,
    channels: Any, halves: Any,
) -> Any:  # fmt: skip
    """(pixel - median) x scale for VECTOR pixels of all channels at a time, channels-last.

    Args:
        frames: address of [channels, pixels] bytes. groups: of VECTOR pixels. medians, scales: addresses of
            [channels] float32. image: address of [pixels, channels] float32, or bfloat16 if `halves`,
            filled. channels, halves: literals.
    """
    if not isinstance(channels, types.IntegerLiteral) or not isinstance(halves, types.Literal):
        return None
    count = channels.literal_value
    floats = ir.VectorType(FLOAT, VECTOR)
    number, size = (ir.IntType(16), 2) if halves.literal_value else (FLOAT, 4)
    signature = types.void(*[types.int64] * 6, channels, halves)
    # The channels of a group's numbers, vector by vector; often all vectors are alike.
    patterns = [tuple((v * VECTOR + i) % count for i in range(VECTOR)) for v in range(count)]

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        frames, pixels, groups, medians, scales, image = arguments[:6]
        median, scale = (
            {
                pattern: builder.bitcast(_chosen(builder, address, pattern), floats)
                for pattern in patterns
            }
            for address in (medians, scales)
        )
        with cgutils.for_range(builder, groups) as group:
            first = builder.mul(group.index, long(VECTOR))
            planes = []
            for channel in range(count):
                plane = builder.add(frames, builder.mul(pixels, long(channel)))
                planes.append(_bytes(builder, builder.add(plane, first)))
            whole = _side_by_side(builder, planes)
            begin = builder.add(image, builder.mul(first, long(count * size)))
            for v, pattern in enumerate(patterns):
                order = [c * VECTOR + (v * VECTOR + i) // count for i, c in enumerate(pattern)]
                mask = ir.Constant(ir.VectorType(INT, VECTOR), order)
                mixed = builder.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), mask)
                value = builder.fsub(builder.uitofp(mixed, floats), median[pattern])
                value = builder.fmul(value, scale[pattern])
                if halves.literal_value:
                    value = rounded_to_bfloat16(builder, value)
                place = builder.add(begin, long(v * VECTOR * size))
                kind = ir.VectorType(number, VECTOR).as_pointer()
                store(builder, value, builder.inttoptr(place, kind), size)

    return signature, generate


def _bytes(builder: Any, address: Any) -> Any:
    pointer = builder.inttoptr(address, ir.VectorType(_BYTE, VECTOR).as_pointer())
    return load(builder, pointer, 1)


def _chosen(builder: Any, address: Any, places: tuple[int, ...]) -> Any:
    """A vector of the words at these places."""
    chosen = ir.Constant(ir.VectorType(INT, VECTOR), ir.Undefined)
    for lane, place in enumerate(places):
        word = builder.load(at_address(builder, address, long(place), INT))
        chosen = builder.insert_element(chosen, word, ir.Constant(INT, lane))
    return chosen


def _side_by_side(builder: Any, parts: list[Any]) -> Any:
    """One vector of all parts, one after the other, and whatever fills it up to a power of two."""
    while len(parts) > 1:
        if len(parts) % 2:
            parts.append(ir.Constant(parts[0].type, ir.Undefined))
        width = 2 * parts[0].type.count
        mask = ir.Constant(ir.VectorType(INT, width), list(range(width)))
        parts = [
            builder.shuffle_vector(left, right, mask)
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]
