"""The house rules: launch imports workers imports pathnet_rl, and the idea knows nothing of ray."""

from __future__ import annotations

import ast
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


def test_only_the_crew_and_the_launchers_know_ray() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for path in FILES
        if any(module.partition(".")[0] == "ray" for module in imported(path))
    }
    assert "workers/ray_crew.py" in knowing
    assert all(name.startswith(("workers/", "launch/")) for name in knowing)


def test_the_idea_and_the_serial_twin_run_without_loading_ray() -> None:
    import subprocess
    import sys

    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in FILES
        if path.parts[-2] != "launch"
        and path.name not in ("ray_crew.py", "__init__.py")
        and "stable_baselines3" not in imported(path)  # an extra: a plain set-up lacks it
    ]
    script = f"import sys, {', '.join(modules)}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
