"""Vector registers for compiled loops: what the processor has, and how LLVM's language is written.

Numba compiles loops over numbers and has no vectors, so a few functions (tiles.py, elementwise.py,
frame_vectors.py) are written in LLVM's language. Nothing is checked in them.

A *word* is 4 bytes: one float32, or a *pair* of bfloat16, which processors multiply and add in one
instruction. A *lane* is a word's place in a vector. Addresses are integers (`array.ctypes.data`), in bytes;
all distances count words. *Pitch* is the distance from a row of an array to the next.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from pathnet_rl.engine.compiler import cgutils, part, processor_features

_FEATURES = processor_features()
MULTIPLIES_PAIRS = "avx512bf16" in _FEATURES
"""This processor multiplies bfloat16."""

LANE = 8
"""Products have a multiple of 8 lanes, one a float32: what they read and write is padded to that."""
VECTOR = 16
"""The widest vector's lanes. Rows of the forward pass's weights and responses are a multiple of it apart, so
that no vector lies across two lines of the cache."""
REGISTERS = 32 if "avx512f" in _FEATURES else 16
"""How many vectors a processor holds: of VECTOR lanes with AVX-512, else of LANE."""


@part
def bfloat16_bits(bits: Any) -> Any:
    """The bits of the bfloat16 nearest to the float32 of these bits, the even one of two; both unsigned."""
    return (bits + ((bits >> 16) & 1) + 0x7FFF) >> 16


FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class BrainFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BrainFloat)

    def __hash__(self) -> int:
        return hash(BrainFloat)


def long(number: int) -> ir.Constant:
    """A constant of 64 bits, as addresses and distances are."""
    return ir.Constant(LONG, number)


def longs(context: Any, builder: Any, kind: Any, group: Any) -> Any:
    """A NamedTuple of integers, all of 64 bits: addresses come without sign, constants as their own type."""
    fields = zip(cgutils.unpack_tuple(builder, group), kind.types, strict=True)
    return kind.instance_class(*(context.cast(builder, v, of, types.int64) for v, of in fields))


def at_address(builder: Any, address: Any, count: Any, kind: ir.Type, unit: ir.Type = INT) -> Any:
    """A pointer to `kind`, so many words (or other units) after the address."""
    base = builder.inttoptr(address, unit.as_pointer())
    return builder.bitcast(builder.gep(base, [count]), kind.as_pointer())


def load(builder: Any, pointer: Any, alignment: int = 4) -> Any:
    """What is at a pointer of so many bytes' alignment: llvmlite would take a vector's whole size for it."""
    loaded = builder.load(pointer)
    loaded.align = alignment
    return loaded


def store(builder: Any, value: Any, pointer: Any, alignment: int = 4) -> None:
    """See `load`."""
    builder.store(value, pointer).align = alignment


def broadcast(builder: Any, word: Any, lanes: int) -> Any:
    """A vector of the same word in all lanes."""
    kind = ir.VectorType(INT, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, word, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(kind, None))


def rounded_to_bfloat16(builder: Any, floats: Any) -> Any:
    """The bits of the nearest bfloat16, the even one of two.

    Without an instruction for it LLVM would call a function that is nowhere.
    """
    halves = ir.VectorType(ir.IntType(16), floats.type.count)
    if MULTIPLIES_PAIRS:
        rounded = builder.fptrunc(floats, ir.VectorType(BrainFloat(), floats.type.count))
        return builder.bitcast(rounded, halves)
    words = ir.VectorType(INT, floats.type.count)
    one, sixteen, below_half = (
        ir.Constant(words, [number] * words.count) for number in (1, 16, 0x7FFF)
    )
    bits = builder.bitcast(floats, words)
    odd = builder.and_(builder.lshr(bits, sixteen), one)
    moved = builder.add(builder.add(bits, odd), below_half)
    return builder.trunc(builder.lshr(moved, sixteen), halves)
