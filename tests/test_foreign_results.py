"""Other programs' results and events, among ours: not read, not reported, not deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.events import sign, written_by
from pathnet_rl.evidence.runs import read_runs
from pathnet_rl.supervised.experiment_folder import ExperimentFolder
from pathnet_rl.supervised.records import SeedResult
from pathnet_rl.supervised.report import TAGS, write_report
from tests.events import read_scalars
from tests.made_runs import make_run
from tests.small_experiment import small_experiment

LEVELS = {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 30.0)}
SEQUENCE = "0-1>1-2"


def result(seed: int, arm: str = "pathnet", sequence: str = SEQUENCE) -> SeedResult:
    return SeedResult(sequence, arm, seed, 2, False, 3, False, 1, [0.5, 0.75])


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentFolder:
    """An experiment with the results of two seeds."""
    return begun(tmp_path, "mine")


def begun(folder: Path, name: str) -> ExperimentFolder:
    config = small_experiment(folder / "digits.npz")
    made = ExperimentFolder(config.model_copy(update={"folder": str(folder), "name": name}))
    made.open()
    made.append([result(0), result(1)])
    made.close()
    return made


def place(experiment: ExperimentFolder) -> Path:
    return experiment.path / "results" / "0-1_to_1-2"


def test_results_are_known_by_what_is_in_them(experiment: ExperimentFolder) -> None:
    wanted = experiment.everything()
    assert [one.seed for one in wanted] == [0, 1]
    before = (place(experiment) / "pathnet.jsonl").read_bytes()
    (place(experiment) / "notes.jsonl").write_text('{"mood": "fine"}\n')
    (place(experiment) / "torn.jsonl").write_text('{"mood"')
    (place(experiment) / "pathnet.jsonl~").write_bytes(before)
    (place(experiment) / ".DS_Store").write_bytes(b"x")
    shutil.copy(place(experiment) / "pathnet.jsonl", place(experiment) / "pathnet (copy).jsonl")
    shutil.copytree(place(experiment), experiment.path / "results" / "0-1_to_1-2 (copy)")
    shutil.copytree(place(experiment), experiment.path / "results" / "old")
    (experiment.path / "results" / "other.jsonl").write_text("x")
    assert experiment.everything() == wanted
    experiment.open()
    experiment.append([result(2)])
    experiment.close()
    assert [one.seed for one in experiment.everything()] == [0, 1, 2]
    assert (place(experiment) / "notes.jsonl").read_text() == '{"mood": "fine"}\n'
    assert (place(experiment) / "pathnet (copy).jsonl").read_bytes() == before


@pytest.mark.parametrize("what", ["run", "arm", "sequence"])
def test_results_of_something_else_by_our_name_are_refused_and_stay(
    what: str, experiment: ExperimentFolder, tmp_path: Path
) -> None:
    file = place(experiment) / "pathnet.jsonl"
    if what == "run":
        shutil.copy(place(begun(tmp_path, "other")) / "pathnet.jsonl", file)
    elif what == "arm":
        file.write_text(file.read_text().replace('"pathnet"', '"fine-tune"'))
    else:
        file.write_text(file.read_text().replace(SEQUENCE, "3-4>4-5"))
    before = file.read_bytes()
    experiment.open()
    for use in (experiment.everything, lambda: experiment.append([result(7)])):
        with pytest.raises(UserError, match="of another run, sequence or arm; move it") as refused:
            use()
        assert "\n" not in str(refused.value)
    experiment.close()
    assert file.read_bytes() == before


def test_notes_alone_are_nothing_that_was_learned(tmp_path: Path) -> None:
    made = begun(tmp_path, "mine")
    (place(made) / "pathnet.jsonl").rename(place(made) / "notes.jsonl")
    assert not made.anything_learned()


def report_on(experiment: ExperimentFolder) -> None:
    results = experiment.everything()
    write_report(experiment.path, results, [], 4, None, experiment.identity)


def events_of(experiment: ExperimentFolder) -> Path:
    return experiment.path / "tensorboard" / "0-1_to_1-2" / "pathnet"


def test_a_report_deletes_its_own_events_alone(
    experiment: ExperimentFolder, tmp_path: Path
) -> None:
    report_on(experiment)
    events = events_of(experiment)
    (own,) = events.iterdir()
    other = begun(tmp_path, "other")
    report_on(other)
    shutil.copy(next(events_of(other).iterdir()), events / "events.out.tfevents.1.of-another-run")
    with SummaryWriter(str(events)) as writer:
        writer.add_scalar("loss", 1.0, 1)
    (events / "events.csv").write_text("a,b\n")
    (events / "events.folder").mkdir()
    foreign = {p: p.read_bytes() for p in events.iterdir() if p.is_file() and p != own}
    assert len(foreign) == 3
    report_on(experiment)
    assert not own.exists()
    assert {path: path.read_bytes() for path in foreign} == foreign
    assert (events / "events.folder").is_dir()
    assert len(list(events.iterdir())) == 5


def test_tensorboard_reads_signed_events_as_others(experiment: ExperimentFolder) -> None:
    report_on(experiment)
    scalars = read_scalars(events_of(experiment))
    assert set(scalars) == set(TAGS)
    assert scalars["accuracy/mean"] == [0.5, 0.75]


def test_events_of_before_are_ours_if_they_say_nothing_else(tmp_path: Path) -> None:
    for name, tags in (("ours", ("accuracy/mean",)), ("theirs", ("accuracy/mean", "loss"))):
        with SummaryWriter(str(tmp_path / name)) as writer:
            for tag in tags:
                writer.add_scalar(tag, 0.5, 1)
        (file,) = (tmp_path / name).iterdir()
        assert written_by(file, None, TAGS) == (name == "ours")
        assert not written_by(file, "a run with a name", TAGS)
    with SummaryWriter(str(tmp_path / "signed")) as writer:
        sign(writer, "mine")
    (file,) = (tmp_path / "signed").iterdir()
    assert [written_by(file, run, TAGS) for run in ("mine", "other", None)] == [True, False, False]


def test_runs_are_found_among_other_programs_results(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", LEVELS)
    (run / "export").mkdir()
    (run / "export" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert", "name": "b"}')
    (tmp_path / "notes").mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"x")
    for given in (tmp_path, run):
        records, left_out = read_runs([given])
        assert {Path(record.folder).name for record in records} == {"a"}
        wanted = f"not included: {tmp_path}/bert: {tmp_path}/bert/config.json is another program's"
        assert [str(one).partition(",")[0] for one in left_out] == [wanted] * (given == tmp_path)


def test_a_checkpoint_of_another_run_is_not_reported(tmp_path: Path) -> None:
    mine, other = make_run(tmp_path, "a", LEVELS), make_run(tmp_path, "b", LEVELS, seed=5)
    place = Path("checkpoints", "pathnet", "task-01-2-finished")
    shutil.rmtree(mine / place)
    shutil.copytree(other / place, mine / place)
    records, left_out = read_runs([mine])
    assert [record.arm for record in records] == [Arm.INDEPENDENT]
    assert "it has not begun (there is no checkpoint)" in str(left_out[0])
    assert json.loads((mine / "config.json").read_text())["seed"] == 0
