"""Files that are nearly right, or nothing at all: drawn from a seed, of the bytes of a file that is right."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CANARY = "pathnet_rl_fuzz_canary"
"""A module whose import is an execution; it lies where Python finds modules."""
ODD_TEXTS: tuple[str, ...] = (
    "", " ", "../../x", "/etc/passwd", "a\nb", "\x00", "\x1b[2J", "\ud800", "\u202e", "é" * 300,
    "x" * 100_000, "NaN", "-inf", "1e999", "9" * 5000, "0x10", "\uff11", "[]", "null",
    f"{CANARY}:Thing", f"{CANARY}:Thing-v0",
    "s3://key:secret@bucket/x", "<script>alert(1)</script>", "'; --",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 7, 255, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, -(10**30), 0.5,
    -0.0, 1e308, 1e-320, float("nan"), float("inf"), float("-inf"), [], {}, [[]],
    [None], {"": None}, [[[[[0]]]]],
)  # fmt: skip
ODD_NUMBERS = (
    0,
    1,
    127,
    128,
    255,
    2**15,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    2**63,
    2**64 - 1,
)

Random = np.random.Generator


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self._trace}'",)


def bomb(trace: Path) -> bytes:
    """A pickle that leaves `trace` behind if anybody loads it."""
    return pickle.dumps(Bomb(trace))


def array_bomb(trace: Path) -> bytes:
    """The same as an .npy file of objects."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    return file.getvalue()


def mutated(right: bytes, name: str, rng: Random, trace: Path) -> bytes:
    """Something else in place of a file."""
    kinds: list[Callable[[bytes, Random], bytes]] = [
        _noise,
        _cut,
        _flip,
        _flip,
        _splice,
        _odd_bytes,
        _number,
    ]
    if name.endswith((".json", ".jsonl")):
        kinds = [*kinds, *(_json,) * 14, _deep]
    elif name.endswith(".csv"):
        kinds += [_table] * 7
    if rng.random() < 0.02:
        return array_bomb(trace) if rng.random() < 0.5 else bomb(trace)
    return kinds[int(rng.integers(len(kinds)))](right, rng)


def _noise(right: bytes, rng: Random) -> bytes:
    return rng.bytes(int(rng.integers(0, 2000)))


def _cut(right: bytes, rng: Random) -> bytes:
    return right[: int(rng.integers(len(right) + 1))]


def _flip(right: bytes, rng: Random) -> bytes:
    content = bytearray(right)
    for _ in range(int(rng.integers(1, 9)) if content else 0):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _splice(right: bytes, rng: Random) -> bytes:
    start, stop = sorted(int(place) for place in rng.integers(len(right) + 1, size=2))
    at = int(rng.integers(len(right) + 1))
    return (
        right[:start] + right[stop:]
        if rng.random() < 0.5
        else right[:at] + right[start:stop] + right[at:]
    )


def _odd_bytes(right: bytes, rng: Random) -> bytes:
    odd = (
        b"\0" * 64,
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b'"',
        b"\xed\xa0\x80",
        b"{" * 9,
        b",,,,",
        b"\n" * 5,
    )
    at = int(rng.integers(len(right) + 1)) if rng.random() < 0.7 else 0
    return right[:at] + odd[int(rng.integers(len(odd)))] + right[at:]


def _number(right: bytes, rng: Random) -> bytes:
    """A size or a count that a header declares."""
    number = ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))]
    form = (">I", "<I", ">Q", "<Q")[int(rng.integers(4))]
    packed = struct.pack(form, number % 2 ** (8 * struct.calcsize(form)))
    at = int(rng.integers(min(len(right), 256) + 1))
    return right[:at] + packed + right[at + len(packed) :]


def _deep(right: bytes, rng: Random) -> bytes:
    depth = int(rng.choice([50, 900, 3000, 100_000]))
    opened, closed = ((b"[", b"]"), (b'{"a":', b"}"))[int(rng.integers(2))]
    deep = opened * depth + b"1" + closed * depth
    return deep if rng.random() < 0.5 else right.replace(b"1", deep, 1)


def _odd_value(rng: Random) -> Any:
    if rng.random() < 0.35:
        return ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))]
    return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]


def _json(right: bytes, rng: Random) -> bytes:
    try:
        lines = [json.loads(line) for line in right.splitlines()]
        many = True
    except ValueError:
        lines, many = [json.loads(right)], False
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(lines))) if lines else 0
        if lines:
            lines[at] = _changed(lines[at], rng)
    return b"\n".join(_dumped(line) for line in lines) + b"\n" * many


def _dumped(value: Any) -> bytes:
    import sys

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value).encode()
    finally:
        sys.set_int_max_str_digits(before)


def _changed(value: Any, rng: Random) -> Any:
    """The value with one that lies in it, at any depth, changed, lost, doubled or renamed."""
    inside = isinstance(value, (dict, list)) and len(value) > 0
    if not inside or rng.random() < 0.08:
        return _odd_value(rng)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(rng.integers(len(keys)))]
    copy = value.copy()
    if isinstance(copy[key], (dict, list)) and copy[key] and rng.random() < 0.85:
        copy[key] = _changed(copy[key], rng)
        return copy
    what = rng.random()
    if what < 0.6:
        copy[key] = _odd_value(rng)
    elif what < 0.75:
        del copy[key]
    elif isinstance(copy, list):
        copy.insert(int(rng.integers(len(copy) + 1)), copy[key] if what < 0.9 else _odd_value(rng))
    else:
        copy[ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))]] = copy[key]
    return copy


def _table(right: bytes, rng: Random) -> bytes:
    rows = [line.split(",") for line in right.decode().splitlines()]
    if not rows:
        return b"\n"
    row = rows[int(rng.integers(len(rows)))]
    at = int(rng.integers(len(row)))
    what = rng.random()
    if what < 0.7:
        row[at] = str(_odd_text(rng))
    elif what < 0.8:
        del row[at]
    else:
        row.insert(at, row[at])
    end = ("\n", "\r\n", "\r")[int(rng.choice(3, p=[0.8, 0.15, 0.05]))]
    return end.join(",".join(row) for row in rows).encode("utf-8", "surrogatepass") + end.encode()


def _odd_text(rng: Random) -> str:
    value = _odd_value(rng)
    return value if isinstance(value, str) else _dumped(value).decode()
