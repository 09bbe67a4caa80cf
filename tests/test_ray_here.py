"""A cluster of this machine alone: who can reach it, and where its sockets and its token lie."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pathnet_rl.errors import UserError
from tests.support import ROOT
from workers.ray_here import MOST_BYTES, SOCKET, _temporary_folder

SCRIPT = """
import json, os, psutil, ray, signal
from workers.ray_here import start_here
told = []
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
start_here(1, log_to_driver=False)
os.kill(os.getpid(), signal.SIGTERM)
assert told == [signal.SIGTERM], "ray has taken the signal over"
class Role:
    def process(self): return os.getpid()
actor = ray.remote(Role).options(num_cpus=1).remote()
ray.get(actor.process.remote())
processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
bound = {}
for process in processes:
    for socket in process.net_connections("inet"):
        if socket.status == psutil.CONN_LISTEN:
            bound.setdefault(socket.laddr.ip, []).append(process.name())
print(json.dumps([bound, len(os.environ["RAY_AUTH_TOKEN"]), os.environ["RAY_AUTH_MODE"],
                  ray._private.worker._global_node.get_temp_dir_path()]))
"""


ALL_TERMINATED = """
import os, psutil, ray, signal, subprocess, time
from workers.ray_here import start_here
from workers.signals import hear_sigterm
told = []
for number in (signal.SIGUSR1, signal.SIGXCPU, signal.SIGTERM):
    signal.signal(number, lambda number, _: told.append(number))
start_here(1, log_to_driver=False)
class Role:
    def simulator_ends(self):
        hear_sigterm()
        simulator = subprocess.Popen(["sleep", "100"])
        simulator.terminate()
        return simulator.wait(20) == -signal.SIGTERM
actor = ray.remote(concurrency_groups={"orders": 1})(Role).options(num_cpus=1).remote()
ray.get(actor.__ray_ready__.remote())
processes = psutil.Process().children(recursive=True)
for process in [*processes, psutil.Process()]:
    for number in (signal.SIGUSR1, signal.SIGXCPU, signal.SIGTERM):
        process.send_signal(number)
time.sleep(1)
assert set(told) == {signal.SIGUSR1, signal.SIGXCPU, signal.SIGTERM}, "the command does not hear all"
assert ray.get(actor.simulator_ends.remote(), timeout=60), "a simulator does not hear it"
assert ray.cluster_resources()["CPU"] == 1
began = time.monotonic()
ray.shutdown()
print(time.monotonic() - began)
gone, left = psutil.wait_procs(processes, 10)
assert not left, left
"""


def start_one(
    folder: Path, script: str = SCRIPT, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Start a cluster with ray's defaults, and say what listens where."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT, env={**own, "HOME": str(folder), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_cluster_of_this_machine_listens_on_loopback_alone_and_has_a_token_of_its_own(
    tmp_path: Path,
) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    done = start_one(tmp_path / "there-is-no-such-home", TMPDIR=str(long))
    assert done.returncode == 0, done.stderr
    bound, token, mode, folder = json.loads(done.stdout.splitlines()[-1])
    assert {"gcs_server", "raylet"} <= {name for names in bound.values() for name in names}
    for address, names in bound.items():
        assert ipaddress.ip_address(address.removeprefix("::ffff:")).is_loopback, names
    assert (token, mode) == (64, "token")
    assert folder == "/tmp/ray", "a long TMPDIR has no room for sockets"
    assert list(tmp_path.rglob("auth_token")) == []


def test_signals_of_batch_systems_to_all_processes_are_the_commands_alone(tmp_path: Path) -> None:
    done = start_one(tmp_path, ALL_TERMINATED)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 10.0


@pytest.mark.parametrize(
    "name", ["x" * (MOST_BYTES - len(SOCKET) - len("/ray/")), "josé", "\udcff"]
)
def test_a_folder_whose_path_ray_has_no_use_for_is_passed_over(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", f"/{name}")
    assert _temporary_folder() == Path("/tmp/ray")


def test_no_place_for_sockets_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.ray_here.MOST_BYTES", 10)
    with pytest.raises(UserError, match=r"no place for its sockets.*set RAY_TMPDIR") as refused:
        _temporary_folder()
    assert "\n" not in str(refused.value)


NO_RAY = """
import resource, sys
from workers import ray_here
from pathnet_rl.errors import UserError
if sys.argv[1] == "files":
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
elif sys.argv[1] == "loopback":
    def create_connection(*_): raise OSError(101, "Network is unreachable")
    ray_here.socket.create_connection = create_connection
else:
    if sys.argv[1] == "addresses":
        resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    def fails(**_): raise Exception("The current node timed out during startup.\\nMore of it.")
    ray_here.ray.init = fails
try:
    ray_here.start_here(1, log_to_driver=False)
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("files", "a process may open 64 files here (ulimit -n), and ray's need"),
        ("loopback", "nothing can be reached at 127.0.0.1 (Network is unreachable), where ray's"),
        (
            "addresses",
            "ray does not start on this machine: The current node timed out during startup. (its",
        ),
        (
            "init",
            "ray does not start on this machine: The current node timed out during startup. (its",
        ),
    ],
)
def test_a_ray_that_cannot_be_started_is_one_line(tmp_path: Path, what: str, said: str) -> None:
    done = start_one(tmp_path, NO_RAY, what)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(said)
    assert "--serial" in done.stdout
    assert ("8.0 GiB of addresses here (ulimit -v)" in done.stdout) is (what == "addresses")
    assert done.stdout.count("\n") == 1
