"""The house rules: launch imports workers imports pathnet_rl, and the idea knows nothing of ray."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

MAY_IMPORT = {
    "pathnet_rl": {"pathnet_rl"},
    "workers": {"pathnet_rl", "workers"},
    "launch": {"pathnet_rl", "workers", "launch"},
}
FILES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, and what it takes from packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield node.module


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    tops = {module.partition(".")[0] for module in imported(path)}
    assert tops & MAY_IMPORT.keys() <= MAY_IMPORT[package]
    assert "tests" not in tops
    if package == "pathnet_rl":
        assert not tops & {"ray", "tyro", "rich"}


def test_files_that_know_ray_say_so_in_their_names() -> None:
    knowing = {
        path
        for path in FILES
        if any(module.partition(".")[0] == "ray" for module in imported(path))
    }
    assert ROOT / "workers" / "ray_crew.py" in knowing
    assert all(path.name.startswith("ray_") for path in knowing)


def test_the_idea_and_the_serial_twin_run_without_loading_ray() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in FILES
        if path.parts[-2] != "launch"
        and not path.name.startswith("ray_")
        and path.name != "__init__.py"
        and "stable_baselines3" not in imported(path)  # an extra: a plain set-up lacks it
    ]
    script = f"import sys, {', '.join(modules)}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", sorted((ROOT / "workers").glob("ray_*.py")), ids=lambda p: p.stem)
def test_ray_is_told_not_to_report_usage_before_it_is_imported(path: Path) -> None:
    script = (
        "import os, sys; from importlib.abc import MetaPathFinder\n"
        "class Watch(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'ray': sys.exit(int(os.environ.get('RAY_USAGE_STATS_ENABLED') != '0'))\n"
        f"sys.meta_path.insert(0, Watch()); import workers.{path.stem}; sys.exit(2)"
    )
    environment = {**os.environ}
    environment.pop("RAY_USAGE_STATS_ENABLED", None)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0


def test_the_plain_twin_of_the_descent_needs_no_compiler() -> None:
    script = (
        "import sys; sys.modules['numba'] = None; from tests.test_supervised import TASKS, small\n"
        "from pathnet_rl.arms import Arm; from pathnet_rl.supervised.serial_pathnet import run_seed\n"
        "assert run_seed(Arm.PATHNET, TASKS, 0, small(engine='torch'))[1].generations > 0"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
