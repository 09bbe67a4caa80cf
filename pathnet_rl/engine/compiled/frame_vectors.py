"""Frames of bytes in vector registers: sums over them, and the images they become (registers.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types

from pathnet_rl.engine.compiled.registers import (
    FLOAT,
    INT,
    VECTOR,
    at_address,
    load,
    long,
    longs,
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
        for which, total in enumerate(totals):
            place = at_address(builder, sums, long(which * VECTOR), words)
            store(builder, builder.load(total), place)

    return signature, generate


class Planes(NamedTuple):
    """The frames of one sample: addresses of [channels, pixels] bytes, of [channels] medians and scales."""

    address: int
    pixels: int
    medians: int
    scales: int


@intrinsic  # type: ignore[untyped-decorator]
def standardise_pixels(
    context: Any, planes: Any, groups: Any, image: Any, channels: Any, halves: Any
) -> Any:
    """(pixel - median) x scale for VECTOR pixels of all channels at a time, channels-last.

    Args:
        planes: Planes. groups: of VECTOR pixels, how many. image: address of [pixels, channels] float32, or
            bfloat16 if `halves`, filled. channels, halves: literals.
    """
    if not isinstance(channels, types.IntegerLiteral) or not isinstance(halves, types.Literal):
        return None
    count, rounded = channels.literal_value, bool(halves.literal_value)
    number, size = (ir.IntType(16), 2) if rounded else (FLOAT, 4)
    filled = ir.VectorType(number, VECTOR).as_pointer()
    signature = types.void(planes, types.int64, types.int64, channels, halves)
    # The channels of a group's numbers, vector by vector; often all vectors are alike.
    patterns = [tuple((v * VECTOR + i) % count for i in range(VECTOR)) for v in range(count)]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        planes, groups, image, _, _ = arguments
        planes = longs(context, builder, signature.args[0], planes)
        medians, scales = (
            {pattern: _chosen(builder, address, pattern) for pattern in patterns}
            for address in (planes.medians, planes.scales)
        )
        with cgutils.for_range(builder, groups) as group:
            first = builder.mul(group.index, long(VECTOR))
            begins = [
                builder.add(planes.address, builder.mul(planes.pixels, long(channel)))
                for channel in range(count)
            ]
            parts = [_bytes(builder, builder.add(begin, first)) for begin in begins]
            whole = _side_by_side(builder, parts)
            begin = builder.add(image, builder.mul(first, long(count * size)))
            for v, pattern in enumerate(patterns):
                order = [c * VECTOR + (v * VECTOR + i) // count for i, c in enumerate(pattern)]
                value = _floats_of(builder, whole, order)
                value = builder.fmul(builder.fsub(value, medians[pattern]), scales[pattern])
                if rounded:
                    value = rounded_to_bfloat16(builder, value)
                place = builder.add(begin, long(v * VECTOR * size))
                store(builder, value, builder.inttoptr(place, filled), size)

    return signature, generate


def _floats_of(builder: Any, vector: Any, order: list[int]) -> Any:
    """The bytes in these places of a vector, as float32."""
    mask = ir.Constant(ir.VectorType(INT, len(order)), order)
    chosen = builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)
    return builder.uitofp(chosen, ir.VectorType(FLOAT, len(order)))


def _bytes(builder: Any, address: Any) -> Any:
    pointer = builder.inttoptr(address, ir.VectorType(_BYTE, VECTOR).as_pointer())
    return load(builder, pointer, 1)


def _chosen(builder: Any, address: Any, places: tuple[int, ...]) -> Any:
    """A vector of the float32 at these places."""
    chosen = ir.Constant(ir.VectorType(FLOAT, VECTOR), ir.Undefined)
    for lane, place in enumerate(places):
        word = builder.load(at_address(builder, address, long(place), FLOAT))
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
