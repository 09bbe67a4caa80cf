"""What compiled layers do number by number: ReLU and its gradient, pairs, blank lines (registers.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba import types

from pathnet_rl.engine.compiled.registers import (
    FLOAT,
    INT,
    LANE,
    VECTOR,
    at_address,
    load,
    long,
    longs,
    rounded_to_bfloat16,
    store,
)
from pathnet_rl.engine.compiler import cgutils, intrinsic

MOST_TOGETHER = 64
"""Units of a module that are rectified together: wider vectors take LLVM minutes."""


@intrinsic  # type: ignore[untyped-decorator]
def all_zero(context: Any, address: Any, words: Any) -> Any:
    """Whether nothing but zeros is in so many words."""
    signature = types.boolean(types.int64, types.int64)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        address, words = arguments
        vector = ir.VectorType(INT, LANE)
        together, single = (cgutils.alloca_once(builder, kind) for kind in (vector, INT))
        for found in (together, single):
            builder.store(ir.Constant(found.type.pointee, None), found)
        whole = builder.udiv(words, long(LANE))
        done = builder.mul(whole, long(LANE))

        def look(place: Any, found: Any) -> None:
            new = load(builder, at_address(builder, address, place, found.type.pointee))
            builder.store(builder.or_(builder.load(found), new), found)

        with cgutils.for_range(builder, whole) as group:
            look(builder.mul(group.index, long(LANE)), together)
        with cgutils.for_range(builder, builder.sub(words, done)) as rest:
            look(builder.add(done, rest.index), single)
        bits = builder.bitcast(builder.load(together), ir.IntType(32 * LANE))
        parts = [builder.icmp_unsigned("==", b, b.type(0)) for b in (bits, builder.load(single))]
        return builder.and_(*parts)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def interleave(context: Any, left: Any, right: Any, count: Any, pairs: Any) -> Any:
    """Fill `count` pairs from as many bfloat16 at each of two addresses."""
    signature = types.void(*[types.int64] * 4)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        left, right, count, pairs = arguments
        half = ir.IntType(16)

        def read(side: Any, first: Any, lanes: int) -> Any:
            kind = ir.VectorType(half, lanes)
            return load(builder, at_address(builder, side, first, kind, half), 2)

        whole = builder.udiv(count, long(VECTOR))
        done = builder.mul(whole, long(VECTOR))
        rest = builder.sub(count, done)
        for lanes, groups, begin in ((VECTOR, whole, long(0)), (1, rest, done)):
            _fill_pairs(builder, (left, right), read, pairs, begin, groups, lanes)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def interleave_rounded(context: Any, left: Any, right: Any, count: Any, pairs: Any) -> Any:
    """Fill `count` pairs, a multiple of VECTOR, from as many float32 at each of two addresses."""
    signature = types.void(*[types.int64] * 4)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        left, right, count, pairs = arguments

        def read(side: Any, first: Any, lanes: int) -> Any:
            pointer = at_address(builder, side, first, ir.VectorType(FLOAT, lanes))
            return rounded_to_bfloat16(builder, load(builder, pointer))

        groups = builder.udiv(count, long(VECTOR))
        _fill_pairs(builder, (left, right), read, pairs, long(0), groups, VECTOR)

    return signature, generate


def _fill_pairs(
    builder: Any,
    sides: tuple[Any, Any],
    read: Callable[[Any, Any, int], Any],
    pairs: Any,
    begin: Any,
    groups: Any,
    lanes: int,
) -> None:
    """Fill groups of so many pairs, from `begin` on; `read` gives the 16 bits of numbers of a side."""
    words = ir.VectorType(INT, lanes)
    sixteen = ir.Constant(words, [16] * lanes)
    with cgutils.for_range(builder, groups) as group:
        first = builder.add(begin, builder.mul(group.index, long(lanes)))
        low, high = (builder.zext(read(side, first, lanes), words) for side in sides)
        pair = builder.or_(low, builder.shl(high, sixteen))
        store(builder, pair, at_address(builder, pairs, first, words))


@intrinsic  # type: ignore[untyped-decorator]
def rectify(
    context: Any, responses: Any, kept: Any, sums: Any, rows: Any, modules: Any, units: Any
) -> Any:
    """ReLU and sum over modules, row by row.

    Args:
        responses: Rows, of which the first modules x units words count.
        kept: address of bytes of the same pitch, filled: 1 where a response is positive (or not a number,
            which must not vanish). sums: address of [rows, units] float32, filled. units: a literal.
    """
    if not isinstance(units, types.IntegerLiteral):
        return None
    count = units.literal_value
    signature = types.void(responses, *[types.int64] * 4, units)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        responses, kept, sums, rows, modules, _ = arguments
        responses = longs(context, builder, signature.args[0], responses)
        for floats, bytes_, row, first in _units_together(builder, rows, count):
            zero = ir.Constant(floats, None)
            total = cgutils.alloca_once(builder, floats)
            builder.store(zero, total)
            with cgutils.for_range(builder, modules) as module:
                unit = builder.add(builder.mul(module.index, long(count)), first)
                place = builder.add(unit, builder.mul(row, responses.pitch))
                response = load(builder, at_address(builder, responses.address, place, floats))
                positive = builder.fcmp_unordered(">", response, zero)
                byte = builder.inttoptr(builder.add(kept, place), bytes_.as_pointer())
                store(builder, builder.zext(positive, bytes_), byte, 1)
                rectified = builder.select(positive, response, zero)
                builder.store(builder.fadd(builder.load(total), rectified), total)
            place = builder.add(builder.mul(row, long(count)), first)
            store(builder, builder.load(total), at_address(builder, sums, place, floats))

    return signature, generate


def _units_together(builder: Any, rows: Any, count: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Generate loops over rows and over at most MOST_TOGETHER of `count` units, and what is left.

    Yields:
        Inside each: the vectors of as many floats and bytes, the row, the first unit.
    """
    whole, rest = divmod(count, MOST_TOGETHER)
    for width, chunks, begin in ((MOST_TOGETHER, whole, 0), (rest, 1, whole * MOST_TOGETHER)):
        if not width or not chunks:
            continue
        vectors = (ir.VectorType(kind, width) for kind in (FLOAT, ir.IntType(8)))
        with (
            cgutils.for_range(builder, rows) as row,
            cgutils.for_range(builder, long(chunks)) as chunk,
        ):
            first = builder.add(builder.mul(chunk.index, long(width)), long(begin))
            yield *vectors, row.index, first


@intrinsic  # type: ignore[untyped-decorator]
def unrectify(
    context: Any, upstream: Any, kept: Any, deltas: Any, totals: Any, rows: Any, modules: Any, units: Any
) -> Any:  # fmt: skip
    """The gradient of `rectify`.

    Args:
        upstream: address of [rows, units] float32, the gradient of the sums. kept: what `rectify` filled,
            of the pitch of `deltas`.
        deltas: Rows, of which the first modules x units words are filled: the gradient of the responses.
        totals: address of [modules x units] float32, to which it is added. units: a literal.
    """
    if not isinstance(units, types.IntegerLiteral):
        return None
    count = units.literal_value
    signature = types.void(types.int64, types.int64, deltas, *[types.int64] * 3, units)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        upstream, kept, deltas, totals, rows, modules, _ = arguments
        deltas = longs(context, builder, signature.args[2], deltas)
        for floats, bytes_, row, first in _units_together(builder, rows, count):
            none, off = ir.Constant(floats, None), ir.Constant(bytes_, None)
            place = builder.add(builder.mul(row, long(count)), first)
            gradient = load(builder, at_address(builder, upstream, place, floats))
            with cgutils.for_range(builder, modules) as module:
                unit = builder.add(builder.mul(module.index, long(count)), first)
                place = builder.add(unit, builder.mul(row, deltas.pitch))
                byte = builder.inttoptr(builder.add(kept, place), bytes_.as_pointer())
                positive = builder.icmp_unsigned("!=", load(builder, byte, 1), off)
                mine = builder.select(positive, gradient, none)
                store(builder, mine, at_address(builder, deltas.address, place, floats))
                total = at_address(builder, totals, unit, floats)
                store(builder, builder.fadd(load(builder, total), mine), total)

    return signature, generate
