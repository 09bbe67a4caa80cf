"""Machines of a cluster on this one: network namespaces with an address each, or, where that is not
permitted, processes that share the address of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support import free_port

NETWORK = "10.231.77"
"""The first machine is at .1, and this one, the bridge's, at .254."""


@dataclass
class Machine:
    """One, with a ray node on it."""

    address: str
    prefix: tuple[str, ...]
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """As if its plug were pulled: nothing on it says goodbye."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            for process in (*parent.children(recursive=True), parent):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()


@dataclass
class Machines:
    """Started one after the other; the first is the head. `variables` is what its users set."""

    apart: bool
    variables: Mapping[str, str]
    port: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    started: list[Machine] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    @property
    def head(self) -> str:
        return self.started[0].address

    @property
    def known(self) -> dict[str, str]:
        """The environment of whoever submits jobs."""
        return {**self.variables, "RAY_API_SERVER_ADDRESS": f"http://{self.head}:{self.dashboard}"}

    def start(self, cpus: int) -> Machine:
        """One more."""
        number = len(self.started) + 1
        address = f"{NETWORK}.{number}" if self.apart else "127.0.0.1"
        prefix = _namespace(number, address) if self.apart else ()
        self.folders.append(Path(tempfile.mkdtemp(prefix="pn-")))
        if number == 1:
            role = ["--head", "--port", str(self.port), "--dashboard-host", address,
                    "--dashboard-port", str(self.dashboard)]  # fmt: skip
        else:
            role = ["--address", f"{self.head}:{self.port}"]
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *role,
             "--num-cpus", str(cpus), "--node-ip-address", address, "--temp-dir", str(self.folders[-1]),
             "--object-store-memory", str(100 * 2**20), "--dashboard-agent-listen-port", str(free_port())],
            env={
                **os.environ,
                **self.variables,
                # The head's `python`, as a job's entry point finds it, is this one.
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.started.append(Machine(address, prefix, process))
        return self.started[-1]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _namespace(number: int, address: str) -> tuple[str, ...]:
    """A network namespace on the bridge; how a command is run in it."""
    name, outside, inside = (f"pathnet{kind}{number}" for kind in ("-", "o", "i"))
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
    _run("ip", "link", "set", outside, "master", "pathnet-br", "up")
    _run("ip", "link", "set", inside, "netns", name)
    enter = ("ip", "netns", "exec", name)
    _run(*enter, "ip", "address", "add", f"{address}/24", "dev", inside)
    _run(*enter, "ip", "link", "set", inside, "up")
    _run(*enter, "ip", "link", "set", "lo", "up")
    _run(*enter, "ip", "route", "add", "default", "via", f"{NETWORK}.254")
    return enter


def _bridge() -> bool:
    """Whether there is one now."""
    try:
        _run("ip", "link", "add", "pathnet-br", "type", "bridge")
        _run("ip", "address", "add", f"{NETWORK}.254/24", "dev", "pathnet-br")
        _run("ip", "link", "set", "pathnet-br", "up")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def machines(token: str) -> Iterator[Machines]:
    """None yet; all that are started are gone at the end."""
    made = Machines(_bridge(), {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token})
    try:
        yield made
    finally:
        for machine in made.started:
            machine.process.terminate()  # It ends all that it has started.
        for machine in made.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                machine.process.wait(timeout=20)
            machine.kill()
        for number in range(1, len(made.started) + 1):
            if made.apart:
                _run("ip", "netns", "delete", f"pathnet-{number}")
        if made.apart:
            _run("ip", "link", "delete", "pathnet-br")
        for folder in made.folders:
            shutil.rmtree(folder, ignore_errors=True)
