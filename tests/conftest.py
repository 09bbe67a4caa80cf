"""What the whole test run shares: one ray cluster, one thread for torch, and no traces outside."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

RAY_DEFAULTS = "--ray-defaults" in sys.argv
"""With this option ray is as its users have it: with a token, and a dashboard."""

# Before anything imports ray: ray.init() writes these into the environment and they outlive it.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.pop("RAY_ADDRESS", None)
if RAY_DEFAULTS:
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] = "240"  # Of a busy machine.
else:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(
        Path(tempfile.gettempdir()) / "pathnet-rl-tests-no-token"
    )

torch.set_num_threads(1)

# A shell's background jobs, such as these tests may be, ignore interrupts and hand that down.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


ALONE = frozenset(
    f"test_{name}.py"
    for name in (
        "faults", "machines", "moment", "nodes", "ray_deaths", "ray_here", "run_twice_on_ray",
        "vizdoom_engines",
    )
)  # fmt: skip
"""Files whose tests start ray and take all CPUs, or look at what all processes left behind."""
CLUSTERS = frozenset(("ray_cluster", "cluster"))
"""Fixtures that do so too."""
BESIDE = frozenset(
    f"test_{name}.py" for name in ("bench", "bench_nodes", "nodes", "submit", "vizdoom_engines")
)
"""Of these files, those that run one after another beside the others, which wait more than they compute."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test ARGS=--ray-defaults`: what is switched off for speed elsewhere is on.

    `--long`, which `make test-faults` gives: tests that take a minute or more. `--quick`: none that are slow.
    """
    parser.addoption(
        "--ray-defaults", action="store_true", help="run ray with a token and a dashboard"
    )
    parser.addoption("--long", action="store_true", help="run tests that take a minute or more too")
    parser.addoption("--quick", action="store_true", help="leave out tests of ten seconds or more")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what must not run beside other tests, and leave out what takes long."""
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("long"):
            item.add_marker(
                pytest.mark.skip(reason="takes a minute or more; make test-faults runs it")
            )
        if item.get_closest_marker("slow") and config.getoption("quick"):
            item.add_marker(pytest.mark.skip(reason="takes ten seconds or more"))
        if item.path.name in ALONE or CLUSTERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.alone)
            group = "beside" if item.path.name in BESIDE else "ray"
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`make test ARGS='-k ...'` need not choose both a test that runs alone and one that does not."""
    chosen = session.config.getoption("markexpr")
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and "alone" in chosen:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """The one cluster of the test run."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=RAY_DEFAULTS,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
