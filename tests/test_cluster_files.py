"""The files that start a cluster: ray's launcher, Kubernetes, SLURM. Rules check what no schema knows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.support import ROOT
from tests.surroundings import documents, name_of

LAUNCHER_FILES = sorted((ROOT / "launch" / "cluster").glob("*.yaml"))
KUBERNETES_FILES = sorted((ROOT / "launch" / "kubernetes").glob("*.yaml"))
OBJECTS = [(path, document) for path in KUBERNETES_FILES for document in documents(path)]
CUSTOM = [pair for pair in OBJECTS if pair[1]["apiVersion"] == "ray.io/v1"]


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=name_of)
def test_ray_takes_the_launchers_files(path: Path) -> None:
    # A process of its own: ray's launcher asks for the user's name and folders as it is imported.
    script = (
        "import json, sys, yaml\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "config = prepare_config(yaml.safe_load(open(sys.argv[1])))\n"
        "validate_config(config)\n"
        "kinds = config['available_node_types']\n"
        "print(json.dumps({name: kind.get('min_workers', 0) for name, kind in kinds.items()}))\n"
        "del config['provider']['type']\n"
        "try: validate_config(config)\n"
        "except Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, text=True
    )
    kinds, refusal = done.stdout.splitlines()
    assert max(json.loads(kinds).values()) > 1
    assert refusal == "ValidationError"


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=name_of)
def test_the_launcher_carries_the_checkout_and_the_token(path: Path) -> None:
    [config] = documents(path)
    carried = {place: what for what, place in config["file_mounts"].items()}
    assert carried["~/.ray/auth_token"].endswith("/.ray/auth_token")
    checkout = carried["."].removeprefix("~/")
    environment = " ".join(
        [*config.get("docker", {}).get("run_options", []), *config.get("setup_commands", [])]
    )
    # `ray submit` runs a copy of train.py that imports the program and joins the cluster.
    assert checkout in environment
    assert "RAY_ADDRESS=auto" in environment
    assert re.search(r"PATHNET_RL_FOLDER=(/shared|s3://|gs://)", environment)
    assert all((ROOT / name.strip("/")).exists() or name in IGNORED for name in excluded(config))


IGNORED = {"/.git", "/.venv", "/runs", "/report", "__pycache__", "/.*_cache"}
"""What a checkout may have and git does not keep."""


def excluded(config: dict[str, Any]) -> list[str]:
    found: list[str] = config["rsync_exclude"]
    assert {"/.git", "/.venv", "/runs"} <= set(found)
    return found


@pytest.mark.parametrize("path", LAUNCHER_FILES, ids=name_of)
def test_no_launcher_opens_the_job_server_to_the_world(path: Path) -> None:
    hosts = re.findall(r"(?:--dashboard-host|--host)[= ](\S+)", path.read_text())
    assert hosts == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.parametrize(("path", "document"), OBJECTS, ids=[d["kind"] for _, d in OBJECTS])
def test_kubernetes_takes_its_objects(path: Path, document: dict[str, Any]) -> None:
    if document["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    for template in templates(document):
        kind = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a-pod"}}
        kubernetes_validate.validate(
            {**kind, "template": template}, kubernetes_validate.latest_version(), strict=True
        )


def test_the_schemas_refuse_what_is_misspelt() -> None:
    template = templates(CUSTOM[0][1])[0]
    template["spec"]["containers"][0]["volumeMount"] = []
    kind = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a-pod"}}
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        kubernetes_validate.validate(
            {**kind, "template": template}, kubernetes_validate.latest_version(), strict=True
        )
    del template["spec"]["containers"][0]["volumeMount"]


def cluster(document: dict[str, Any]) -> dict[str, Any]:
    """The part that a RayCluster and a RayJob have in common."""
    found: dict[str, Any] = document["spec"].get("rayClusterSpec", document["spec"])
    return found


def templates(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods that an object is made of."""
    if document["apiVersion"] == "ray.io/v1":
        spec = cluster(document)
        return [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    return [document["spec"]["template"]] if document["kind"] == "Deployment" else []


def test_a_job_has_the_cluster_that_jobs_are_submitted_to() -> None:
    assert {document["kind"] for _, document in CUSTOM} == {"RayCluster", "RayJob"}
    first, second = (cluster(document) for _, document in CUSTOM)
    assert first == second
    assert first["authOptions"] == {"mode": "token", "secretName": "pathnet-rl-token"}


@pytest.mark.parametrize(("path", "document"), CUSTOM, ids=[d["kind"] for _, d in CUSTOM])
def test_pods_keep_results_and_share_memory(path: Path, document: dict[str, Any]) -> None:
    [claim] = [other for _, other in OBJECTS if other["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for template in templates(document):
        spec = template["spec"]
        [container] = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        results = volumes[mounts[environment["PATHNET_RL_FOLDER"]]]
        assert results["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
        assert spec["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize(("path", "document"), CUSTOM, ids=[d["kind"] for _, d in CUSTOM])
def test_workers_say_goodbye_before_they_are_ended(path: Path, document: dict[str, Any]) -> None:
    for group in cluster(document)["workerGroupSpecs"]:
        spec = group["template"]["spec"]
        command = spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert command[:3] == ["ray", "stop", "--grace-period"]
        assert int(command[3]) < spec["terminationGracePeriodSeconds"] < 30


def test_slurm_puts_the_job_back_and_keeps_it_when_a_node_is_lost() -> None:
    text = (ROOT / "launch" / "slurm" / "train.sbatch").read_text()
    options = dict(re.findall(r"(?m)^#SBATCH --([\w-]+)=?(.*)$", text))
    assert {"requeue", "no-kill", "exclusive"} <= options.keys()
    assert options["open-mode"] == "append"
    assert options["ntasks-per-node"] == "1"
    assert re.fullmatch(r"B:USR1@\d+", options["signal"])
    assert re.search(r"(?m)^trap .*scontrol requeue.* USR1$", text)


def test_slurm_refuses_a_run_whose_results_would_be_lost() -> None:
    script = ROOT / "launch" / "slurm" / "train.sbatch"
    done = subprocess.run(
        ["bash", script, "laptop"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "PATHNET_RL_FOLDER" in done.stderr
