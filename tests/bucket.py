"""A real S3 server on this machine, and what lies in its bucket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import fsspec

from tests.support import ROOT

BUCKET = "pathnet"
SERVER = """
import time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port={port}, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
time.sleep(10**6)
"""


@dataclass
class Bucket:
    """A server with one bucket; `environment` is what a process needs to reach it."""

    port: int
    process: subprocess.Popen[str]
    url: str = f"s3://{BUCKET}/runs"
    environment: Mapping[str, str] = field(default_factory=dict)

    def files(self, name: str = "") -> dict[str, bytes]:
        """Everything below a run's URL, by its name there."""
        root = f"{BUCKET}/runs/{name}".rstrip("/")
        return {
            path.removeprefix(f"{root}/"): self.system.cat_file(path)
            for path in self.system.find(root)
        }

    def names(self, name: str = "") -> list[str]:
        root = f"{BUCKET}/runs/{name}".rstrip("/")
        return sorted(path.removeprefix(f"{root}/") for path in self.system.find(root))

    @property
    def system(self) -> fsspec.AbstractFileSystem:
        return fsspec.filesystem("s3", use_listings_cache=False)


@contextmanager
def s3_server() -> Iterator[Bucket]:
    """A server with an empty bucket; this process reaches it for as long as it is open."""
    keys = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }
    process = start_server(0)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    environment = {**keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    bucket = Bucket(port, process, environment=environment)
    try:
        fsspec.filesystem("s3").clear_instance_cache()
        bucket.system.mkdir(BUCKET)
        yield bucket
    finally:
        bucket.process.kill()
        bucket.process.wait()
        fsspec.filesystem("s3").clear_instance_cache()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start_server(port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVER.format(port=port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for(condition: object, seconds: float = 60.0) -> None:
    """Until a condition holds, which is looked at often."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
