"""One version of everything: what the surroundings name is what constraints.txt and pyproject.toml say."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support import ROOT
from tests.surroundings import FILES, HEALTH_CHECKS, PINNED, PROJECT, documents, name_of

CONSTRAINTS = {canonicalize_name(name): version for name, version in PINNED.items()}
PROGRAM = PROJECT["project"]["name"]
TEXTS = {name_of(path): path.read_text() for path in [*FILES, ROOT / "docs" / "cluster.md"]}


def named(pattern: str) -> list[tuple[str, str]]:
    """Each file in which a pattern is found, with what its group caught."""
    return [(name, found) for name, text in TEXTS.items() for found in re.findall(pattern, text)]


def test_every_dependency_is_pinned_within_its_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [
        Requirement(line)
        for lines in (PROJECT["project"]["dependencies"], *extras.values())
        for line in lines
    ]
    ours = [requirement for requirement in wanted if requirement.name != PROGRAM]
    assert len(ours) > 20
    for requirement in ours:
        pinned = CONSTRAINTS[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pinned), requirement


def test_the_image_is_named_by_the_programs_version() -> None:
    found = named(r"pathnet-rl:(\d+\.\d+\.\d+)-(?:cpu|gpu)")
    places = {name.split("/")[-1] for name, _ in found}
    assert places >= {"Dockerfile", "compose.yaml", "aws.yaml", "gcp.yaml"}
    assert places >= {"raycluster.yaml", "rayjob.yaml", "tensorboard.yaml"}
    assert {version for _, version in found} == {PROJECT["project"]["version"]}


def test_no_image_is_whatever_is_newest() -> None:
    images = [image for _, image in named(r"(?m)^\s*(?:- )?image: (\S+)")]
    assert len(images) > 5
    assert all(re.search(r":\w*\d", image) for image in images)


def test_python_is_the_oldest_that_the_program_runs_on() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    images = re.findall(r"(?m)^FROM python:([\d.]+)", TEXTS["docker/Dockerfile"])
    assert images == [oldest, oldest]
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest


def test_ray_is_told_its_own_version() -> None:
    specifications = [
        document["spec"].get("rayClusterSpec", document["spec"])
        for path in FILES
        if path.parent.name == "kubernetes"
        for document in documents(path)
        if document["apiVersion"] == "ray.io/v1"
    ]
    assert len(specifications) == 2
    assert {cluster["rayVersion"] for cluster in specifications} == {PINNED["ray"]}


def test_packages_named_with_a_version_have_the_pinned_one() -> None:
    for _, pin in named(r"([\w.-]+==[\d.]+)"):
        name, _, version = pin.partition("==")
        assert CONSTRAINTS[canonicalize_name(name)] == version


@pytest.mark.parametrize(
    "place", ["docker/Dockerfile", "launch/cluster/on-prem.yaml", "launch/slurm/train.sbatch"]
)
def test_a_silent_node_is_given_up_within_half_a_minute(place: str) -> None:
    found = {name: pattern.findall(TEXTS[place]) for name, pattern in HEALTH_CHECKS.items()}
    assert all(len(values) == 1 for values in found.values()), found
    period, timeout, threshold = (int(values[0]) for values in found.values())
    assert threshold * (period + timeout) <= 25_000
    assert threshold >= 3, "one slow answer is no loss"
    assert found == {
        name: pattern.findall(TEXTS["docker/Dockerfile"]) for name, pattern in HEALTH_CHECKS.items()
    }
