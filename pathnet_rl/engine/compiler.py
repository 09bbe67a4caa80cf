"""Functions compiled when they are first called, and kept from one process to the next.

This file alone uses what numba does not promise to keep, and for three things:

* `numba.core.caching.FunctionCache`, put where a dispatcher has its own: numba's public `cache=True` ends the
  program on a full disk and on a file that is cut, runs machine code that was damaged, and knows a function
  by the time its file was changed, whatever it is made of.
* `numba.core.cgutils` (handed on as `cgutils`): loops, variables and tuples in LLVM's language, as numba's
  own intrinsics write them. llvmlite's public builder has blocks and branches only.
* `numba.config`'s CPU_FEATURES, which has no type.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.util
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import llvmlite.binding
import numba
import numba.core.caching
import numba.core.cgutils
import numba.extending

Function = TypeVar("Function", bound=Callable[..., Any])

DIGEST = hashlib.sha256().digest_size
cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic(prefer_literal=True)


def processor_features() -> set[str]:
    """What the processor that numba compiles for can do: this one, unless numba's settings say otherwise."""
    named = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    flags = llvmlite.binding.get_host_cpu_features().flatten() if named is None else named
    return {flag[1:] for flag in flags.split(",") if flag.startswith("+")}


def part(function: Function) -> Function:
    """A part of compiled functions, which alone can call it: their constants are constants in it, too.

    It may call other parts. It is not compiled by itself: numba's cache would not know a function again
    that encloses a compiled one.
    """
    as_part = numba.extending.overload(
        function, prefer_literal=True, strict=False, jit_options={"error_model": "numpy"}
    )
    as_part(lambda *_: function)
    return function


class _CacheFiles(numba.core.caching.IndexDataCacheFile):
    """Numba's files, which end with a digest: what is not as it was written is not there."""

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        with super()._open_for_write(filepath) as file:
            yield content
            # Beyond the end of what numba reads.
            file.write(content.getvalue() + hashlib.sha256(content.getvalue()).digest())

    def _load_index(self) -> Any:
        with contextlib.suppress(OSError):
            if _is_whole(Path(self._index_path)):
                return super()._load_index()  # type: ignore[no-untyped-call]
        return {}

    def _load_data(self, name: str) -> Any:
        if not _is_whole(Path(self._data_path(name))):  # type: ignore[no-untyped-call]
            return None
        return super()._load_data(name)  # type: ignore[no-untyped-call]


def _is_whole(file: Path) -> bool:
    content = file.read_bytes()
    return hashlib.sha256(content[:-DIGEST]).digest() == content[-DIGEST:]


class _Cache(numba.core.caching.FunctionCache):
    """Numba's, but what cannot be read is compiled anew, and what cannot be written is so next time."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _CacheFiles(self._cache_path, self._impl.filename_base, stamp)  # type: ignore[no-untyped-call]

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


@functools.cache
def imported_files(path: Path, package: str) -> frozenset[Path]:
    """The files of one top-level package that a file's imports name; its packages' own `__init__` too.

    Raises:
        ValueError: the file imports relatively, which is not followed.
    """
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(
                    f"{path} imports relatively: its compiled code could outlive a change"
                )
            # What is taken from a package may be one of its modules.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            found.update(_files_of(name, package))
    return frozenset(found)


def _files_of(name: str, package: str) -> Iterator[Path]:
    """The file of a module of the package, and the `__init__` of the packages that it lies in.

    Nothing is imported: whoever asks may be half imported itself.
    """
    first, *others = name.split(".")
    spec = importlib.util.find_spec(package) if first == package else None
    if spec is None or not spec.submodule_search_locations:
        return
    folder = Path(spec.submodule_search_locations[0])
    for part in ("", *others):
        folder /= part
        for file in (folder / "__init__.py", folder.with_suffix(".py")):
            if file.is_file():  # Else what is named is no module, but something in one.
                yield file


def stands_on(path: Path, package: str) -> set[Path]:
    """A file and all files of the package that it stands on, however far away."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imported_files(file, package)
    return seen


@functools.cache
def revision(path: Path, package: str) -> int:
    """A number for the code of a file and of all that it stands on."""
    files = sorted(stands_on(path, package))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


def compiled(function: Any, *constants: object) -> Any:
    """Compile a function that encloses constants, when it is first called, or take it from numba's cache.

    All functions of one qualified name share an index of numbered cache files, which processes write
    without locks: what is compiled for other constants, or from other code, must have a name of its own, or
    one may be taken for the other.

    It divides as numpy does: a check for 0 in every division would keep loops from being vectorised.
    """
    package = function.__module__.partition(".")[0]
    code = revision(Path(function.__code__.co_filename), package)
    name = "_".join(str(part) for part in (function.__name__, *constants, code))
    function.__qualname__ = name
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    with contextlib.suppress(RuntimeError):  # No folder can be written: compiled in each process.
        dispatcher._cache = _Cache(function)
    return dispatcher
