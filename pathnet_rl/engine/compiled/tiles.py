"""Small matrix products held in vector registers: what the compiled layers are made of (registers.py)."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pathnet_rl.engine.compiled.registers import (
    FLOAT,
    INT,
    LANE,
    LONG,
    MULTIPLIES_PAIRS,
    REGISTERS,
    VECTOR,
    BrainFloat,
    at_address,
    broadcast,
    load,
    long,
    store,
)
from pathnet_rl.engine.compiler import cgutils, intrinsic

MOST_LANES, MOST_POSITIONS = (32, 10) if REGISTERS == 32 else (16, 6)
"""The largest tile whose sums stay in registers: 20 of 32 with AVX-512, 12 of 16 with AVX2."""
GRADIENT_POSITIONS = 8 if MOST_POSITIONS >= 8 else 4
"""The tile of a weight gradient, whose positions are outputs, padded to LANE: a divisor of that."""


def registers_of(lanes: int) -> int:
    """How many registers so many lanes take."""
    return -(-lanes // (VECTOR if REGISTERS == 32 else LANE))


@intrinsic  # type: ignore[untyped-decorator]
def multiply(
    context: Any, out: Any, out_step: Any, start: Any, start_step: Any, left: Any, left_step: Any,
    left_outer: Any, left_inner: Any, right: Any, right_outer: Any, right_inner: Any, outer: Any,
    inner: Any, lanes: Any, positions: Any, pairs: Any,
) -> Any:  # fmt: skip
    """out[p, lane] = start[p, lane] + the sum over (outer, inner) of left[p, ...] x right[..., lane].

    Args:
        out, start: addresses of float32; a position is `out_step` and `start_step` words after the last.
        left: address of the words of position 0, one broadcast at a time; `left_step` to the next
            position, `left_outer` and `left_inner` to the next term of the sum.
        right: address of the vectors, with their steps. outer, inner: how many terms.
        lanes: any multiple of LANE.
        positions: a literal, at most MOST_POSITIONS, or more of fewer lanes (`registers_of`).
        pairs: a literal, whether words are pairs.
    """
    names = (
        "out", "out_step", "start", "start_step", "left", "left_step", "left_outer", "left_inner",
        "right", "right_outer", "right_inner", "outer", "inner", "lanes",
    )  # fmt: skip
    return _product(names, positions, pairs)


@intrinsic  # type: ignore[untyped-decorator]
def multiply_listed(
    context: Any, out: Any, out_step: Any, start: Any, start_step: Any, left: Any, left_step: Any,
    left_inner: Any, right: Any, right_inner: Any, terms: Any, outer: Any, inner: Any, lanes: Any,
    positions: Any, pairs: Any,
) -> Any:  # fmt: skip
    """`multiply` of chosen terms only.

    Args:
        terms: address of [outer, 2] int64, the words from `left` and from `right` to each outer term. The
            other arguments are those of `multiply`.
    """
    names = (
        "out", "out_step", "start", "start_step", "left", "left_step", "left_inner",
        "right", "right_inner", "terms", "outer", "inner", "lanes",
    )  # fmt: skip
    return _product(names, positions, pairs)


def _product(names: tuple[str, ...], positions: Any, pairs: Any) -> Any:
    """The signature and the code of `multiply` or `multiply_listed`, whose arguments have these names."""
    if not isinstance(positions, types.IntegerLiteral) or not isinstance(pairs, types.Literal):
        return None
    count, paired = positions.literal_value, bool(pairs.literal_value)
    signature = types.void(*(types.int64 for _ in names), positions, pairs)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        a = dict(zip(names, arguments, strict=False))
        whole = builder.udiv(a["lanes"], long(MOST_LANES))
        done = builder.mul(whole, long(MOST_LANES))
        with cgutils.for_range(builder, whole) as chunk:
            first = builder.mul(chunk.index, long(MOST_LANES))
            _tile(builder, a, first, MOST_LANES, count, paired)
        rest = builder.sub(a["lanes"], done)
        for width in range(LANE, MOST_LANES, LANE):
            with builder.if_then(builder.icmp_unsigned("==", rest, long(width))):
                _tile(builder, a, done, width, count, paired)

    return signature, generate


def _outer_term(builder: Any, a: dict[str, Any], index: Any) -> tuple[Any, Any]:
    """The words to an outer term on the left and on the right."""
    if "terms" not in a:
        left, right = (builder.mul(index, a[f"{side}_outer"]) for side in ("left", "right"))
        return left, right
    first = builder.mul(index, long(2))
    left, right = (
        load(
            builder, at_address(builder, a["terms"], builder.add(first, long(side)), LONG, LONG), 8
        )
        for side in (0, 1)
    )
    return left, right


def _tile(
    builder: Any, a: dict[str, Any], first: Any, width: int, count: int, paired: bool
) -> None:
    """`multiply` for the lanes [first, first + width), in vectors of 16 and a last one of 8."""
    vectors = [VECTOR] * (width // VECTOR) + [LANE] * (width % VECTOR // LANE)
    offsets = [VECTOR * v for v in range(len(vectors))]

    def cells(address: str) -> list[Any]:
        """Pointers to the vectors of `out` or `start`, position by position."""
        found = []
        for position in range(count):
            row = builder.mul(a[f"{address}_step"], long(position))
            row = builder.add(row, first)
            for lanes, offset in zip(vectors, offsets, strict=True):
                words = builder.add(row, long(offset))
                found.append(at_address(builder, a[address], words, ir.VectorType(FLOAT, lanes)))
        return found

    totals = []
    for pointer in cells("start"):
        totals.append(cgutils.alloca_once(builder, pointer.type.pointee))
        builder.store(load(builder, pointer), totals[-1])
    steps = [builder.mul(a["left_step"], long(position)) for position in range(count)]
    with cgutils.for_range(builder, a["outer"]) as outer:
        terms = _outer_term(builder, a, outer.index)
        with cgutils.for_range(builder, a["inner"]) as inner:
            left, right = (
                builder.add(term, builder.mul(inner.index, a[f"{side}_inner"]))
                for side, term in zip(("left", "right"), terms, strict=True)
            )
            right = builder.add(right, first)
            loaded = []
            for lanes, offset in zip(vectors, offsets, strict=True):
                words = builder.add(right, long(offset))
                pointer = at_address(builder, a["right"], words, ir.VectorType(INT, lanes))
                loaded.append(load(builder, pointer))
            for position in range(count):
                place = at_address(builder, a["left"], builder.add(left, steps[position]), INT)
                word = builder.load(place)
                for v, lanes in enumerate(vectors):
                    total = totals[position * len(vectors) + v]
                    spread = broadcast(builder, word, lanes)
                    added = _multiply_add(
                        builder, builder.load(total), loaded[v], spread, lanes, paired
                    )
                    builder.store(added, total)
                # Nothing is read ahead of its turn: the compiler would unroll the loop or gather words,
                # run out of registers and spill sums, at twice the time or worse.
                builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
    for total, pointer in zip(totals, cells("out"), strict=True):
        store(builder, builder.load(total), pointer)


def _multiply_add(builder: Any, total: Any, left: Any, right: Any, lanes: int, pairs: bool) -> Any:
    """Total + left x right, lane by lane; of a pair both products are added."""
    floats = ir.VectorType(FLOAT, lanes)
    if pairs and MULTIPLIES_PAIRS:
        kind = ir.VectorType(BrainFloat(), 2 * lanes)
        arguments = [total, builder.bitcast(left, kind), builder.bitcast(right, kind)]
        return _call(builder, f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", floats, arguments)
    factors = [(left, right)]
    if pairs:
        # Slower than float32, and the same within its rounding: how other processors test the loops.
        words = left.type
        sixteen, high = (ir.Constant(words, [bits] * lanes) for bits in (16, 0xFFFF0000))
        factors = [
            (builder.shl(left, sixteen), builder.shl(right, sixteen)),
            (builder.and_(left, high), builder.and_(right, high)),
        ]
    for one, other in factors:
        operands = [builder.bitcast(factor, floats) for factor in (one, other)]
        total = _call(builder, f"llvm.fma.v{lanes}f32", floats, [*operands, total])
    return total


def _call(builder: Any, name: str, returned: ir.Type, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(returned, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
