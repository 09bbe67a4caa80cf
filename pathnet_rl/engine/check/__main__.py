"""The table of all kernels: `python -m pathnet_rl.engine.check [--only NAME ...]`.

It ends with 1 if any error is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import torch

from pathnet_rl.engine.check.all_cases import CASES

ENOUGH = 0.1
"""Seconds for which one side of a case is run."""


def seconds(function: Callable[[], object]) -> float:
    """Of one call: the best of many, which others on the machine have disturbed least."""
    best = float("inf")
    end = time.perf_counter() + ENOUGH
    while time.perf_counter() < end:
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def check(names: Sequence[str]) -> bool:
    """Print the table of these kernels; whether all are right."""
    right = True
    titles = (
        f"{'kernel':<19}{'error':>9}{'allowed':>9}{'us':>10}{'plain us':>11}{'ratio':>7}  of what\n"
    )
    sys.stdout.write(titles)
    for name in names:
        for make in CASES[name]:
            case = make()
            error = case.error()
            fits = error <= case.tolerance  # Not if it is no number.
            right = right and fits
            mine, plain = (1e6 * seconds(side) for side in (case.compiled, case.plain))
            sys.stdout.write(
                f"{case.kernel:<19}{error:>9.1e}{case.tolerance:>9.0e}{mine:>10.2f}{plain:>11.2f}"
                f"{plain / mine:>7.1f}  {case.size}{'' if fits else '  WRONG'}\n"
            )
            sys.stdout.flush()
    verdict = "all are within what is allowed" if right else "WRONG: see above"
    sys.stdout.write(f"{verdict}; us: of the kernel; ratio: plain us / us\n")
    return right


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pathnet_rl.engine.check",
        description="Each compiled kernel beside its plain version: error, time of both, and their ratio.",
    )
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="NAME", help=", ".join(CASES))
    names = parser.parse_args().only or list(CASES)
    torch.set_num_threads(1)
    return 0 if check(names) else 1


if __name__ == "__main__":
    sys.exit(main())
