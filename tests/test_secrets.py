"""Secrets are in no run folder, no log and no error (SECURITY.md)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from pathnet_rl.errors import UserError
from pathnet_rl.provenance import provenance
from pathnet_rl.redaction import redacted
from tests.support import ROOT, run_command, run_module

OLDER = ROOT / "tests" / "data" / "older_runs"
FINISHED = (
    "cartpole", "--name", "finished", "--arms", "pathnet", "independent", "--agent-steps", "3000", "--serial",
    "--grid.modules", "4", "--grid.width", "2", "--evolution.population", "4", "--evolution.episodes", "2",
    "--evolution.rivals", "2", "--learning.environments", "2", "--learning.rollout-steps", "8",
    "--report-seconds", "0.5", "--replay.episodes", "3", "--replay.most-steps", "200",
    "--checkpoints-kept", "1",
)  # fmt: skip
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY"
"""Of the form that AWS gives, with slashes."""


@pytest.mark.parametrize(
    "place",
    [
        f"s3://AKIA:{SECRET}@bucket/x",
        "https://me:secretword@host/x",
        "s3://bucket/x?token=secretword",
    ],
)
def test_credentials_in_a_place_are_refused_and_not_repeated(place: str, tmp_path: Path) -> None:
    asked = run_command(*FINISHED, "--folder", place)
    told = run_module(
        "launch.train", *FINISHED, environment={**os.environ, "PATHNET_RL_FOLDER": place}
    )
    for done in (asked, told):
        assert done.returncode == 1
        assert re.fullmatch(r"error: --folder .*\*\*\*.* has credentials in it, .*\n", done.stderr)
        assert not re.search(f"{SECRET}|secretword", done.stderr + done.stdout)


def test_secrets_of_the_environment_are_in_no_file_and_no_line(tmp_path: Path) -> None:
    shutil.copytree(OLDER / "finished", tmp_path / "finished")
    names = (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "RAY_AUTH_TOKEN",
        "GITHUB_TOKEN",
        "DATABASE_PASSWORD",
    )
    secrets = {name: f"canary-of-{name}" for name in names}
    addresses = {"RAY_API_SERVER_ADDRESS": "http://me:canary-of-http@127.0.0.1:1"}
    environment = {**os.environ, **secrets, **addresses}
    for words in (
        ["launch.train", *FINISHED, "--folder", str(tmp_path)],
        ["launch.train", *FINISHED, "--folder", str(tmp_path / secrets["RAY_AUTH_TOKEN"])],
        ["launch.jobs", "list"],
    ):
        done = run_module(*words, environment=environment)
        assert "canary-of" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    found = [
        path for path in tmp_path.rglob("*") if path.is_file() and b"canary-of" in path.read_bytes()
    ]
    assert found == []


def test_provenance_keeps_the_command_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef")
    words = ["train", "--folder", f"s3://AKIA:{SECRET}@bucket/x", "--name", "x-0123456789abcdef"]
    monkeypatch.setattr(sys, "argv", words)
    assert provenance()["command"] == ["train", "--folder", "s3://***@bucket/x", "--name", "x-***"]


@pytest.mark.parametrize(
    "text", ["s3://bucket/a@b", "http://head:8265/x", "runs/a@b", "a ? b = c", "ray://head:10001"]
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    line = str(UserError("a\nb\x1b[2Jc\r\n" + "x" * 10_000))
    assert line.startswith("a b [2Jc x")
    assert line.isprintable()
    assert len(line) == 2000
