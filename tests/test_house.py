"""The house rules: which way imports go, what stands on what, and that a reader finds everything."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
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
NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
MOST_LINES = 300

NOUNS = (
    "a3c", "arms", "block", "checkpoint", "config", "crew", "custom_layer", "errors", "genotype", "grid",
    "hyperparameters", "intervals", "metrics", "module_layer", "modules", "optimizer", "pathway_weights",
    "pictures", "report", "run_folder", "provenance", "scores", "seeds", "settings", "store", "telemetry",
    "tournament",
)  # fmt: skip
"""Files of `pathnet_rl/` that do not stand on the engine."""


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, and what it takes from packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield node.module
            for name in node.names:
                if f"{node.module}.{name.name}" in NAMES:
                    yield f"{node.module}.{name.name}"


def ours(path: Path) -> set[str]:
    """The files of this program that a file imports; a package is its `__init__`."""
    found = set()
    for name in imported(path):
        for place in (name, f"{name}.__init__"):
            if place in NAMES and NAMES[place] != path:
                found.add(place)
    return found


IMPORTS = {name: ours(path) for name, path in NAMES.items()}


def stands_on(name: str) -> set[str]:
    """Every file that a file imports, and those that these import."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for other in IMPORTS[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return seen


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 60
    assert "pathnet_rl.engine.interface" in stands_on("workers.pathway_worker")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    tops = {module.partition(".")[0] for module in imported(path)}
    assert tops & MAY_IMPORT.keys() <= MAY_IMPORT[package]
    assert "tests" not in tops
    if package == "pathnet_rl":
        assert not tops & {"ray", "tyro", "rich"}


def test_no_file_stands_on_itself() -> None:
    assert [name for name in NAMES if name in stands_on(name)] == []


@pytest.mark.parametrize("noun", NOUNS)
def test_the_nouns_do_not_stand_on_the_engine_or_the_experiments(noun: str) -> None:
    rooms = ("pathnet_rl.engine", "pathnet_rl.supervised")
    assert [name for name in stands_on(f"pathnet_rl.{noun}") if name.startswith(rooms)] == []


def test_the_rest_of_the_program_knows_the_engine_by_its_door() -> None:
    for name, others in IMPORTS.items():
        if not name.startswith("pathnet_rl.engine"):
            known = {other for other in others if other.startswith("pathnet_rl.engine")}
            assert known <= {"pathnet_rl.engine.__init__"}, name


def test_the_torch_engine_needs_no_numba() -> None:
    script = (
        "import sys, pathnet_rl.engine, pathnet_rl.engine.torch_engine;"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_commands_answer_without_waiting_for_what_only_learning_needs() -> None:
    commands = ("compare", "jobs", "replay", "submit", "supervised", "train")
    script = (
        f"import sys, {', '.join(f'launch.{command}' for command in commands)}\n"
        "print({'torch', 'numba', 'matplotlib', 'tensorboard'} & sys.modules.keys())"
    )
    assert subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True) == "set()\n"


@pytest.mark.parametrize("library", ["torch", "ray", "numba", "matplotlib", "tensorboard"])
def test_libraries_are_installed_with_their_bytecode(library: str) -> None:
    """Where Python is told to write none, as in many containers, each start would compile torch anew: 5 s."""
    spec = importlib.util.find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    compiled = Path(importlib.util.cache_from_source(spec.origin))
    assert compiled.exists(), (
        f"{compiled} is missing; install without --no-compile, as make setup does"
    )


def test_only_one_file_uses_the_private_parts_of_numba() -> None:
    users = [name for name, path in NAMES.items() if "numba.core" in path.read_text()]
    assert users == ["pathnet_rl.engine.compiler"]


@pytest.mark.parametrize(
    "path",
    [*FILES, *sorted((ROOT / "tests").glob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_the_architecture_names_every_file_of_the_idea() -> None:
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "ARCHITECTURE.md").read_text()))
    for path in sorted((ROOT / "pathnet_rl").iterdir()):
        if path.name not in ("__init__.py", "__pycache__"):
            assert path.name + "/" * path.is_dir() in named, (
                f"ARCHITECTURE.md is silent on {path.name}"
            )


def test_files_that_know_ray_say_so_in_their_names() -> None:
    knowing = [
        path
        for path in FILES
        if any(module.partition(".")[0] == "ray" for module in imported(path))
    ]
    assert ROOT / "workers" / "ray_crew.py" in knowing
    assert all(path.name.startswith("ray_") for path in knowing)


def test_the_idea_and_the_serial_twin_run_without_loading_ray() -> None:
    modules = [
        name
        for name, path in NAMES.items()
        if path.parts[-2] != "launch"
        and not path.name.startswith(("ray_", "__"))
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


def test_what_a_package_gives_has_no_name_of_one_of_its_modules() -> None:
    """Once the module is imported, the name stands for it and no longer for what the package gave."""
    for name, path in NAMES.items():
        if path.name == "__init__.py":
            package = name.removesuffix(".__init__")
            given = {
                alias.asname or alias.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            modules = {
                other.removeprefix(f"{package}.").partition(".")[0]
                for other in NAMES
                if other.startswith(f"{package}.")
            }
            assert given & modules == set(), package


def test_nothing_depends_on_assertions() -> None:
    """They say what is so; under `python -O` there are none."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                assert "AssertionError" not in ast.dump(node.type), f"{path}:{node.lineno}"
