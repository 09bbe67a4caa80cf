"""Compiled kernels against their plain versions, and what is kept of them from one process to the next."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding
import numpy as np
import pytest
import torch

from pathnet_rl.config import GridConfig
from pathnet_rl.engine.check.all_cases import CASES
from pathnet_rl.engine.check.array_cases import (
    expand_case,
    head_case,
    keep_case,
    lay_out_case,
    rmsprop_case,
    take_back_case,
)
from pathnet_rl.engine.check.case import Case, difference
from pathnet_rl.engine.check.layer_cases import backward_case, descent_case, forward_case
from pathnet_rl.engine.check.vector_cases import (
    all_zero_case,
    interleave_case,
    interleave_rounded_case,
    product_case,
    rectify_case,
    rectify_kernel,
    runs_case,
    unrectify_case,
)
from pathnet_rl.engine.compiled.elementwise import MOST_TOGETHER
from pathnet_rl.engine.compiled.layer_arrays import Windows
from pathnet_rl.engine.compiled.layer_loops import forward_kernel, head_kernel
from pathnet_rl.engine.compiled.registers import LANE, REGISTERS
from pathnet_rl.engine.compiled.tiles import (
    GRADIENT_POSITIONS,
    MOST_LANES,
    MOST_POSITIONS,
    registers_of,
    tile_positions,
)
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import affine_layers
from pathnet_rl.modules import ConvModule
from tests.support import ROOT

ALL = [pytest.param(make, id=f"{name}-{n}") for name in CASES for n, make in enumerate(CASES[name])]


def right(case: Case) -> None:
    assert case.error() <= case.tolerance, case.size


@pytest.mark.parametrize("make", ALL)
def test_a_kernel_does_what_its_plain_version_does(make: Callable[[], Case]) -> None:
    right(make())


@pytest.mark.parametrize("positions", sorted({1, 5, MOST_POSITIONS}))
@pytest.mark.parametrize("lanes", [8, 16, 24, 32, 40, 72])
def test_products_of_any_number_of_lanes_are_those_of_the_plain_version(
    lanes: int, positions: int
) -> None:
    for pairs in (False, True):
        right(product_case(positions, lanes, terms=15, pairs=pairs))


@pytest.mark.parametrize("listed", [(), (1,), (2, 0), (0, 1, 2)])
def test_only_listed_runs_are_added_up_in_the_plain_version_too(listed: tuple[int, ...]) -> None:
    right(runs_case(3, 24, listed, length=5, of=3))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 24, 31, 35])
def test_odd_counts_of_words_are_those_of_the_plain_version(count: int) -> None:
    right(all_zero_case(count))
    right(interleave_case(count))
    right(interleave_rounded_case(16 * count))


@pytest.mark.parametrize("units", [1, 5, MOST_TOGETHER, 2 * MOST_TOGETHER + 5])
def test_modules_of_any_size_are_rectified_as_in_the_plain_version(units: int) -> None:
    right(rectify_case(4, 3, units))
    right(unrectify_case(4, 3, units))


def test_what_is_not_a_number_does_not_vanish_in_a_relu() -> None:
    responses = np.full((4, 10), np.nan, np.float32)
    positive, sums = np.zeros((4, 10), np.uint8), np.zeros((4, 5), np.float32)
    rectify_kernel(5)(responses, 2, positive, sums)
    assert np.isnan(sums).all()
    assert positive.all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_number_of_channels_are_those_of_the_plain_version(channels: int) -> None:
    right(keep_case(2, channels, 21, 27))
    for halves in (False, True):
        right(expand_case(channels, 21, 27, halves))


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (1, 4, 2, 2), (6, 1, 1, 12)])
def test_modules_are_laid_out_there_and_back_as_in_the_plain_version(
    shape: tuple[int, ...],
) -> None:
    for pairs in (False, True):
        right(lay_out_case(3, shape, pairs))
    right(take_back_case(3, shape))


def test_heads_and_steps_of_any_size_are_those_of_the_plain_version() -> None:
    for samples in (1, 3, 17):
        right(head_case(samples, 7, 2 * LANE))
    right(rmsprop_case(3, 9, 11))
    for units, batch in ((4, 5), (7, 1), (33, 11)):
        right(descent_case(12, units, batch, 9))


# Kernels smaller and larger than the stride, and sides that are not used up.
@pytest.mark.parametrize(("size", "stride"), [(5, 2), (2, 3), (4, 4)])
def test_layers_of_any_geometry_are_those_of_the_plain_version(size: int, stride: int) -> None:
    config = GridConfig(layers=(ConvModule(kernels=3, size=size, stride=stride),))
    (shape,) = affine_layers(Grid(config, (2, 17, 14), (2,)).layers)
    right(forward_case(shape, None))
    right(backward_case(shape, None))


@pytest.mark.parametrize("width", [52, 48])  # 12 and 11 places side by side.
def test_images_of_any_width_are_those_of_the_plain_version(width: int) -> None:
    config = GridConfig(layers=(ConvModule(kernels=3, size=8, stride=4),))
    (shape,) = affine_layers(Grid(config, (2, 44, width), (2,)).layers)
    for dtype in (torch.float32, torch.bfloat16):
        right(forward_case(shape, dtype))
        right(backward_case(shape, dtype))


def test_a_difference_counts_wherever_it_is_and_what_is_no_number_fits_no_tolerance() -> None:
    wanted = np.array([4.0, -2.0], np.float32)
    assert difference(wanted, wanted) == 0
    assert difference(np.array([4.0, -1.0], np.float32), wanted) == 0.25
    assert not difference(np.array([np.nan, -2.0], np.float32), wanted) <= 1.0
    assert difference(np.array([1, 2]), np.array([1, 3])) == float("inf")


def test_the_table_names_each_kernel_and_fails_if_one_is_wrong() -> None:
    command = [sys.executable, "-m", "pathnet_rl.engine.check", "--only", "rectify", "rmsprop"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["kernel", "rectify", "rmsprop", "all"]  # "all are within what is allowed".
    script = (
        "import sys; from pathnet_rl.engine.check import __main__ as check\n"
        "wrong = lambda: make()._replace(tolerance=-1.0)\n"
        "make = check.CASES['rectify'][0]; check.CASES['rectify'] = [wrong]\n"
        "sys.argv[1:] = ['--only', 'rectify']; sys.exit(check.main())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "WRONG" in done.stdout


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
    windows = Windows(2, 3, 60, 20, 20, 4, 2, 8, 2)
    functions = [
        forward_kernel(windows, 8, False, 0),
        forward_kernel(windows, 5, False, 0),
        forward_kernel(windows, 8, True, 0),
        forward_kernel(windows, 8, False, 4),
        forward_kernel(windows._replace(width=2), 8, False, 4),
        head_kernel(3),
        head_kernel(4),
    ]
    assert len({function.py_func.__qualname__ for function in functions}) == len(functions)


@pytest.mark.long
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
            *("tests/test_kernels.py", "-k"),
            (
                "one_module_at_a_time and (atari or odd) or literal_loop and (pathnet-sum-4 or pathnet-sum-1)"
                " or as_defined or does_what_its_plain or products_of_any"
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


@pytest.mark.slow
def test_a_second_process_compiles_nothing_again(tmp_path: Path) -> None:
    command = (
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_network.py"),
        *("-k", "nothing_of_an_earlier and linear"),
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    kept = []
    for _ in range(2):
        subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
        kept.append(sorted(tmp_path.rglob("*.nbc")))
    assert len(kept[0]) > 5
    assert kept[1] == kept[0]
