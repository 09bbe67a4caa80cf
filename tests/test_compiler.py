"""Compiled code is kept from process to process, and never outlives what it was made from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from pathnet_rl.engine import compiler
from tests.support import ROOT

FILES = {
    "made_up/__init__.py": "",
    "made_up/kernels.py": """
        from pathnet_rl.engine.compiler import compiled
        from made_up.deep import parts

        @compiled
        def answer(number):
            return number + parts.one_more(1)
    """,
    "made_up/deep/__init__.py": "",
    "made_up/deep/parts.py": """
        import made_up.deep.constants
        from pathnet_rl.engine.compiler import part

        @part
        def one_more(which):  # Of unlike things, which only a constant can choose from.
            return ("none", made_up.deep.constants.ONE)[which]
    """,
    "made_up/deep/constants.py": "ONE = 1\nUNUSED = 0\n",
    "made_up/apart.py": "NOTHING = 0\n",
}


def write(folder: Path, name: str, code: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(re.sub(r"^ {8}", "", code, flags=re.MULTILINE))


def run(folder: Path) -> tuple[int, int]:
    """What a process of its own computes, and how many pieces of machine code there are then."""
    script = "from made_up.kernels import answer; print(answer(41))"
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout), len(list((folder / "cache").rglob("*.nbc")))


def test_a_kernel_is_compiled_anew_when_a_file_two_imports_away_changes(tmp_path: Path) -> None:
    for name, code in FILES.items():
        write(tmp_path, name, code)
    assert run(tmp_path) == (42, 1)
    assert run(tmp_path) == (42, 1)
    write(tmp_path, "made_up/apart.py", "NOTHING = 1\n")
    assert run(tmp_path) == (42, 1)
    write(tmp_path, "made_up/deep/constants.py", "ONE = 2\nUNUSED = 0\n")
    assert run(tmp_path) == (43, 2)


def test_a_part_keeps_its_callers_constants_and_its_caller_is_known_again(tmp_path: Path) -> None:
    for name, code in FILES.items():
        write(tmp_path, name, code)
    assert run(tmp_path) == (42, 1)
    write(tmp_path, "made_up/kernels.py", FILES["made_up/kernels.py"].replace("(1)", "(number)"))
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def of_something_else(file: Path) -> None:
    file.write_text("<html>404</html>")


def flipped(file: Path) -> None:
    """One bit, in the middle: of the machine code, if it is in that file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def answered() -> tuple[int, int]:
    """What a function computes that is taken from the cache or compiled, and how often it was taken."""

    def one_more(number: int) -> int:
        return number + 1

    dispatcher = compiler.compiled(one_more)
    return int(dispatcher(41)), sum(dispatcher.stats.cache_hits.values())


def test_a_cache_that_cannot_be_read_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert answered() == (42, 0)
    for damage in (cut, emptied, of_something_else, flipped, a_folder):
        for ending in ("nbi", "nbc"):
            assert answered() == (42, 1), "it is kept"
            (file,) = tmp_path.rglob(f"*.{ending}")
            damage(file)
            assert answered() == (42, 0), (damage, ending)
            if damage is a_folder:
                assert answered() == (42, 0), "it cannot be kept"
                file.rmdir()
                answered()
    assert list(tmp_path.rglob("*.tmp.*")) == []


def test_a_file_that_imports_relatively_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "kernels.py", "from .deep import parts\n")
    with pytest.raises(ValueError, match="imports relatively"):
        compiler.imported_files(tmp_path / "kernels.py", "made_up")


def test_a_layers_loops_stand_on_every_file_that_they_are_made_of() -> None:
    folder = ROOT / "pathnet_rl" / "engine" / "compiled"
    names = ("registers.py", "tiles.py", "frame_vectors.py", "blanks.py", "pair_gradient.py")
    wanted = {folder / name for name in names}
    seen = compiler.stands_on(folder / "layer_loops.py", "pathnet_rl")
    assert wanted | {ROOT / "pathnet_rl" / "engine" / "compiler.py"} <= seen
