"""Products in vector registers against numpy's."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.elementwise import (
    MOST_TOGETHER,
    all_zero,
    interleave,
    interleave_rounded,
    rectify,
    unrectify,
)
from pathnet_rl.engine.compiled.layer_loops import forward_kernel, head_kernel, tile_positions
from pathnet_rl.engine.compiled.registers import LANE, REGISTERS
from pathnet_rl.engine.compiled.tiles import (
    GRADIENT_POSITIONS,
    MOST_LANES,
    MOST_POSITIONS,
    multiply,
    multiply_listed,
    registers_of,
)
from tests.support import ROOT

Floats = NDArray[np.float32]
OUTER, INNER = 3, 5


def product(positions: int, pairs: bool) -> Any:
    @numba.njit
    def run(start: Any, left: Any, right: Any, out: Any, lanes: int) -> None:
        """out [positions, step] = start [step] + left [positions, terms] x right [terms, step]."""
        step = out.shape[1]
        multiply(
            out.ctypes.data, step, start.ctypes.data, 0,
            left.ctypes.data, left.shape[1], INNER, 1,
            right.ctypes.data, INNER * step, step,
            OUTER, INNER, lanes, positions, pairs,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("positions", [1, 7, MOST_POSITIONS])
@pytest.mark.parametrize("lanes", [8, 16, 24, 32, 40, 72])
def test_a_product_of_floats(positions: int, lanes: int) -> None:
    if positions > MOST_POSITIONS:
        pytest.skip("more than this processor's registers hold")
    rng, step = np.random.default_rng(lanes), lanes + LANE
    start = rng.standard_normal(step).astype(np.float32)
    left = rng.standard_normal((positions, OUTER * INNER)).astype(np.float32)
    right = rng.standard_normal((OUTER * INNER, step)).astype(np.float32)
    out = np.full((positions, step), 7.0, np.float32)
    product(positions, False)(start, left, right, out, lanes)
    wanted = start + left.astype(np.float64) @ right
    np.testing.assert_allclose(out[:, :lanes], wanted[:, :lanes], rtol=1e-5, atol=1e-5)
    assert (out[:, lanes:] == 7.0).all()


@pytest.mark.parametrize("lanes", [8, 16, 24, 32, 72])
def test_a_product_of_pairs(lanes: int) -> None:
    torch.manual_seed(lanes)
    terms = OUTER * INNER
    left = torch.randn(MOST_POSITIONS, terms, 2).bfloat16()
    right = torch.randn(terms, lanes, 2).bfloat16()
    out = np.empty((MOST_POSITIONS, lanes), np.float32)
    words = [pairs.view(torch.int32)[..., 0].numpy() for pairs in (left, right)]
    product(MOST_POSITIONS, True)(np.zeros(lanes, np.float32), *words, out, lanes)
    wanted = torch.einsum("ptk,tlk->pl", left.double(), right.double())
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


@numba.njit
def chosen(left: Any, right: Any, terms: Any, out: Any) -> None:
    step = out.shape[1]
    multiply_listed(
        out.ctypes.data, step, out.ctypes.data, step,
        left.ctypes.data, left.shape[1], 1,
        right.ctypes.data, step,
        terms.ctypes.data, len(terms), INNER, step, 3, False,
    )  # fmt: skip


@pytest.mark.parametrize("listed", [(), (1,), (2, 0), (0, 1, 2)])
def test_a_product_of_listed_terms_is_that_of_these_alone(listed: tuple[int, ...]) -> None:
    rng, step = np.random.default_rng(0), 24
    left = rng.standard_normal((3, OUTER * INNER)).astype(np.float32)
    right = rng.standard_normal((OUTER * INNER, step)).astype(np.float32)
    out = np.ones((3, step), np.float32)
    terms = np.array([(t * INNER, t * INNER * step) for t in listed], np.int64).reshape(-1, 2)
    chosen(left, right, terms, out)
    columns = [t * INNER + i for t in listed for i in range(INNER)]
    wanted = 1 + left[:, columns].astype(np.float64) @ right[columns]
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


@numba.njit
def blank(words: Any, begin: int, count: int) -> bool:
    return bool(all_zero(words.ctypes.data + 4 * begin, count))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 24, 31])
def test_a_single_bit_is_found_and_none_outside(count: int) -> None:
    words = np.zeros(40, np.uint32)
    words[[2, 3 + count]] = 1
    assert blank(words, 3, count)
    for place in range(count):
        words[3 + place] = 1 << (place % 32)
        assert not blank(words, 3, count)
        words[3 + place] = 0


@numba.njit
def side_by_side(left: Any, right: Any, count: int, pairs: Any, rounded: bool) -> None:
    if rounded:
        interleave_rounded(left.ctypes.data, right.ctypes.data, count, pairs.ctypes.data)
    else:
        interleave(left.ctypes.data, right.ctypes.data, count, pairs.ctypes.data)


@pytest.mark.parametrize("count", [1, 16, 35, 64])
def test_two_rows_are_interleaved(count: int) -> None:
    left, right = np.random.default_rng(0).integers(0, 1 << 16, (2, count), dtype=np.uint16)
    pairs = np.full(count + 1, 7, np.uint32)
    side_by_side(left, right, count, pairs, False)
    np.testing.assert_array_equal(pairs[:-1].view(np.uint16), np.stack([left, right], 1).ravel())
    assert pairs[-1] == 7


def test_two_rows_are_rounded_to_the_nearest_bfloat16_and_interleaved() -> None:
    torch.manual_seed(0)
    rows = torch.randn(2, 48)
    rows[0, :2] = torch.tensor([1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8])  # Halfway: to the even one.
    pairs = np.empty(48, np.uint32)
    side_by_side(*rows.numpy(), 48, pairs, True)
    found = torch.from_numpy(pairs.view(np.int16)).view(torch.bfloat16).view(48, 2)
    assert torch.equal(found, rows.bfloat16().t())


ROWS, MODULES, OUTPUTS = 4, 3, 2 * MOST_TOGETHER + 5
STEP = MODULES * OUTPUTS + 2


@numba.njit
def there(responses: Any, kept: Any, sums: Any) -> None:
    rectify(responses.ctypes.data, STEP, kept.ctypes.data, sums.ctypes.data, ROWS, MODULES, OUTPUTS)


@numba.njit
def back(upstream: Any, kept: Any, raw: Any, totals: Any) -> None:
    unrectify(
        upstream.ctypes.data, kept.ctypes.data, raw.ctypes.data, STEP, totals.ctypes.data, ROWS,
        MODULES, OUTPUTS,
    )  # fmt: skip


def test_modules_are_rectified_and_summed_and_gradients_go_to_those_that_were_on() -> None:
    rng, units = np.random.default_rng(0), MODULES * OUTPUTS
    responses = rng.standard_normal((ROWS, STEP)).astype(np.float32)
    kept, sums = np.full((ROWS, STEP), 9, np.uint8), np.empty((ROWS, OUTPUTS), np.float32)
    there(responses, kept, sums)
    on = responses[:, :units] > 0
    np.testing.assert_array_equal(kept[:, :units], on)
    assert (kept[:, units:] == 9).all()
    by_module = responses[:, :units].clip(0).reshape(ROWS, MODULES, OUTPUTS)
    np.testing.assert_allclose(sums, by_module.sum(1), rtol=1e-6)
    upstream = rng.standard_normal((ROWS, OUTPUTS)).astype(np.float32)
    raw, totals = np.full((ROWS, STEP), 7.0, np.float32), np.ones(STEP, np.float32)
    back(upstream, kept, raw, totals)
    np.testing.assert_array_equal(raw[:, :units], np.where(on, np.tile(upstream, MODULES), 0))
    assert (raw[:, units:] == 7.0).all()
    np.testing.assert_allclose(totals[:units], 1 + raw[:, :units].sum(0), rtol=1e-5, atol=1e-6)
    assert (totals[units:] == 1).all()


def test_what_is_not_a_number_does_not_vanish_in_a_relu() -> None:
    responses = np.full((ROWS, STEP), np.nan, np.float32)
    kept, sums = np.zeros((ROWS, STEP), np.uint8), np.zeros((ROWS, OUTPUTS), np.float32)
    there(responses, kept, sums)
    assert np.isnan(sums).all()
    assert kept[:, : MODULES * OUTPUTS].all()


@pytest.mark.parametrize("lanes", [8, 16, 24, MOST_LANES, 72])
def test_tiles_are_even_and_never_larger_than_the_registers(lanes: int) -> None:
    sums = MOST_POSITIONS * registers_of(MOST_LANES)
    assert sums < REGISTERS
    together = registers_of(min(lanes, MOST_LANES))
    for width in range(1, 200):
        positions = tile_positions(width, lanes)
        assert 1 <= positions <= width
        assert positions * together <= sums
        tiles = -(-width // positions)
        assert tiles == -(-width // (sums // together))
        assert tiles * positions - width < tiles


def test_a_weight_gradients_tile_divides_its_padding_and_fits_the_registers() -> None:
    assert LANE % GRADIENT_POSITIONS == 0
    assert GRADIENT_POSITIONS <= MOST_POSITIONS


def test_functions_compiled_for_different_constants_share_no_cache_file() -> None:
    functions = [
        forward_kernel(3, 8, False, 0),
        forward_kernel(3, 5, False, 0),
        forward_kernel(3, 8, True, 0),
        forward_kernel(3, 8, False, 4),
        head_kernel(3),
        head_kernel(4),
    ]
    assert len({function.py_func.__qualname__ for function in functions}) == len(functions)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is x86's")
def test_the_network_is_right_on_a_processor_without_avx512() -> None:
    flags = [
        ("-" if name.startswith(("avx512", "avx10", "amx")) or not there else "+") + name
        for name, there in llvmlite.binding.get_host_cpu_features().items()
    ]
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ",".join(flags)}
    probe = (
        "from pathnet_rl.engine.compiled import registers; assert registers.REGISTERS == 16;"
        "assert not registers.MULTIPLIES_PAIRS"
    )
    environment = {**os.environ, **settings}
    subprocess.run([sys.executable, "-c", probe], env=environment, check=True, timeout=100)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("tests/test_network.py", "tests/test_supervised.py", "tests/test_images.py"),
            *("tests/test_tiles.py", "-k"),
            (
                "one_module_at_a_time and (atari or odd) or literal_loop and pathnet-sum"
                " or as_defined or interleaved"
            ),
        ],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_code_that_cannot_be_kept_is_compiled_all_the_same(tmp_path: Path) -> None:
    script = (
        "import numpy as np, resource; from pathnet_rl.engine.compiled.layer_loops import head_kernel\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "a = np.ones((8, 8), np.float32); out = np.zeros((8, 8), np.float32)\n"
        "head_kernel(4)(a, a, a[0], out, 0, 8, 8); assert (out == 9).all()"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)
    assert not list(tmp_path.rglob("*.nbc"))


def test_a_second_process_compiles_nothing_again(tmp_path: Path) -> None:
    command = (
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_network.py"),
        *("-k", "nothing_of_an_earlier and atari"),
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    kept = []
    for _ in range(2):
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
        kept.append(sorted(tmp_path.rglob("*.nbc")))
    assert len(kept[0]) > 5
    assert kept[1] == kept[0]
