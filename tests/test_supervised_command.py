"""The real command line of the supervised experiments: results, going on, and bad input."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from tests.events import read_scalars
from tests.support import ROOT

SMALL = (
    "--grid.units", "4", "--learning.minibatches", "5", "--evolution.population", "4",
    "--learning.generations", "6", "--processes", "1",
)  # fmt: skip
ARMS = ("pathnet", "pathnet-paper", "independent", "fine-tune")
"""Of the preset `mnist`."""


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
    here = ("mnist", "--data", str(digits), "--folder", str(tmp_path))
    given = (*here, "--sequences", "0-1>1-2", *SMALL)
    first = supervised(*given, "--seeds", "2")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "mnist"
    before = rows(folder)
    assert [(r["arm"], r["seed"]) for r in before] == [
        (arm, str(seed)) for arm in ARMS for seed in (0, 1)
    ]
    again = supervised(*given, "--seeds", "3")
    assert again.returncode == 0, again.stderr
    after = rows(folder)
    assert len(after) == 3 * len(ARMS)
    assert [r for r in after if r["seed"] != "2"] == before
    assert "nothing is left to do" in supervised(*given, "--seeds", "3").stdout
    assert rows(folder) == after

    whole = supervised(*given, "--seeds", "3", "--name", "whole", "--together", "1")
    assert whole.returncode == 0, whole.stderr
    assert rows(tmp_path / "whole") == after

    summary = json.loads((folder / "summary.json").read_text())["arms"]
    assert [(arm["arm"], arm["seeds"]) for arm in summary] == [(arm, 3) for arm in ARMS]
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
    assert "cifar10>svhn: not run: data not available\n" in found.stdout
    assert f"there is no {tmp_path / 'nowhere'}; --svhn takes openml, or a path" in found.stdout
    run_it = next(line for line in found.stdout.splitlines() if "to run it" in line)
    assert "python -m launch.supervised mnist --data" in run_it
    assert run_it.endswith("--cifar PATH --svhn PATH")
    assert str(tmp_path / "nowhere") not in run_it
    assert {r["sequence"] for r in rows(tmp_path / "mnist")} == {"0-1>1-2"}


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("--sequences", "0-1>1-x"), "there is no task '1-x'; tasks are two different digits"),
        (("--sequences", "3-3>1-2"), "there is no task '3-3'"),
        (("--sequences", "0-1"), "the sequence '0-1' needs two tasks or more"),
        (("--data", "/nowhere"), "no sequence can be run without its data"),
        (("--sequences", "0-1>cifar10"), "mixes pairs of digits"),
        (("--sequences", "0-1>1-2", "0-1>1-2"), "a sequence is named twice"),
        (("--arms", "pathnet", "pathnet"), "an arm is named twice in pathnet pathnet"),
        (
            ("--arms", "frozen-inactive"),
            "there is no arm frozen-inactive here; choose from pathnet, independent",
        ),
        (("--grid.width", "11"), "width N = 11 is more than modules M = 10"),
        (("--seeds", "0"), "seeds"),
        (
            ("--evolution.start", "random"),
            "heirs, builders and newcomers need --evolution.start founders",
        ),
        (("--evolution.heirs", "0"), "one of heirs, builders and newcomers must have a share"),
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
    assert "a run with another configuration (noise: was 0.5, is now 0.25)" in found.stderr
    assert rows(tmp_path / "mnist") == before


def learned(file: Path) -> list[dict[str, Any]]:
    """What lines of results say, but for whose they are."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "run"} for line in lines]


Begun: TypeAlias = tuple[tuple[str, ...], Path]
BEGUN = ("--seeds", "2", "--arms", "independent", "--sequences", "0-1>1-2", *SMALL)


@pytest.fixture(scope="module")
def done(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small experiment that is done."""
    folder = tmp_path_factory.mktemp("done")
    ended = supervised("mnist", "--data", str(digits), "--folder", str(folder), *BEGUN)
    assert ended.returncode == 0, ended.stderr
    return folder / "mnist"


@pytest.fixture
def begun(digits: Path, done: Path, tmp_path: Path) -> Begun:
    """A copy of it: its command, and the file of its results."""
    shutil.copytree(done, tmp_path / "mnist")
    given = ("mnist", "--data", str(digits), "--folder", str(tmp_path), *BEGUN)
    return given, tmp_path / "mnist" / "results" / "0-1_to_1-2" / "independent.jsonl"


@pytest.mark.slow
def test_plain_torch_runs_the_command_and_compiled_loops_go_on_with_it(
    begun: Begun, tmp_path: Path
) -> None:
    given, file = begun
    compiled = learned(file)
    torch = (*given, "--name", "torch", "--engine", "torch")
    assert supervised(*torch).returncode == 0
    file = tmp_path / "torch" / "results" / "0-1_to_1-2" / "independent.jsonl"
    assert learned(file) == compiled
    again = supervised(*torch[:-1], "compiled", "--seeds", "3")
    assert again.returncode == 0, again.stderr
    assert [r["seed"] for r in rows(tmp_path / "torch")] == ["0", "1", "2"]


def damage_type(file: Path) -> None:
    file.write_text(file.read_text().replace('"generations":', '"generations":"x","y":'))


def damage_curve(file: Path) -> None:
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "accuracy": []}) + "\n" for line in lines))


def repeat_a_seed(file: Path) -> None:
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")


def damage_config(file: Path) -> None:
    (file.parents[2] / "config.json").write_bytes(b"\xff\x00{")


def lose_config(file: Path) -> None:
    (file.parents[2] / "config.json").unlink()


@pytest.mark.parametrize(
    ("harm", "answer"),
    [
        (damage_type, "independent.jsonl is damaged"),
        (damage_curve, "independent.jsonl is damaged"),
        (repeat_a_seed, "independent.jsonl is damaged"),
        (damage_config, "no readable config.json"),
        (lose_config, "no readable config.json"),
    ],
)
def test_a_damaged_folder_is_one_line_and_stays_as_it_is(
    harm: Callable[[Path], None], answer: str, begun: Begun
) -> None:
    given, file = begun
    harm(file)
    before = file.read_bytes()
    found = supervised(*given)
    assert found.returncode != 0
    assert found.stderr.startswith("error: ")
    assert answer in found.stderr
    assert found.stderr.count("\n") == 1
    assert file.read_bytes() == before


def test_a_report_shows_arms_that_are_there_and_were_not_named(
    begun: Begun, tmp_path: Path
) -> None:
    given, _ = begun
    with_more = [argument if argument != "independent" else "from-scratch" for argument in given]
    assert supervised(*with_more).returncode == 0
    assert [r["arm"] for r in rows(tmp_path / "mnist")] == ["from-scratch"] * 2 + [
        "independent"
    ] * 2


def test_a_folder_in_use_is_refused(begun: Begun, tmp_path: Path) -> None:
    given, _ = begun
    with (tmp_path / "mnist" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = supervised(*given, "--seeds", "3")
    assert found.returncode != 0
    assert "another process is working in" in found.stderr


@pytest.mark.slow
def test_an_interruption_ends_at_once_and_keeps_finished_seeds(
    digits: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "launch.supervised", "mnist", "--data", str(digits), "--folder",
        str(tmp_path), "--seeds", "400", "--together", "1", "--arms", "pathnet", "--sequences",
        "0-1>1-2", "--learning.generations", "30", "--learning.threshold", "1.0",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    file = tmp_path / "mnist" / "results" / "0-1_to_1-2" / "pathnet.jsonl"
    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
    kept = [json.loads(line)["seed"] for line in file.read_text().splitlines()]
    assert 0 < len(kept) < 400
    assert len(set(kept)) == len(kept)
