"""A run at a URL of a real S3 server: what is uploaded in which order, who may work there, what is said."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pathnet_rl import checkpoint, mirror, remote
from pathnet_rl.arms import Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.mirror import Mirror, RemoteLock
from pathnet_rl.remote import RemoteFolder
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.watching import Interrupted
from tests.bucket import Bucket, s3_server
from tests.support import read_rows, run_experiment, tiny_config


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as bucket:
        yield bucket


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mirror, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(mirror, "SILENT_SECONDS", 1.5)
    monkeypatch.setattr(mirror, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(remote, "PAUSES", (0.1,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def config_at(bucket: Bucket, name: str, **changes: Any) -> RunConfig:
    return tiny_config(Path(), name=name, **changes).model_copy(update={"folder": bucket.url})


class Uploads:
    """What a remote folder was told to do, in order; `most` operations are done, and then comes the kill."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int = 10**9) -> None:
        self.tape: list[tuple[str, str]] = []
        for verb in ("upload", "delete"):
            monkeypatch.setattr(RemoteFolder, verb, self._spy(verb, getattr(RemoteFolder, verb)))
        self.most = most

    def _spy(self, verb: str, really: Any) -> Any:
        def call(folder: RemoteFolder, *arguments: Any) -> None:
            if len(self.tape) >= self.most:
                raise KeyboardInterrupt
            self.tape.append((verb, arguments[-1]))
            really(folder, *arguments)

        return call


def test_a_run_at_a_url_ends_as_one_in_a_folder(bucket: Bucket, tmp_path: Path) -> None:
    config = config_at(bucket, "whole", checkpoints_kept=2)
    there = run_experiment(config)
    here = run_experiment(tiny_config(tmp_path / "here", name="whole", checkpoints_kept=2))
    assert there == here
    files, local = bucket.files("whole"), tmp_path / "here" / "whole"
    names = {p.relative_to(local).as_posix() for p in local.rglob("*") if p.is_file()}
    assert {n for n in files if "events" not in n} == {
        n for n in names if "events" not in n and n != ".lock"
    }
    for name in names:
        if name.endswith((".csv", ".safetensors", "state.json")):
            copy = tmp_path / "copy" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(files[name])
    assert (tmp_path / "copy" / "returns.csv").read_bytes() == (local / "returns.csv").read_bytes()
    saved = checkpoint.list_checkpoints(local / "checkpoints" / "pathnet")
    for path in saved:  # All but whose they are.
        tensors, state = checkpoint.load(path)
        copied, said = checkpoint.load(tmp_path / "copy" / path.relative_to(local))
        del said["config"]["name"], state["config"]["name"]
        del said["config"]["folder"], state["config"]["folder"]
        assert said == state
        assert all(torch.equal(copied[key], tensor) for key, tensor in tensors.items())
    assert len([n for n in files if "events.out" in n]) == 2
    assert not RunFolder(config).path.exists(), "the copy is left"


def test_rows_come_before_numbers_and_state_last_and_then_old_ones_are_deleted(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(monkeypatch)
    run_experiment(config_at(bucket, "order", checkpoints_kept=1))
    tape = [(verb, name.rpartition("/")[2]) for verb, name in uploads.tape]
    states = [index for index, (_, name) in enumerate(tape) if name == "state.json"]
    saved = [index for index in states if tape[index][0] == "upload"]
    assert len(saved) >= 4
    for state in saved:
        assert tape[state - 1] == ("upload", "block.safetensors")
        assert (
            uploads.tape[state - 1][1].rpartition("/")[0]
            == uploads.tape[state][1].rpartition("/")[0]
        )
    for index in sorted(set(states) - set(saved)):
        assert tape[index + 1] == ("delete", "block.safetensors")
        assert tape[index - 1] == ("upload", "state.json")
    after_first = tape[saved[0] :]
    rows = [i for i, (_, name) in enumerate(after_first) if name == "returns.csv"]
    assert rows
    for row in rows:
        following = [name for verb, name in after_first[row:] if verb == "upload"]
        assert following[-1] == "state.json"


@pytest.mark.parametrize("most", range(2, 12))
def test_a_kill_after_any_upload_leaves_what_can_be_gone_on_with(
    most: int, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_at(bucket, f"killed-{most}", checkpoints_kept=1, agent_steps=(2000,))
    with monkeypatch.context() as patch:
        Uploads(patch, most)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(config)
    names = bucket.names(config.name)
    unfinished = [n for n in names if n.endswith("block.safetensors")
                  and n.replace("block.safetensors", "state.json") not in names]  # fmt: skip
    run_experiment(config)
    files = bucket.files(config.name)
    left = [name for name in files if name.startswith("checkpoints/")]
    assert len(left) == 2
    assert not set(unfinished) & set(left)
    state = json.loads(next(data for name, data in files.items() if name.endswith("state.json")))
    assert state["finished"]
    assert state["hub"]["returns_bytes"] == len(files["returns.csv"])


def test_a_stopped_run_goes_on_without_a_seam(bucket: Bucket, tmp_path: Path) -> None:
    config = config_at(bucket, "seam", report_seconds=0.05)
    calls = itertools.count()
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: next(calls) > 3)
    before = bucket.files("seam")
    run_experiment(config)
    after = bucket.files("seam")
    events = {name for name in before if "events.out" in name}
    assert events
    assert events < {name for name in after if "events.out" in name}, "events were deleted"
    (tmp_path / "returns.csv").write_bytes(after["returns.csv"])
    for task in ("0", "1"):
        rows = [row for row in read_rows(tmp_path / "returns.csv") if row["task"] == task]
        steps = [int(row["agent_steps"]) for row in rows]
        assert steps == sorted(steps)
        assert sum(int(row["length"]) for row in rows) <= steps[-1]


def test_another_configuration_is_refused_by_its_url_and_the_lock_is_given_back(
    bucket: Bucket,
) -> None:
    with pytest.raises(Interrupted):
        run_experiment(config_at(bucket, "other", report_seconds=0.05), stop_requested=lambda: True)
    with pytest.raises(UserError, match="s3://pathnet/runs/other holds a run with another"):
        RunFolder(config_at(bucket, "other", seed=5)).open()
    assert ".lock" not in bucket.names("other")


def opened(bucket: Bucket, name: str, copy: Path) -> Mirror:
    found = Mirror(f"{bucket.url}/{name}")
    found.copy = copy / name
    found.copy.mkdir(parents=True)
    found.open(lambda line: None)
    return found


def test_a_second_process_is_refused_while_the_first_renews(bucket: Bucket, tmp_path: Path) -> None:
    first = opened(bucket, "two", tmp_path / "a")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"another process .* is working in s3://pathnet/runs/two"):
        opened(bucket, "two", tmp_path / "b")
    assert time.monotonic() - began < mirror.SILENT_SECONDS
    first.close()
    opened(bucket, "two", tmp_path / "c").close()
    assert bucket.names("two") == []


def test_a_silent_lock_is_taken_over_and_who_comes_back_writes_nothing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            RemoteLock, "_keep", lambda lock: None
        )  # As if the machine had been suspended.
        first = opened(bucket, "silent", tmp_path / "a")
    said: list[str] = []
    second = Mirror(f"{bucket.url}/silent")
    second.copy = tmp_path / "b"
    second.copy.mkdir()
    began = time.monotonic()
    second.open(said.append)
    assert time.monotonic() - began >= mirror.SILENT_SECONDS
    assert "is locked by process" in said[0]
    (first.copy / "mine.json").write_text("{}")
    with pytest.raises(UserError, match="another process has taken over s3://pathnet/runs/silent"):
        first.upload()
    first.close()
    assert bucket.names("silent") == [".lock"], "the lock of the second must stay"
    assert (first.copy / "mine.json").exists(), "what was not uploaded must stay"
    second.upload()
    second.close()


def test_a_lock_that_is_released_meanwhile_is_taken_at_once(bucket: Bucket, tmp_path: Path) -> None:
    first = opened(bucket, "released", tmp_path / "a")
    second = Mirror(f"{bucket.url}/released")
    second.copy = tmp_path / "b"
    second.copy.mkdir()
    second.open(lambda line: first.close())
    second.close()


def test_a_store_that_stumbles_is_tried_again(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(bucket, "stumbles", tmp_path)
    (found.copy / "file.json").write_text("1")
    assert found._remote is not None
    system, failures = found._remote._files, iter([OSError("reset by peer")])
    really = system.put_file

    def put_file(*arguments: Any, **options: Any) -> Any:
        for failure in failures:
            raise failure
        return really(*arguments, **options)

    monkeypatch.setattr(system, "put_file", put_file)
    found.upload()
    assert "file.json" in bucket.names("stumbles")
    found.close()


@pytest.mark.parametrize(
    ("environment", "url", "answer"),
    [
        ({}, "s3://nobody-made-this/runs", "the bucket, or what was to be read, is not there"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "s3://pathnet/runs", "credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://pathnet/runs", "Could not connect"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_one_line_before_anything_is_learned(
    environment: dict[str, str], url: str, answer: str, bucket: Bucket, tmp_path: Path
) -> None:
    script = f"""
import os; os.environ["AWS_EC2_METADATA_DISABLED"] = "true"; os.environ.update({environment!r})
os.environ["TMPDIR"] = {str(tmp_path)!r}
import sys; sys.argv[1:] = ["cartpole", "--serial", "--folder", {url!r}]
from launch.train import main; main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot ")
    assert done.stderr.count("\n") == 1
    assert answer in done.stderr
    assert "agent steps" not in done.stdout


def test_a_damaged_checkpoint_is_named_by_its_url(bucket: Bucket) -> None:
    config = config_at(bucket, "damaged", report_seconds=0.05)
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: True)
    state = [name for name in bucket.names("damaged") if name.endswith("state.json")][-1]
    bucket.system.pipe_file(f"pathnet/runs/damaged/{state}", b"{")
    folder = RunFolder(config)
    said: list[str] = []
    folder.open(said.append)
    (line,) = said
    assert line.startswith(
        f"left alone: the checkpoint s3://pathnet/runs/damaged/{state.rpartition('/')[0]} is damaged"
    )
    assert folder.latest(Arm.PATHNET) is not None, "the one before is taken"
    folder.close()
    assert checkpoint.list_checkpoints(folder.checkpoints(Arm.PATHNET)) == []
