"""The files below a URL, through fsspec: whole objects, named relative to it, and errors in one line."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import fsspec

from pathnet_rl.errors import UserError
from pathnet_rl.places import is_url

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries of an operation; file systems try a few times of their own in each."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""Which of this project's extras brings the file system of a protocol."""
EVENTS = "tensorboard/"
"""Where a run's events lie, which nobody reads to go on, draw or report."""

Answer = TypeVar("Answer")


class RemoteFolder:
    """What lies below a URL.

    Every operation raises UserError, one line, if it fails for good. Until one has worked an error is taken
    for one of names or rights and told at once; later ones are tried again for a while.
    """

    def __init__(self, url: str) -> None:
        """Raises: UserError: the package for such URLs is not installed."""
        self.url = url.rstrip("/")
        protocol = url.partition("://")[0]
        try:
            # Else a listing is remembered, and what others write is never seen.
            self._files, self._root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            extra = EXTRAS.get(protocol)
            remedy = f"pip install -e '.[{extra}]'" if extra else "install what it needs"
            raise UserError(f"{protocol}:// cannot be used here ({error}); {remedy}") from error
        self._worked = False

    def names(self) -> list[str]:
        """All files, at any depth; none if the place does not exist."""
        found = self._try("list", lambda: self._files.find(self._root)) or []
        start = f"{self._root}/"
        names = sorted(path.removeprefix(start) for path in found if path.startswith(start))
        for name in names:
            # An object's key may hold anything; here it becomes a path.
            if {".", ".."} & set(name.split("/")) or name.startswith("/") or "\0" in name:
                raise UserError(
                    f"{self.url} holds an object that no folder can: its name is {name!r}; delete it"
                )
        return names

    def read(self, name: str, patient: bool = True) -> bytes | None:
        """A file, or None where there is none."""
        return self._try("read", lambda: self._files.cat_file(self._path(name)), patient)

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that is not there; False if it is, and then it stays as it was."""
        try:
            self._write(lambda: self._files.pipe_file(self._path(name), data, mode="create"))
        except FileExistsError:
            return False
        return True

    def write(self, name: str, data: bytes, patient: bool = True) -> None:
        """Write a file whole, in place of what was there."""
        self._write(lambda: self._files.pipe_file(self._path(name), data), patient)

    def upload(self, file: Path, name: str) -> None:
        """Write a file whole, as one on disk is."""
        self._write(lambda: self._files.put_file(str(file), self._path(name)))

    def download(self, names: Sequence[str], folder: Path) -> None:
        """Bring files into a folder, below which they have the same names."""
        targets = [folder / name for name in names]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        if names:
            sources = [self._path(name) for name in names]
            self._write(lambda: self._files.get(sources, [str(target) for target in targets]))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        self._try("delete", lambda: self._files.rm_file(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _write(self, operation: Callable[[], object], patient: bool = True) -> None:
        """Do what needs the place to exist."""
        done = self._try("use", lambda: operation() or True, patient)
        if done is None:
            raise UserError(
                f"cannot use {self.url}: the bucket, or what was to be read, is not there; create it or"
                " choose another --folder"
            )

    def _try(
        self, verb: str, operation: Callable[[], Answer], patient: bool = True
    ) -> Answer | None:
        """What an operation gives; None where a file or its bucket is not there."""
        pauses = iter(PAUSES if patient and self._worked else ())
        while True:
            try:
                answer = operation()
                self._worked = True
                return answer
            except FileNotFoundError:
                return None
            except FileExistsError:
                raise
            # Each file system has errors of its own, of libraries that need not be installed.
            except Exception as error:
                pause = None if isinstance(error, PermissionError) else next(pauses, None)
                if pause is None:
                    reason = (str(error) or type(error).__name__).splitlines()[0]
                    raise UserError(
                        f"cannot {verb} {self.url}: {reason}; see that the place exists, can be reached and"
                        " may be written to with the credentials of this machine"
                    ) from error
            time.sleep(pause)


def finished(names: Sequence[str]) -> list[str]:
    """Names without those of unfinished checkpoints: a checkpoint is one once it has a state.json."""
    whole = {name.rpartition("/")[0] for name in names if name.endswith("/state.json")}
    return [
        name
        for name in names
        if not name.endswith("/block.safetensors") or name.rpartition("/")[0] in whole
    ]


@contextlib.contextmanager
def at_hand(given: str | Path) -> Iterator[Path]:
    """A folder to read from: itself, or a copy of what lies at a URL, without events, while this is open.

    Raises:
        UserError: nothing lies at the URL, or it cannot be read.
    """
    place = str(given).rstrip("/")
    if not is_url(place):
        yield Path(given)
        return
    remote = RemoteFolder(place)
    names = [name for name in finished(remote.names()) if EVENTS not in name]
    if not names:
        raise UserError(f"there is nothing at {place}; name a run folder, or one that holds some")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch).resolve() / place.rpartition("/")[2]
        remote.download(names, copy)
        try:
            yield copy
        except UserError as error:
            raise UserError(str(error).replace(str(copy), place)) from error
