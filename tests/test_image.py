"""The image and the composed cluster: what the linters do not know of them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.surroundings import documents

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = documents(ROOT / "docker" / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "pathnet-rl" in service["image"]}


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = {
        source
        for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", DOCKERFILE)
        for source in line.split()[:-1]
    }
    taken = {
        line[1:]
        for line in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert taken == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_has_every_package_of_the_program() -> None:
    assert all(f"COPY {package} ./{package}\n" in DOCKERFILE for package in PACKAGES)


PACKAGES = ("pathnet_rl", "workers", "launch")


def test_nodes_run_as_a_user_that_kubernetes_can_tell_from_root() -> None:
    assert re.findall(r"(?m)^USER (.+)$", DOCKERFILE) == ["1000:100"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["laptop", "--serial"], "python -m launch.train laptop --serial"),
        ([], "python -m launch.train"),
        (["--help"], "python -m launch.train --help"),
        (["ray", "start", "--head"], "ray start --head"),
        (["bash", "-c", "ulimit -n 65536; ray start"], "bash -c ulimit -n 65536; ray start"),
        (["tensorboard", "--logdir=/results"], "tensorboard --logdir=/results"),
        (["python", "-m", "launch.report"], "python -m launch.report"),
    ],
)
def test_the_entry_point_runs_a_node_or_the_whole_run(
    given: list[str], expected: str, tmp_path: Path
) -> None:
    for name in ("python", "ray", "bash", "tensorboard"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "${0##*/} $*"\n')
        program.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", ROOT / "docker" / "entrypoint.sh", *given],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stdout.strip() == expected


def test_the_entry_point_can_be_run() -> None:
    assert os.access(ROOT / "docker" / "entrypoint.sh", os.X_OK)


def test_the_composed_cluster_has_a_head_two_workers_and_tensorboard() -> None:
    assert OURS.keys() == {"head", "worker", "tensorboard"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    for name in ("head", "worker"):
        assert SERVICES[name]["shm_size"]
        assert SERVICES[name]["environment"]["PATHNET_RL_FOLDER"] == "/results"
        assert "results:/results" in SERVICES[name]["volumes"]
        assert SERVICES[name]["secrets"] == ["ray_auth_token"]
    assert COMPOSE["secrets"]["ray_auth_token"] == {"environment": "RAY_AUTH_TOKEN"}


def test_everything_that_is_composed_listens_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_and_grafana_come_only_when_asked_for() -> None:
    others = SERVICES.keys() - OURS.keys()
    assert others == {"prometheus", "grafana"}
    assert all(SERVICES[name]["profiles"] == ["metrics"] for name in others)


def test_what_is_composed_finds_its_files() -> None:
    files = [config["file"] for config in COMPOSE["configs"].values()]
    assert len(files) == 4
    assert all((ROOT / "docker" / file).is_file() for file in files)
    used = {
        config["source"] for service in SERVICES.values() for config in service.get("configs", [])
    }
    assert used == COMPOSE["configs"].keys()
