"""What is written in LLVM's language beside numpy: products in tiles, and what goes number by number."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pathnet_rl.engine import plain_kernels as plain
from pathnet_rl.engine.check.case import EXACT, ROUNDED, Array, Case, case, normal
from pathnet_rl.engine.compiled.elementwise import (
    all_zero,
    interleave,
    interleave_rounded,
    rectify,
    unrectify,
)
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.tiles import Rows, Runs, Vectors, Words, multiply
from pathnet_rl.engine.compiler import compiled


def bits(*shape: int) -> Array:
    """Normal bfloat16 numbers, as bits."""
    return plain.bits_of(normal(*shape))


# Products -----------------------------------------------------------------------------------------


@functools.cache
def product_kernel(positions: int, pairs: bool) -> Any:
    """`multiply` of one run of terms."""

    def product(start: Any, left: Any, right: Any, lanes: int, out: Any) -> None:
        rows, bias = Rows(out.ctypes.data, out.shape[1]), Rows(start.ctypes.data, 0)
        terms = left.shape[1]
        words = Words(left.ctypes.data, terms, 1)
        vectors = Vectors(right.ctypes.data, right.shape[1])
        multiply(rows, bias, words, vectors, terms, lanes, positions, pairs)

    return compiled(product, positions, pairs)


@functools.cache
def runs_kernel(positions: int) -> Any:
    """`multiply` of listed runs, added to what is there."""

    def product(left: Any, right: Any, runs: Any, length: int, out: Any) -> None:
        rows, pitch = Rows(out.ctypes.data, out.shape[1]), right.shape[1]
        words, vectors = (
            Words(left.ctypes.data, left.shape[1], 1),
            Vectors(right.ctypes.data, pitch),
        )
        terms = Runs(runs.ctypes.data, len(runs), length)
        multiply(rows, rows, words, vectors, terms, pitch, positions, False)

    return compiled(product, positions)


def product_case(positions: int, lanes: int, terms: int, pairs: bool) -> Case:
    """One tile, with spare lanes beside it that must stay what they are."""
    pitch, two = lanes + LANE, (2,) if pairs else ()
    make = bits if pairs else normal
    given = normal(pitch), make(positions, terms, *two), make(terms, pitch, *two), lanes
    name, twin = ("pairs", plain.product_of_pairs) if pairs else ("product", plain.product)
    size = f"{positions} positions x {lanes} lanes, {terms} terms"
    out = np.full((positions, pitch), 7.0, np.float32)
    return case(name, size, ROUNDED, product_kernel(positions, pairs), twin, given, [out])


def runs_case(positions: int, lanes: int, listed: Sequence[int], length: int, of: int) -> Case:
    """Of so many runs in all, those that are listed."""
    runs = [(run * length, run * length * lanes) for run in listed]
    given = (
        normal(positions, of * length),
        normal(of * length, lanes),
        np.array(runs, np.int64).reshape(-1, 2),
        length,
    )
    size = f"{positions} positions x {lanes} lanes, {len(listed)} of {of} runs of {length}"
    out = normal(positions, lanes)
    kernel = runs_kernel(positions)
    return case("runs", size, ROUNDED, kernel, plain.product_of_runs, given, [out])


# Number by number ---------------------------------------------------------------------------------


@functools.cache
def rectify_kernel(units: int) -> Any:
    """`rectify`, on arrays."""

    def rectified(responses: Any, modules: int, positive: Any, sums: Any) -> None:
        rows = Rows(responses.ctypes.data, responses.shape[1])
        rectify(rows, positive.ctypes.data, sums.ctypes.data, len(responses), modules, units)

    return compiled(rectified, units)


@functools.cache
def unrectify_kernel(units: int) -> Any:
    """`unrectify`, on arrays."""

    def unrectified(upstream: Any, positive: Any, modules: int, deltas: Any, totals: Any) -> None:
        rows, gradient = Rows(deltas.ctypes.data, deltas.shape[1]), upstream.ctypes.data
        on, added = positive.ctypes.data, totals.ctypes.data
        unrectify(gradient, on, rows, added, len(deltas), modules, units)

    return compiled(unrectified, units)


@compiled
def blank_stretches(stretches: Any, blank: Any) -> None:
    """`all_zero`, of each row."""
    for i in range(len(stretches)):
        blank[i] = all_zero(stretches[i].ctypes.data, stretches.shape[1])


@compiled
def interleaved(left: Any, right: Any, pairs: Any) -> None:
    """`interleave`, on arrays."""
    interleave(left.ctypes.data, right.ctypes.data, len(left), pairs.ctypes.data)


@compiled
def interleaved_rounded(left: Any, right: Any, pairs: Any) -> None:
    """`interleave_rounded`, on arrays."""
    interleave_rounded(left.ctypes.data, right.ctypes.data, len(left), pairs.ctypes.data)


def rectify_case(rows: int, modules: int, units: int) -> Case:
    """With spare numbers beside the responses."""
    pitch = modules * units + 2
    responses = normal(rows, pitch)
    responses[0] = 0.0
    filled = np.full((rows, pitch), 9, np.uint8), np.zeros((rows, units), np.float32)
    size, given = f"{rows} rows x {modules} modules of {units}", (responses, modules)
    return case("rectify", size, ROUNDED, rectify_kernel(units), plain.rectify, given, filled)


def unrectify_case(rows: int, modules: int, units: int) -> Case:
    """Of what is on at random."""
    pitch = modules * units + 2
    given = normal(rows, units), (normal(rows, pitch) > 0).view(np.uint8), modules
    filled = np.full((rows, pitch), 7.0, np.float32), np.ones(pitch, np.float32)
    size, kernel = f"{rows} rows x {modules} modules of {units}", unrectify_kernel(units)
    return case("unrectify", size, ROUNDED, kernel, plain.unrectify, given, filled)


def all_zero_case(words: int) -> Case:
    """Stretches of which one is blank, and the others have a single bit each."""
    stretches = np.zeros((words + 1, words), np.uint32)
    stretches[:words] = np.diag(1 << (np.arange(words, dtype=np.uint32) % 32))
    filled = [np.zeros(words + 1, np.bool_)]
    size = f"{words + 1} stretches of {words} words"
    return case("all_zero", size, EXACT, blank_stretches, plain.all_zero, [stretches], filled)


def interleave_case(count: int) -> Case:
    """Any bits."""
    given, filled = (bits(count), bits(count)[::-1].copy()), [np.zeros(count, np.uint32)]
    size = f"{count} pairs"
    return case("interleave", size, EXACT, interleaved, plain.interleave, given, filled)


def interleave_rounded_case(count: int) -> Case:
    """Among them numbers half-way between two: to the even one."""
    left, right = normal(count), normal(1, count)[0]
    left[:2] = 1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8
    size, filled = f"{count} pairs", [np.zeros(count, np.uint32)]
    twin, given = plain.interleave_rounded, (left, right)
    return case("interleave_rounded", size, EXACT, interleaved_rounded, twin, given, filled)
