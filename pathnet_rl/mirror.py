"""A run folder at a URL: the run works in a copy on this machine, and what changes in it is uploaded.

A kill at any moment leaves something that can be gone on with: rows and events go first, then a checkpoint's
numbers, its state.json last (a checkpoint without one is none), and only then are old checkpoints deleted.
One process at a time works at a URL: it keeps a lock there that it renews.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from pathnet_rl.config_file import read_identity
from pathnet_rl.errors import UserError
from pathnet_rl.reading import parse_json
from pathnet_rl.remote import EVENTS, RemoteFolder, finished
from pathnet_rl.saved import run_of

LOCK = ".lock"
RENEW_SECONDS = 10.0
"""Between two renewals of a lock."""
SILENT_SECONDS = 45.0
"""A lock that has not been renewed for so long belongs to nobody."""
SETTLE_SECONDS = 2.0
"""After taking a lock over, until it is sure that nobody else did at the same time."""

Say = Callable[[str], object]


class RemoteLock:
    """A file at the URL that says who works there.

    Nobody's clock is trusted: whoever finds a lock watches whether its content changes. A process that could
    not renew its own for half of `SILENT_SECONDS` looks whether it still is its own before it writes.
    """

    def __init__(self, remote: RemoteFolder) -> None:
        self._remote = remote
        self._identity = {
            "holder": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        self._renewals = 0
        self._renewed = 0.0
        self._lost = False
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lock", daemon=True)

    def acquire(self, say: Say) -> None:
        """Take the lock, at once or from a process that has been silent for `SILENT_SECONDS`.

        Raises:
            UserError: another process is at work.
        """
        while True:
            found = self._remote.read(LOCK)
            if found is None:
                if self._remote.create(LOCK, self._content()):
                    break
                continue  # Somebody was faster.
            say(
                f"{self._remote.url} is locked by {_holder(found)}; looking for at most"
                f" {SILENT_SECONDS:.0f} seconds whether that is still at work"
            )
            if self._silent(found):
                self._remote.write(LOCK, self._content())
                time.sleep(SETTLE_SECONDS)
                if not self._mine():
                    raise self._in_use(self._remote.read(LOCK) or found)
                break
        self._renewed = time.monotonic()
        self._thread.start()

    def check(self) -> None:
        """Find out whether it may be written here.

        Raises:
            UserError: another process has taken the lock over.
        """
        if not self._lost and time.monotonic() - self._renewed > SILENT_SECONDS / 2:
            self._renew(patient=True)
        if self._lost:
            raise UserError(
                f"another process has taken over {self._remote.url}, since this one could not be heard of for"
                f" {SILENT_SECONDS:.0f} seconds; this one ends, and has written nothing since"
            )

    def release(self) -> None:
        """Let another process in."""
        self._released.set()
        if self._thread.ident is not None:
            self._thread.join()
            if not self._lost and self._mine():
                self._remote.delete(LOCK)

    def _silent(self, found: bytes) -> bool:
        """Wait for signs of life of who holds the lock; False if it is released.

        Raises:
            UserError: there are some.
        """
        until = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < until:
            time.sleep(RENEW_SECONDS / 5)
            now = self._remote.read(LOCK)
            if now is None:
                return False
            if now != found:
                raise self._in_use(now)
        return True

    def _keep(self) -> None:
        while not self._lost and not self._released.wait(RENEW_SECONDS):
            try:
                self._renew(patient=False)
            except UserError:
                continue  # The next time may do; an upload says what is wrong.

    def _renew(self, patient: bool) -> None:
        if not self._mine(patient):
            self._lost = True
            return
        self._renewals += 1
        self._remote.write(LOCK, self._content(), patient)
        self._renewed = time.monotonic()

    def _mine(self, patient: bool = True) -> bool:
        found = self._remote.read(LOCK, patient)
        return found is not None and self._identity["holder"] == _read(found).get("holder")

    def _content(self) -> bytes:
        return json.dumps({**self._identity, "renewals": self._renewals}).encode()

    def _in_use(self, found: bytes) -> UserError:
        return UserError(
            f"another process ({_holder(found)}) is working in {self._remote.url}; wait for it, stop it, or"
            " choose another --name"
        )


def _read(content: bytes) -> dict[str, object]:
    try:
        found = parse_json(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _holder(content: bytes) -> str:
    found = _read(content)
    return f"process {found.get('process', '?')} on {found.get('host', 'a machine unknown')}"


class Mirror:
    """What lies at a URL, and the copy of it on this machine; `copy` is the same for the same URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        digest = hashlib.sha256(url.encode()).hexdigest()[:16]
        self._base = Path(tempfile.gettempdir()) / f"pathnet-rl-{os.getuid()}"
        self.copy = self._base / digest / url.rpartition("/")[2]
        self._remote: RemoteFolder | None = None
        self._lock: RemoteLock | None = None
        self._opened = False
        self._there: dict[str, tuple[int, int] | None] = {}

    def prepare(self) -> None:
        """Make the folder of the copies, which nobody else may write to.

        Raises:
            OSError: it cannot be made, or is somebody else's.
        """
        self._base.mkdir(mode=0o700, exist_ok=True)
        found = self._base.lstat()
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if not mine or found.st_mode & 0o022:
            raise OSError(f"{self._base} is a link, or others may write to it")

    def open(self, say: Say) -> None:
        """Keep other processes out, and make the copy what lies at the URL (all but its events).

        Raises:
            UserError: another process is at work, or the place cannot be used.
        """
        self._opened = True
        self._remote = RemoteFolder(self.url)
        lock = RemoteLock(self._remote)
        lock.acquire(say)
        self._lock = lock
        for entry in self.copy.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK:
                entry.unlink()
        names = [n for n in self._remote.names() if n != LOCK and not n.startswith(EVENTS)]
        whole = finished(names)
        self._remote.download(whole, self.copy)
        # What is left of an unfinished checkpoint of ours is deleted at the next upload, as all that is in no
        # copy; what others put there is not.
        here, run = self._files(), read_identity(self.copy)
        left = [name for name in names if name not in whole and self._saved_by(run, name)]
        self._there = dict.fromkeys(left) | {name: here[name] for name in whole if name in here}

    def upload(self) -> None:
        """Make what lies at the URL what the copy is.

        Raises:
            UserError: another process has taken over, or the place cannot be written; what was uploaded
                before can be gone on with.
        """
        assert self._remote is not None
        assert self._lock is not None
        now = self._files()
        try:
            for name in sorted(self._changed(now), key=_order):
                self._lock.check()
                self._remote.upload(self.copy / name, name)
                self._there[name] = now[name]
            for name in sorted(self._there.keys() - now.keys(), key=_order, reverse=True):
                self._lock.check()
                self._remote.delete(name)
                del self._there[name]
        except UserError as error:
            raise UserError(
                f"{error}; what was not uploaded is in {self.copy} on {socket.gethostname()}, and the same"
                " command goes on from what was"
            ) from error

    def close(self) -> None:
        """Let other processes in, and delete the copy if everything in it has been uploaded."""
        lock, self._lock = self._lock, None
        opened, self._opened = self._opened, False
        try:
            if lock is not None:
                lock.release()
        finally:
            if opened and not self._changed(self._files()):
                shutil.rmtree(self.copy.parent, ignore_errors=True)

    def _saved_by(self, run: str | None, name: str) -> bool:
        assert self._remote is not None
        content = self._remote.read(name)
        return run is not None and content is not None and run_of(content) == run

    def _files(self) -> dict[str, tuple[int, int]]:
        """Every file of the copy that is no scratch of this process."""
        return {
            path.relative_to(self.copy).as_posix(): _signature(path)
            for path in self.copy.rglob("*")
            if path.is_file()
            and path.name != LOCK
            and not any(part.endswith((".unfinished", ".partial")) for part in path.parts)
        }

    def _changed(self, now: dict[str, tuple[int, int]]) -> list[str]:
        return [name for name, signature in now.items() if self._there.get(name) != signature]


def _signature(path: Path) -> tuple[int, int]:
    """Size and time of the last change: a file with another one has changed."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _order(name: str) -> tuple[bool, bool, str]:
    """Files in the order in which they are uploaded; they are deleted the other way round."""
    return name.endswith("/state.json"), name.endswith("/block.safetensors"), name
