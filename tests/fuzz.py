"""Fuzz whatever reads files: `python -m tests.fuzz --cases 10000 --seed 1` (make test-fuzz).

Any bytes give a clean load or one line, within seconds and within memory; nothing is executed, and what is
refused leaves the folder as it was. Bytes that fail go into tests/data/corpus, which every test run reads.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import importlib
import logging
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np

from pathnet_rl.errors import UserError
from tests.fuzz_doors import Door, copy_of, doors
from tests.fuzz_mutations import CANARY, array_bomb, bomb, mutated
from tests.support import ROOT

CORPUS = ROOT / "tests" / "data" / "corpus"
MOST_SECONDS = 60
"""Of one case: thousands of times what it takes, on a machine that others use as well."""
MOST_GROWTH = 2**30
"""Bytes that the process may grow by in one case."""
LONGEST_LINE = 2200
WATCHED = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
    "socket.connect", "pickle.find_class",
)  # fmt: skip


class Slow(BaseException):
    """A case took too long."""


class Fuzz:
    """All doors, and what went through them."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.doors = {door.name: door for door in doors(scratch / "made")}
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self._bomb = scratch / "bomb-went-off"
        self._events: list[str] = []
        self._watching = False
        modules = scratch / "modules"
        modules.mkdir()
        (modules / f"{CANARY}.py").write_text("raise RuntimeError('imported')\n")
        sys.path.insert(0, str(modules))
        importlib.invalidate_caches()
        self._modules = str(modules)
        sys.addaudithook(self._hear)
        signal.signal(signal.SIGALRM, self._late)

    def close(self) -> None:
        """Leave no trace in this process."""
        sys.path.remove(self._modules)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def draw(self, seed: int, number: int, every: int) -> tuple[Door, bytes]:
        """The door and the bytes of a case; one of `every` goes through a slow door, if that is not 0."""
        rng = np.random.default_rng([seed, number])
        slow = [door for door in self.doors.values() if not door.often]
        if every and number % every == 0:
            door = slow[int(rng.integers(len(slow)))]
        else:
            some = [door for door in self.doors.values() for _ in range(door.often)]
            door = some[int(rng.integers(len(some)))]
        return door, mutated((door.folder / door.file).read_bytes(), door.file, rng, self._bomb)

    def bombs(self) -> tuple[bytes, ...]:
        """Pickles that leave a trace if they are loaded."""
        return bomb(self._bomb), array_bomb(self._bomb)

    def fault(self, door: Door, content: bytes) -> str | None:
        """What is wrong with how a door took the bytes, if anything."""
        with tempfile.TemporaryDirectory(dir=self._scratch) as place:
            folder = copy_of(door, Path(place) / "run")
            (folder / door.file).write_bytes(content)
            before, size = _files(folder), _grown()
            self._events.clear()
            outcome, fault = self._read(door, folder)
            self.counts[door.name, outcome] += 1
            if fault is None and outcome == "refused" and _files(folder) != before:
                changed = sorted(path for path, _ in _files(folder).items() ^ before.items())
                fault = (
                    f"refused, and the folder is another one: {', '.join(dict.fromkeys(changed))}"
                )
            if fault is None and any(
                ".unfinished" in name or ".partial" in name for name in _files(folder)
            ):
                fault = "something half-written is left"
            if self._bomb.exists():
                self._bomb.unlink()
                fault = "a pickle was loaded"
            if f"imported {CANARY}" in self._events or self._events:
                fault = f"executed: {self._events[0]}"
            if _grown() - size > MOST_GROWTH:
                fault = f"took {(_grown() - size) / 2**20:,.0f} MiB"
            return fault

    def _read(self, door: Door, folder: Path) -> tuple[str, str | None]:
        try:
            with self._watched(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                door.read(folder)
        except UserError as error:
            line = str(error)
            if "\n" in line or not line.isprintable() or not 0 < len(line) <= LONGEST_LINE:
                return "refused", f"not one line: {line[:300]!r}"
            return "refused", None
        except Slow:
            return "hung", f"took more than {MOST_SECONDS} seconds"
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, it is what is looked for
            return "failed", traceback.format_exc()
        return "loaded", None

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        signal.alarm(MOST_SECONDS)
        self._watching = True
        try:
            yield
        finally:
            self._watching = False
            signal.alarm(0)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._watching:
            return
        if event == "import" and arguments[0] == CANARY:
            self._events.append(f"import of {CANARY}")
        elif event in WATCHED:
            # The one program that is asked something: which commit a run is of.
            words = arguments[1] if event == "subprocess.Popen" and len(arguments) > 1 else None
            if (
                not (isinstance(words, list) and words[:2] == ["git", "describe"])
                and event != "os.fork"
            ):
                self._events.append(f"{event} {arguments!r:.200}")

    def _late(self, number: int, frame: FrameType | None) -> None:
        raise Slow


def _files(folder: Path) -> dict[str, bytes]:
    # A resume opens its events before it looks at returns.csv; what it has not written to says nothing.
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and not path.name.startswith("events.out.")
    }


def _grown() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def keep(door: Door, content: bytes) -> Path:
    """Put what failed into the corpus."""
    CORPUS.mkdir(exist_ok=True)
    path = CORPUS / f"{door.name}.{hashlib.sha256(content).hexdigest()[:10]}"
    path.write_bytes(content)
    return path


def main() -> None:
    """Run cases and say what came of them; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--most-failures", type=int, default=20)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    scratch = Path(tempfile.mkdtemp(prefix="pathnet-rl-fuzz-"))
    fuzz, failures, began = Fuzz(scratch), 0, time.monotonic()
    say = sys.stdout.write
    try:
        for number in range(options.first, options.first + options.cases):
            if time.monotonic() - began > options.seconds:
                break
            door, content = fuzz.draw(options.seed, number, every=100)
            fault = fuzz.fault(door, content)
            if fault is not None:
                failures += 1
                path = keep(door, content) if len(content) <= 200_000 else "too large to be kept"
                say(f"case {number} of seed {options.seed}, {door.name}: {fault}\n  {path}\n")
                sys.stdout.flush()
                if failures >= options.most_failures:
                    break
    finally:
        fuzz.close()
        shutil.rmtree(scratch, ignore_errors=True)
    for name in fuzz.doors:
        counts = [
            f"{what} {fuzz.counts[name, what]}" for what in ("loaded", "refused", "failed", "hung")
        ]
        say(f"{name:18} {', '.join(counts)}\n")
    total = sum(fuzz.counts.values())
    say(
        f"{total:,} cases of seed {options.seed}: {failures} failed; {time.monotonic() - began:.0f} s\n"
    )
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
