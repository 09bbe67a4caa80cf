"""Objects that are not ours below a run's URL: they stay, whatever the run uploads and deletes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.checkpoint import save
from pathnet_rl.mirror import Mirror
from pathnet_rl.run_folder import RunFolder
from tests.bucket import Bucket, s3_server
from tests.support import first_state, tiny_config

FOREIGN = {
    "notes/why.txt": b"best so far",
    "video.mp4.partial": b"half of it",
    "old.unfinished/paper.tex": b"chapter 1",
    "notes/.lock": b"an editor's",
    "checkpoints/pathnet/export/block.safetensors": b"of something else",
    "checkpoints/pathnet/model/model.safetensors": b"weights",
    "tensorboard/pathnet/1-CartPole/events.out.tfevents.9.other": b"of something else",
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with s3_server() as bucket:
        yield bucket


def run_at(bucket: Bucket, steps: range) -> str | None:
    config = tiny_config(Path(), name="run", checkpoints_kept=2)
    folder = RunFolder(config.model_copy(update={"folder": bucket.url}))
    folder.open()
    for step in steps:
        state = first_state(config)
        folder.save(Arm.PATHNET, f"step-{step}", {"numbers": torch.zeros(3)}, state)
    identity = folder.identity
    folder.close()
    return identity


def put(bucket: Bucket, name: str, content: bytes) -> None:
    bucket.system.pipe_file(f"pathnet/runs/run/{name}", content)


def test_objects_of_others_stay_and_what_kills_left_of_ours_goes(
    bucket: Bucket, tmp_path: Path
) -> None:
    identity = run_at(bucket, range(1, 4))
    for name, content in FOREIGN.items():
        put(bucket, name, content)
    left = save(tmp_path, "step-9", {"numbers": torch.zeros(3)}, {}, 1, identity)
    others = save(tmp_path, "step-8", {"numbers": torch.zeros(3)}, {}, 1, "another run")
    for path in (left, others):
        block = (path / "block.safetensors").read_bytes()
        put(bucket, f"checkpoints/pathnet/{path.name}/block.safetensors", block)
    assert run_at(bucket, range(4, 7)) == identity
    files = bucket.files("run")
    assert {name: files.get(name) for name in FOREIGN} == FOREIGN
    blocks = {name.split("/")[2] for name in files if name.endswith("block.safetensors")}
    assert blocks == {"step-5", "step-6", "step-8", "export"}


def test_a_link_in_place_of_the_copies_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / f"pathnet-rl-{os.getuid()}").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="is a link"):
        Mirror("s3://pathnet/runs/run").prepare()
