"""A ray cluster of this machine alone, for one start of a command.

Nobody but its own processes has business with it: its servers listen on loopback, and take calls with a
token that no other start has. Few of ray's servers can be told an address, but all of them listen on loopback
alone if the node is at 127.0.0.1. There it is on systems that ray has no clusters for (macOS, Windows), and
where ray is told that this is one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker

from pathnet_rl.errors import UserError
from pathnet_rl.handlers import handlers_kept
from workers.signals import ENDING, deaf_to_batch_systems

TOKEN, TOKEN_PATH, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
FEWEST_FILES, MANY_FILES = 256, 4096
"""That a process of ray may have to open."""
REACH_SECONDS = 5.0
"""How long whoever listens at an address may take to answer."""
MOST_BYTES = 107
"""Of a Unix socket's path."""
SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""The longest that ray makes in its temporary folder."""


def start_here(cpus: int, log_to_driver: bool) -> None:
    """Start a cluster that has so many CPUs, and be its driver.

    Raises:
        UserError: there is no folder for its sockets, or a process of it does not start.
    """
    folder = _temporary_folder()
    _have_files()
    _reach_itself()
    _set_token()
    try:
        # Ray takes SIGTERM over, to exit at once, when it starts.
        with _on_loopback(), handlers_kept(ENDING), deaf_to_batch_systems():
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=log_to_driver,
                logging_level=logging.ERROR,
                _temp_dir=str(folder),
            )
    except Exception as error:  # Ray's own are of any kind, Exception itself among them.
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"ray does not start on this machine: {reason} (its logs are in {folder}/session_latest/logs"
            f"{_little_room()}); --serial runs without it"
        ) from error
    _end_without_asking()


def _end_without_asking() -> None:
    """At the end ray is to kill its processes; it would wait a second for each to obey SIGTERM."""
    node: Any = ray_worker._global_node
    kill = node.kill_all_processes

    def end(**how: bool) -> None:
        rays = {one.process.pid for ones in node.all_processes.values() for one in ones}
        # A raylet that is killed leaves its agents and workers, which notice only after a while.
        left = [of for p in psutil.Process().children() if p.pid in rays for of in p.children()]
        kill(**{**how, "allow_graceful": False})
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    node.kill_all_processes = end


def _have_files() -> None:
    """Raise the limit of open files for ray's processes, as far as that may be done.

    Raises:
        UserError: it stays so low that ray's processes would die or hang one after the other.
    """
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(MANY_FILES, most)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    if wanted < FEWEST_FILES:
        raise UserError(
            f"a process may open {wanted} files here (ulimit -n), and ray's need {FEWEST_FILES}; raise that,"
            " or run with --serial"
        )


def _little_room() -> str:
    """What may be why ray does not start: its object store alone takes a third of the memory's addresses."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return ""
    return f"; a process may have {most / 2**30:.1f} GiB of addresses here (ulimit -v), perhaps too few"


def _reach_itself() -> None:
    """Find out whether ray's processes can talk to each other; they would try for minutes.

    Raises:
        UserError: they cannot.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"nothing can be reached at 127.0.0.1 ({error.strerror or error}), where ray's processes talk to"
            " each other: is the loopback interface up (ip link set lo up)? --serial runs without ray"
        ) from error


def _set_token() -> None:
    """A token for this start, unless its user has one or wants none."""
    if os.environ.get(MODE, "token") == "token" and not {TOKEN, TOKEN_PATH} & os.environ.keys():
        os.environ[TOKEN] = secrets.token_hex(32)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """Have ray at 127.0.0.1. Its processes read the environment, and this one what ray read there before."""
    variable = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    before = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(variable)
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[variable] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before[0]
        del os.environ[variable]
        if before[1] is not None:
            os.environ[variable] = before[1]


def _temporary_folder() -> Path:
    """Where ray's sockets and logs can lie: they need a short path of plain letters that can be written.

    Raises:
        UserError: there is none.
    """
    given = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR")
    tried = []
    for parent in dict.fromkeys([given or "/tmp", "/tmp", "/var/tmp", "/dev/shm"]):
        folder = Path(parent).absolute() / "ray"
        if len(os.fsencode(folder / SOCKET)) > MOST_BYTES:
            tried.append(f"{folder} is too long")
            continue
        if not str(folder).isascii():
            tried.append(f"{folder} is not ASCII, which ray wants")
            continue
        try:
            # Ray makes the folder, so that other users can write there as well.
            with tempfile.TemporaryFile(dir=folder if folder.is_dir() else parent):
                return folder
        except OSError as error:
            tried.append(f"{folder}: {error.strerror}")
    longest = MOST_BYTES - len(SOCKET) - len("/ray/")
    raise UserError(
        f"ray has no place for its sockets ({'; '.join(tried)}); set RAY_TMPDIR to a folder that can be"
        f" written, in ASCII and of at most {longest} bytes, or run with --serial"
    )
