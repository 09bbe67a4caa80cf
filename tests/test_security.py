"""What a run folder from elsewhere cannot do, and where secrets do not go (SECURITY.md)."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from launch.display import terminal
from launch.picture import Options as PictureOptions
from launch.picture import draw
from launch.replay import Options as ReplayOptions
from launch.replay import replay
from launch.report import Options as ReportOptions
from launch.report import report
from pathnet_rl.arms import Arm
from pathnet_rl.comparison.experiment import pair_label
from pathnet_rl.config import RunConfig
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.remote import RemoteFolder
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.supervised import datasets
from pathnet_rl.supervised.experiment import Experiment
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from tests.fuzz_mutations import Bomb
from tests.made_runs import make_run
from tests.support import ROOT

OLDER = ROOT / "tests" / "data" / "older_runs"


# Links, as archives bring them ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        ".lock",
        "returns.csv",
        "provenance.json.unfinished",
        "checkpoints/pathnet/x.unfinished",
        "tensorboard/pathnet",
    ],
)
def test_a_link_out_of_the_folder_is_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    run = shutil.copytree(OLDER / "finished", tmp_path / "runs" / "finished")
    precious = tmp_path / "precious"
    precious.write_text("kept")
    link = run / name
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(precious)
    config = RunFolder.existing(OLDER / "finished").config
    folder = RunFolder(config.model_copy(update={"folder": str(run.parent)}))
    with pytest.raises(
        UserError, match=f"{re.escape(str(link))} is a link out of the run's folder"
    ):
        folder.open()
    with pytest.raises(UserError, match="is a link out of"):
        draw(PictureOptions(run))
    assert precious.read_text() == "kept"


def test_a_link_inside_the_folder_and_a_folder_that_is_one_are_as_good_as_any(
    tmp_path: Path,
) -> None:
    run = shutil.copytree(OLDER / "finished", tmp_path / "elsewhere")
    (run / "again.csv").symlink_to("returns.csv")
    (tmp_path / "linked").symlink_to(run)
    folder = RunFolder.existing(tmp_path / "linked")
    assert folder.config.tasks == ("CartPole-v1", "CartPole-v1")
    assert folder.latest(Arm.PATHNET) is not None


# Names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "a/b", "..", ".", ".hidden", "a\nb", "a\0", ""]
)
def test_names_cannot_leave_the_folder_of_runs(name: str) -> None:
    for kind in (RunConfig, Experiment):
        with pytest.raises(UserError, match="name: "):
            kind.model_validate({"name": name})


@pytest.mark.parametrize(
    "task", ["../../x-v0", "m:../..-v1", "..", "labyrinth/../../../x", "a\0b", "vizdoom/..", "\\x"]
)
def test_a_task_names_no_folder_but_its_own(task: str) -> None:
    for name in (short_name(task), pair_label(f"{task}>{task}")):
        assert Path(name).name == name
        assert name not in ("", ".", "..")
        assert "\0" not in name


def test_results_of_another_arm_do_not_say_where_events_are_written(tmp_path: Path) -> None:
    folder = ExperimentFolder(Experiment(folder=str(tmp_path), name="run"))
    folder.open()
    folder.close()
    line = {
        "sequence": "5-6>6-7", "arm": "../../../elsewhere", "seed": 0, "generations": 1, "censored": False,
        "first_generations": 0, "first_censored": False, "overlap": 0, "accuracy": [0.5],
    }  # fmt: skip
    path = folder.path / "results" / "5-6_to_6-7" / "pathnet.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(f"{json.dumps(line)}\n")
    with pytest.raises(
        UserError, match=r"pathnet\.jsonl holds results of another run, sequence or arm"
    ):
        folder.everything()


def test_an_object_in_a_bucket_cannot_be_downloaded_out_of_the_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote = RemoteFolder("memory://bucket/run")
    files = fsspec.filesystem("memory")
    monkeypatch.setattr(
        type(files), "find", lambda self, root: [f"{root}/config.json", f"{root}/../../x"]
    )
    with pytest.raises(UserError, match=r"'\.\./\.\./x'"):
        remote.names()


@pytest.mark.parametrize("job", ["../../api/version", "a/b", "..", "x?y", "a b"])
def test_a_jobs_id_is_no_path_of_the_job_server(job: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launch.jobs", "stop", job],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {job!r} is no job's id; make jobs lists them\n"


# Code ------------------------------------------------------------------------------------------


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a file behind when it is imported."""
    trace = tmp_path / "trace"
    (tmp_path / "spy_module.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "spy_module", raising=False)
    return trace


@pytest.mark.parametrize("where", ["tasks", "layers"])
def test_a_folder_s_code_is_not_imported_unless_somebody_says_so(
    where: str, spy: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(OLDER / "finished", tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    if where == "tasks":
        config["tasks"] = ["spy_module:CartPole-v1"] * 2
        for state in run.rglob("state.json"):
            state.write_text(state.read_text().replace('"CartPole-v1"', '"spy_module:CartPole-v1"'))
    else:
        config["grid"]["layers"] = [{"kind": "spy_module:Thing", "units": 20}] * 2
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        UserError, match=r"names code that would be run: spy_module;.*--imports spy_module"
    ):
        replay(ReplayOptions(run, episodes=1), terminal(io.StringIO()))
    draw(PictureOptions(run, tmp_path / "grid.png"))
    assert not spy.exists()
    with contextlib.suppress(UserError):  # The module has no such class.
        replay(ReplayOptions(run, episodes=1, imports=("spy_module",)), terminal(io.StringIO()))
    assert spy.exists()


def test_a_report_plays_no_task_that_would_import_a_module(spy: Path, tmp_path: Path) -> None:
    levels = {Arm.PATHNET: (1.0, 2.0), Arm.INDEPENDENT: (1.0, 1.0)}
    run = make_run(tmp_path, "run", levels, tasks=("spy_module:CartPole-v1",) * 2)
    written = report(ReportOptions((run,), tmp_path / "report", random_episodes=2))
    page = written.page.read_text()
    assert "it would import spy_module; add --imports spy_module if you know it" in page
    assert not spy.exists()
    report(ReportOptions((run,), tmp_path / "report", random_episodes=2, imports=("spy_module",)))
    assert spy.exists()


def test_cifar_as_python_pickles_is_not_read(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for number in range(1, 6):
        (batches / f"data_batch_{number}").write_bytes(
            pickle.dumps({b"data": Bomb(trace), b"labels": []})
        )
    for place in (tmp_path, batches):
        with pytest.raises(UserError, match="CIFAR-10 for Python, whose pickles are not read"):
            datasets.load("cifar10", str(place))
    assert not trace.exists()


def test_nothing_of_the_program_unpickles_a_file() -> None:
    forbidden = re.compile(
        r"(?<!safetensors\.)\b(torch\.load|pickle\.|joblib|allow_pickle=True|yaml\.(unsafe_)?load|marshal|shelve)\b"
        r"|(?<![.\w])(eval|exec)\("
    )
    for package in ("pathnet_rl", "workers", "launch"):
        for path in (ROOT / package).rglob("*.py"):
            assert not forbidden.search(path.read_text()), path
