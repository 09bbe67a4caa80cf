"""Small matrix products held in vector registers: what the compiled layers are made of.

Numba compiles loops over numbers and has no vectors, so these few are written in LLVM's language. A *word*
is 4 bytes: one float32, or a *pair* of bfloat16, which processors multiply and add in one instruction.
Addresses are integers (`array.ctypes.data`), steps count words. Nothing is checked here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numba.core.cgutils
import numba.core.codegen
import numba.extending
from llvmlite import ir
from numba import types


def _features() -> set[str]:
    """What the processor that numba compiles for can do: this one, unless numba's settings say otherwise."""
    named = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    host = numba.core.codegen.get_host_cpu_features()  # type: ignore[no-untyped-call]
    flags = (host if named is None else named).split(",")
    return {flag[1:] for flag in flags if flag.startswith("+")}


_FEATURES = _features()
MULTIPLIES_PAIRS = "avx512bf16" in _FEATURES
"""This processor multiplies bfloat16."""

LANE = 8
"""Products have a multiple of 8 lanes, one a float32: what they read and write is padded to that."""
VECTOR = 16
"""The widest vector's lanes. Rows of the forward pass's weights and responses are a multiple of it apart, so
that no vector lies across two lines of the cache."""
MOST_LANES, MOST_POSITIONS = (32, 10) if "avx512f" in _FEATURES else (16, 6)
"""The largest tile whose sums stay in registers: 20 of 32 with AVX-512, 12 of 16 with AVX2."""
GRADIENT_POSITIONS = 8 if MOST_POSITIONS >= 8 else 4
"""The tile of a weight gradient, whose positions are outputs, padded to LANE: a divisor of that."""
MOST_TOGETHER = 64
"""Outputs of a module that are rectified together: wider vectors take LLVM minutes."""

cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic(prefer_literal=True)


def compiled(function: Any, *constants: object) -> Any:
    """Compile a function that encloses constants, when it is first called, or take it from numba's cache.

    All functions of one qualified name share an index of numbered cache files, which processes write
    without locks: what is compiled for other constants, or from other code (its own file's or this
    one's), must have a name of its own, or one may be taken for the other.
    """
    code = Path(function.__code__.co_filename).read_bytes()
    revision = zlib.crc32(code, zlib.crc32(Path(__file__).read_bytes()))
    name = "_".join(str(part) for part in (function.__name__, *constants, revision))
    function.__qualname__ = name
    return numba.njit(cache=True, nogil=True)(function)


_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class _BrainFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BrainFloat)

    def __hash__(self) -> int:
        return hash(_BrainFloat)


def _long(number: int) -> ir.Constant:
    return ir.Constant(_LONG, number)


def _at(builder: Any, address: Any, count: Any, kind: ir.Type, unit: ir.Type = _INT) -> Any:
    """A pointer to `kind`, so many words (or other units) after the address."""
    base = builder.inttoptr(address, unit.as_pointer())
    return builder.bitcast(builder.gep(base, [count]), kind.as_pointer())


def _load(builder: Any, pointer: Any, alignment: int = 4) -> Any:
    loaded = builder.load(pointer)
    loaded.align = alignment
    return loaded


def _store(builder: Any, value: Any, pointer: Any, alignment: int = 4) -> None:
    builder.store(value, pointer).align = alignment


def _multiply_add(builder: Any, total: Any, left: Any, right: Any, lanes: int, pairs: bool) -> Any:
    """Total + left x right, lane by lane; of a pair both products are added."""
    floats = ir.VectorType(_FLOAT, lanes)
    factors = ir.VectorType(_BrainFloat(), 2 * lanes) if pairs else floats
    operands = [builder.bitcast(factor, factors) for factor in (left, right)]
    if pairs:
        name, arguments = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", [total, *operands]
    else:
        name, arguments = f"llvm.fma.v{lanes}f32", [*operands, total]
    kind = ir.FunctionType(floats, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _broadcast(builder: Any, word: Any, lanes: int) -> Any:
    kind = ir.VectorType(_INT, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, word, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(kind, None))


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
        positions: a literal, at most MOST_POSITIONS. pairs: a literal, whether words are pairs.
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
        whole = builder.udiv(a["lanes"], _long(MOST_LANES))
        done = builder.mul(whole, _long(MOST_LANES))
        with cgutils.for_range(builder, whole) as chunk:
            first = builder.mul(chunk.index, _long(MOST_LANES))
            _tile(builder, a, first, MOST_LANES, count, paired)
        rest = builder.sub(a["lanes"], done)
        for width in range(LANE, MOST_LANES, LANE):
            with builder.if_then(builder.icmp_unsigned("==", rest, _long(width))):
                _tile(builder, a, done, width, count, paired)

    return signature, generate


def _outer_term(builder: Any, a: dict[str, Any], index: Any) -> tuple[Any, Any]:
    """The words to an outer term on the left and on the right."""
    if "terms" not in a:
        left, right = (builder.mul(index, a[f"{side}_outer"]) for side in ("left", "right"))
        return left, right
    first = builder.mul(index, _long(2))
    left, right = (
        _load(builder, _at(builder, a["terms"], builder.add(first, _long(side)), _LONG, _LONG), 8)
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
            row = builder.mul(a[f"{address}_step"], _long(position))
            row = builder.add(row, first)
            for lanes, offset in zip(vectors, offsets, strict=True):
                words = builder.add(row, _long(offset))
                found.append(_at(builder, a[address], words, ir.VectorType(_FLOAT, lanes)))
        return found

    totals = []
    for pointer in cells("start"):
        totals.append(cgutils.alloca_once(builder, pointer.type.pointee))
        builder.store(_load(builder, pointer), totals[-1])
    steps = [builder.mul(a["left_step"], _long(position)) for position in range(count)]
    with (
        cgutils.for_range(builder, a["outer"]) as outer,
        cgutils.for_range(builder, a["inner"]) as inner,
    ):
        left, right = (
            builder.add(term, builder.mul(inner.index, a[f"{side}_inner"]))
            for side, term in zip(
                ("left", "right"), _outer_term(builder, a, outer.index), strict=True
            )
        )
        right = builder.add(right, first)
        loaded = [
            _load(
                builder,
                _at(
                    builder,
                    a["right"],
                    builder.add(right, _long(offset)),
                    ir.VectorType(_INT, lanes),
                ),
            )
            for lanes, offset in zip(vectors, offsets, strict=True)
        ]
        for position in range(count):
            place = _at(builder, a["left"], builder.add(left, steps[position]), _INT)
            word = builder.load(place)
            for v, lanes in enumerate(vectors):
                total = totals[position * len(vectors) + v]
                spread = _broadcast(builder, word, lanes)
                added = _multiply_add(
                    builder, builder.load(total), loaded[v], spread, lanes, paired
                )
                builder.store(added, total)
        # Nothing is read ahead of its turn: the compiler would unroll the loop, run out of registers
        # and spill sums, at twice the time or worse.
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)
    for total, pointer in zip(totals, cells("out"), strict=True):
        _store(builder, builder.load(total), pointer)


@intrinsic  # type: ignore[untyped-decorator]
def all_zero(context: Any, address: Any, words: Any) -> Any:
    """Whether nothing but zeros is in so many words."""
    signature = types.boolean(types.int64, types.int64)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        address, words = arguments
        vector = ir.VectorType(_INT, LANE)
        together, single = (cgutils.alloca_once(builder, kind) for kind in (vector, _INT))
        for found in (together, single):
            builder.store(ir.Constant(found.type.pointee, None), found)
        whole = builder.udiv(words, _long(LANE))
        done = builder.mul(whole, _long(LANE))

        def look(place: Any, found: Any) -> None:
            new = _load(builder, _at(builder, address, place, found.type.pointee))
            builder.store(builder.or_(builder.load(found), new), found)

        with cgutils.for_range(builder, whole) as group:
            look(builder.mul(group.index, _long(LANE)), together)
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
        whole = builder.udiv(count, _long(VECTOR))
        done = builder.mul(whole, _long(VECTOR))
        for lanes, times, begin in (
            (VECTOR, whole, _long(0)),
            (1, builder.sub(count, done), done),
        ):
            half = ir.IntType(16)
            kind = ir.VectorType(half, lanes)
            with cgutils.for_range(builder, times) as group:
                first = builder.add(begin, builder.mul(group.index, _long(lanes)))
                low, high = (
                    _load(builder, _at(builder, side, first, kind, half), 2)
                    for side in (left, right)
                )
                place = _at(builder, pairs, first, ir.VectorType(_INT, lanes))
                _store(builder, _paired(builder, low, high), place)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def interleave_rounded(context: Any, left: Any, right: Any, count: Any, pairs: Any) -> Any:
    """Fill `count` pairs, a multiple of VECTOR, from as many float32 at each of two addresses."""
    signature = types.void(*[types.int64] * 4)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        left, right, count, pairs = arguments
        floats, words = ir.VectorType(_FLOAT, VECTOR), ir.VectorType(_INT, VECTOR)
        with cgutils.for_range(builder, builder.udiv(count, _long(VECTOR))) as group:
            first = builder.mul(group.index, _long(VECTOR))
            low, high = (
                _rounded(builder, _load(builder, _at(builder, side, first, floats)))
                for side in (left, right)
            )
            _store(builder, _paired(builder, low, high), _at(builder, pairs, first, words))

    return signature, generate


def _rounded(builder: Any, floats: Any) -> Any:
    """The bits of the nearest bfloat16, the even one of two.

    Without an instruction for it LLVM would call a function that is nowhere.
    """
    halves = ir.VectorType(ir.IntType(16), floats.type.count)
    if MULTIPLIES_PAIRS:
        rounded = builder.fptrunc(floats, ir.VectorType(_BrainFloat(), floats.type.count))
        return builder.bitcast(rounded, halves)
    words = ir.VectorType(_INT, floats.type.count)
    one, sixteen, below_half = (
        ir.Constant(words, [number] * words.count) for number in (1, 16, 0x7FFF)
    )
    bits = builder.bitcast(floats, words)
    odd = builder.and_(builder.lshr(bits, sixteen), one)
    moved = builder.add(builder.add(bits, odd), below_half)
    return builder.trunc(builder.lshr(moved, sixteen), halves)


def _paired(builder: Any, low: Any, high: Any) -> Any:
    """Words of two vectors of 16 bits."""
    words = ir.VectorType(_INT, low.type.count)
    sixteen = ir.Constant(words, [16] * words.count)
    return builder.or_(builder.zext(low, words), builder.shl(builder.zext(high, words), sixteen))


@intrinsic  # type: ignore[untyped-decorator]
def rectify(
    context: Any,
    responses: Any,
    step: Any,
    kept: Any,
    sums: Any,
    rows: Any,
    modules: Any,
    outputs: Any,
) -> Any:
    """ReLU and sum over modules, row by row.

    Args:
        responses: address of [rows, step] float32, of which the first modules x outputs count.
        kept: address of [rows, step] bytes, filled: 1 where a response is positive (or not a number,
            which must not vanish). sums: address of [rows, outputs] float32, filled. outputs: a literal.
    """
    if not isinstance(outputs, types.IntegerLiteral):
        return None
    count = outputs.literal_value
    signature = types.void(*[types.int64] * 6, outputs)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        responses, step, kept, sums, rows, modules = arguments[:6]
        for floats, bytes_, row, output in _outputs_together(builder, rows, count):
            zero = ir.Constant(floats, None)
            total = cgutils.alloca_once(builder, floats)
            builder.store(zero, total)
            with cgutils.for_range(builder, modules) as module:
                unit = builder.add(builder.mul(module.index, _long(count)), output)
                first = builder.add(unit, builder.mul(row, step))
                response = _load(builder, _at(builder, responses, first, floats))
                positive = builder.fcmp_unordered(">", response, zero)
                place = builder.inttoptr(builder.add(kept, first), bytes_.as_pointer())
                _store(builder, builder.zext(positive, bytes_), place, 1)
                rectified = builder.select(positive, response, zero)
                builder.store(builder.fadd(builder.load(total), rectified), total)
            first = builder.add(builder.mul(row, _long(count)), output)
            _store(builder, builder.load(total), _at(builder, sums, first, floats))

    return signature, generate


def _outputs_together(builder: Any, rows: Any, count: int) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Generate loops over rows and over at most MOST_TOGETHER of `count` outputs, and what is left.

    Yields:
        Inside each: the vectors of as many floats and bytes, the row, the first output.
    """
    whole, rest = divmod(count, MOST_TOGETHER)
    for width, chunks, begin in ((MOST_TOGETHER, whole, 0), (rest, 1, whole * MOST_TOGETHER)):
        if not width or not chunks:
            continue
        vectors = (ir.VectorType(kind, width) for kind in (_FLOAT, ir.IntType(8)))
        with (
            cgutils.for_range(builder, rows) as row,
            cgutils.for_range(builder, _long(chunks)) as chunk,
        ):
            first = builder.add(builder.mul(chunk.index, _long(width)), _long(begin))
            yield *vectors, row.index, first


@intrinsic  # type: ignore[untyped-decorator]
def unrectify(
    context: Any, upstream: Any, kept: Any, raw: Any, step: Any, totals: Any, rows: Any, modules: Any,
    outputs: Any,
) -> Any:  # fmt: skip
    """The gradient of `rectify`.

    Args:
        upstream: address of [rows, outputs] float32, the gradient of the sums. kept: what `rectify`
            filled. raw: address of [rows, step] float32, of which the first modules x outputs are filled:
            the gradient of the responses. totals: address of [step], to which it is added. outputs: a
            literal.
    """
    if not isinstance(outputs, types.IntegerLiteral):
        return None
    count = outputs.literal_value
    signature = types.void(*[types.int64] * 7, outputs)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        upstream, kept, raw, step, totals, rows, modules = arguments[:7]
        for floats, bytes_, row, output in _outputs_together(builder, rows, count):
            first = builder.add(builder.mul(row, _long(count)), output)
            gradient = _load(builder, _at(builder, upstream, first, floats))
            with cgutils.for_range(builder, modules) as module:
                unit = builder.add(builder.mul(module.index, _long(count)), output)
                first = builder.add(unit, builder.mul(row, step))
                place = builder.inttoptr(builder.add(kept, first), bytes_.as_pointer())
                positive = builder.icmp_unsigned(
                    "!=", _load(builder, place, 1), ir.Constant(bytes_, None)
                )
                mine = builder.select(positive, gradient, ir.Constant(floats, None))
                _store(builder, mine, _at(builder, raw, first, floats))
                total = _at(builder, totals, unit, floats)
                _store(builder, builder.fadd(_load(builder, total), mine), total)

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def standardise_pixels(
    context: Any, frames: Any, pixels: Any, groups: Any, medians: Any, scales: Any, images: Any,
    channels: Any, halves: Any,
) -> Any:  # fmt: skip
    """(pixel - median) x scale for 16 pixels of all channels at a time, channels-last.

    Args:
        frames: address of [channels, pixels] bytes. groups: of 16 pixels. medians, scales: addresses of
            [channels] float32. images: address of [pixels, channels] float32, or bfloat16 if `halves`,
            filled. channels, halves: literals.
    """
    if not isinstance(channels, types.IntegerLiteral) or not isinstance(halves, types.Literal):
        return None
    count = channels.literal_value
    floats = ir.VectorType(_FLOAT, VECTOR)
    bytes_ = ir.VectorType(ir.IntType(8), VECTOR)
    number = ir.IntType(16) if halves.literal_value else _FLOAT
    size = 2 if halves.literal_value else 4
    signature = types.void(*[types.int64] * 6, channels, halves)

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        frames, pixels, groups, medians, scales, images = arguments[:6]
        constants = [
            [
                _broadcast(builder, builder.load(_at(builder, address, _long(c), _INT)), VECTOR)
                for c in range(count)
            ]
            for address in (medians, scales)
        ]
        with cgutils.for_range(builder, groups) as group:
            first = builder.mul(group.index, _long(VECTOR))
            parts = []
            for c in range(count):
                place = builder.add(builder.add(frames, first), builder.mul(pixels, _long(c)))
                grey = _load(builder, builder.inttoptr(place, bytes_.as_pointer()), 1)
                median, scale = (builder.bitcast(vectors[c], floats) for vectors in constants)
                value = builder.uitofp(grey, floats)
                value = builder.fmul(builder.fsub(value, median), scale)
                if halves.literal_value:
                    value = _rounded(builder, value)
                parts.append(value)
            whole = _side_by_side(builder, parts)
            order = [c * VECTOR + i for i in range(VECTOR) for c in range(count)]
            mask = ir.Constant(ir.VectorType(_INT, len(order)), order)
            mixed = builder.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), mask)
            place = builder.add(images, builder.mul(first, _long(count * size)))
            pointer = builder.inttoptr(place, ir.VectorType(number, len(order)).as_pointer())
            _store(builder, mixed, pointer, size)

    return signature, generate


def _side_by_side(builder: Any, parts: list[Any]) -> Any:
    """One vector of all parts, one after the other, and whatever fills it up to a power of two."""
    while len(parts) > 1:
        if len(parts) % 2:
            parts.append(ir.Constant(parts[0].type, ir.Undefined))
        width = 2 * parts[0].type.count
        mask = ir.Constant(ir.VectorType(_INT, width), list(range(width)))
        parts = [
            builder.shuffle_vector(left, right, mask)
            for left, right in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]
