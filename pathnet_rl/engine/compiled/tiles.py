"""Small matrix products held in vector registers: what the compiled layers are made of (registers.py).

A *tile* is the part of a product whose sums are in registers all at once: so many *positions*, each a row of
so many *lanes*. Every term of a sum is a word on the left, broadcast to all lanes, times a vector on the
right. A *run* is a number of terms that lie evenly spaced, one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

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
    longs,
    store,
)
from pathnet_rl.engine.compiler import cgutils, intrinsic

MOST_LANES, MOST_POSITIONS = (32, 10) if REGISTERS == 32 else (16, 6)
"""The largest tile whose sums stay in registers: 20 of 32 with AVX-512, 12 of 16 with AVX2."""
GRADIENT_POSITIONS = 8 if MOST_POSITIONS >= 8 else 4
"""The tile of a weight gradient, whose positions are units, padded to LANE: a divisor of that."""


def registers_of(lanes: int) -> int:
    """How many registers so many lanes take."""
    return -(-lanes // (VECTOR if REGISTERS == 32 else LANE))


def tile_positions(width: int, lanes: int = MOST_LANES) -> int:
    """How many of `width` positions side by side are one tile; the last tile may overlap the one before.

    Args:
        lanes: of a position. Fewer vectors than the largest tile has leave registers for more positions.
    """
    most = MOST_POSITIONS * registers_of(MOST_LANES) // registers_of(min(lanes, MOST_LANES))
    return -(-width // -(-width // most))


class Rows(NamedTuple):
    """Rows of float32, one a position: the address of the first, and how far apart they are."""

    address: int
    pitch: int


class Words(NamedTuple):
    """What is broadcast: the address of position 0's first word, the pitch of positions, that of terms."""

    address: int
    pitch: int
    term: int


class Vectors(NamedTuple):
    """What words are multiplied by: the address of the first vector, and the pitch of terms."""

    address: int
    term: int


class Runs(NamedTuple):
    """Which terms are summed up.

    Attributes:
        address: of [runs, 2] int64: from the first term, the words to each run on the left and on the right.
        runs: how many. length: terms of each.
    """

    address: int
    runs: int
    length: int


@intrinsic  # type: ignore[untyped-decorator]
def multiply(
    context: Any, out: Any, start: Any, left: Any, right: Any, terms: Any, lanes: Any, positions: Any,
    pairs: Any,
) -> Any:  # fmt: skip
    """out[position, lane] = start[position, lane] + the sum over terms of left[position] x right[lane].

    Args:
        out, start: Rows; `start` may be `out`, or one row for all positions, with pitch 0.
        left: Words. right: Vectors. terms: Runs, or how many there are in the only run.
        lanes: any multiple of LANE.
        positions: a literal, at most MOST_POSITIONS, or more of fewer lanes (`registers_of`).
        pairs: a literal, whether words are pairs.
    """
    if not isinstance(positions, types.IntegerLiteral) or not isinstance(pairs, types.Literal):
        return None
    signature = types.void(out, start, left, right, terms, types.int64, positions, pairs)
    count, paired = positions.literal_value, bool(pairs.literal_value)
    listed = not isinstance(terms, types.Integer)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *groups, terms, lanes, _, _ = arguments
        out, start, left, right = (
            longs(context, builder, kind, group)
            for kind, group in zip(signature.args[:4], groups, strict=True)
        )
        given = signature.args[4]
        if listed:
            terms = longs(context, builder, given, terms)
        else:
            terms = context.cast(builder, terms, given, types.int64)
        product = _Product(out, start, left, right, terms, count, paired)
        whole = builder.udiv(lanes, long(MOST_LANES))
        done = builder.mul(whole, long(MOST_LANES))
        with cgutils.for_range(builder, whole) as chunk:
            _tile(builder, product, builder.mul(chunk.index, long(MOST_LANES)), MOST_LANES)
        rest = builder.sub(lanes, done)
        for width in range(LANE, MOST_LANES, LANE):
            with builder.if_then(builder.icmp_unsigned("==", rest, long(width))):
                _tile(builder, product, done, width)

    return signature, generate


class _Product(NamedTuple):
    """The arguments of `multiply`, as values in LLVM's language."""

    out: Rows
    start: Rows
    left: Words
    right: Vectors
    terms: Any
    positions: int
    pairs: bool


def _tile(builder: Any, product: _Product, first: Any, width: int) -> None:
    """`multiply` for the lanes [first, first + width), in vectors of 16 and a last one of 8."""
    vectors = [VECTOR] * (width // VECTOR) + [LANE] * (width % VECTOR // LANE)
    totals = []
    for pointer in _cells(builder, product.start, product.positions, first, vectors):
        totals.append(cgutils.alloca_once(builder, pointer.type.pointee))
        builder.store(load(builder, pointer), totals[-1])
    pitches = [builder.mul(product.left.pitch, long(p)) for p in range(product.positions)]
    with _each_term(builder, product) as (left, right):
        loaded = list(_vectors(builder, product.right.address, builder.add(right, first), vectors))
        for position, pitch in enumerate(pitches):
            place = at_address(builder, product.left.address, builder.add(left, pitch), INT)
            word = builder.load(place)
            for v, vector in enumerate(loaded):
                total = totals[position * len(vectors) + v]
                added = _multiply_add(builder, builder.load(total), vector, word, product.pairs)
                builder.store(added, total)
            # Nothing is read ahead of its turn: the compiler would unroll the loop or gather words,
            # run out of registers and spill sums, at twice the time or worse.
            builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
    cells = _cells(builder, product.out, product.positions, first, vectors)
    for total, pointer in zip(totals, cells, strict=True):
        store(builder, builder.load(total), pointer)


def _cells(builder: Any, rows: Rows, positions: int, first: Any, vectors: list[int]) -> list[Any]:
    """Pointers to vectors of so many lanes each, from the lane `first` on, position by position."""
    found = []
    for position in range(positions):
        place = builder.add(builder.mul(rows.pitch, long(position)), first)
        for v, lanes in enumerate(vectors):
            words = builder.add(place, long(VECTOR * v))
            found.append(at_address(builder, rows.address, words, ir.VectorType(FLOAT, lanes)))
    return found


def _vectors(builder: Any, address: Any, first: Any, vectors: list[int]) -> Iterator[Any]:
    """What is at an address, from the word `first` on, in vectors of so many lanes each."""
    for v, lanes in enumerate(vectors):
        words = builder.add(first, long(VECTOR * v))
        yield load(builder, at_address(builder, address, words, ir.VectorType(INT, lanes)))


@contextlib.contextmanager
def _each_term(builder: Any, product: _Product) -> Iterator[tuple[Any, Any]]:
    """The loop over all terms; inside it, the words to the term on the left and on the right."""
    pitches = product.left.term, product.right.term
    if not isinstance(product.terms, Runs):
        with cgutils.for_range(builder, product.terms) as term:
            left, right = (builder.mul(term.index, pitch) for pitch in pitches)
            yield left, right
        return
    with cgutils.for_range(builder, product.terms.runs) as run:
        first = builder.mul(run.index, long(2))
        begins = [
            load(
                builder,
                at_address(builder, product.terms.address, builder.add(first, side), LONG, LONG),
                alignment=8,
            )
            for side in (long(0), long(1))
        ]
        with cgutils.for_range(builder, product.terms.length) as term:
            left, right = (
                builder.add(begin, builder.mul(term.index, pitch))
                for begin, pitch in zip(begins, pitches, strict=True)
            )
            yield left, right


def _multiply_add(builder: Any, total: Any, vector: Any, word: Any, pairs: bool) -> Any:
    """Total + vector x word, lane by lane; of a pair both products are added."""
    lanes = vector.type.count
    floats = ir.VectorType(FLOAT, lanes)
    spread = broadcast(builder, word, lanes)
    if pairs and MULTIPLIES_PAIRS:
        kind = ir.VectorType(BrainFloat(), 2 * lanes)
        arguments = [total, builder.bitcast(vector, kind), builder.bitcast(spread, kind)]
        return _call(builder, f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", floats, arguments)
    factors = [(vector, spread)]
    if pairs:
        # Slower than float32, and the same within its rounding: how other processors test the loops.
        sixteen, high = (ir.Constant(vector.type, [bits] * lanes) for bits in (16, 0xFFFF0000))
        factors = [
            (builder.shl(vector, sixteen), builder.shl(spread, sixteen)),
            (builder.and_(vector, high), builder.and_(spread, high)),
        ]
    for one, other in factors:
        operands = [builder.bitcast(factor, floats) for factor in (one, other)]
        total = _call(builder, f"llvm.fma.v{lanes}f32", floats, [*operands, total])
    return total


def _call(builder: Any, name: str, returned: ir.Type, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(returned, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
