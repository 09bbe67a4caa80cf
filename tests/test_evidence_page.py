"""The page and the tables of a report, and the command that makes them."""

from __future__ import annotations

import base64
import csv
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from launch.report import Options, report
from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.errors import UserError
from pathnet_rl.evidence import definitions, html
from pathnet_rl.evidence.words import command_of, number, spread_of
from pathnet_rl.intervals import Interval
from tests.made_runs import make_run
from tests.support import ROOT, run_experiment, tiny_config

LEVELS = {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 30.0), Arm.FINE_TUNE: (9.0, 40.0)}


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps what a browser would fetch, and the words."""

    EMPTY = ("meta", "br", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        self.addresses += [named[key] or "" for key in ("src", "href") if key in named]
        self.ids += [named["id"] or ""] if "id" in named else []
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data + "\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two seeds of one setting, one seed of another, and a folder that is no run."""
    folder = tmp_path_factory.mktemp("page")
    rare = EvolutionConfig(population=4, episodes=2, rivals=2, mutation_rate=0.02)
    worse = {Arm.PATHNET: (10.0, 30.0), Arm.INDEPENDENT: (0.0, 50.0)}
    runs = (
        make_run(folder, "a", LEVELS, seed=0),
        make_run(folder, "b", worse, seed=1),
        make_run(folder, "c", LEVELS, seed=0, evolution=rare),
        folder / "no<run>",
    )
    output = folder / "report"
    output.mkdir()
    episodes = [f"CartPole-v1,dqn,40,{value}" for value in (15.0, 25.0)]
    (output / "random_policy.csv").write_text(
        "\n".join(["task,protocol,agent_steps,episode_return", *episodes])
    )
    report(Options(runs, output, random_episodes=2))
    return output


@pytest.fixture(scope="module")
def page(written: Path) -> Reader:
    return Reader((written / "report.html").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_needs_nothing_beside_itself(page: Reader) -> None:
    assert page.open == []
    assert not page.tags & {"script", "link", "iframe", "object"}
    for address in page.addresses:
        assert address.startswith(("#", "data:image/svg+xml;base64,"))
        if address.startswith("#"):
            assert address[1:] in page.ids


def test_the_pictures_inside_the_page_refer_to_nothing_outside(page: Reader) -> None:
    pictures = [address for address in page.addresses if address.startswith("data:")]
    assert len(pictures) == 4 + 4 + 3  # Curves, matrices, paths.
    for picture in pictures:
        drawing = base64.b64decode(picture.partition(",")[2]).decode()
        for address in re.findall(r'(?:href|src)="([^"]*)"', drawing):
            assert address.startswith(("#", "data:"))
        assert "url(http" not in drawing


def test_the_style_fetches_nothing() -> None:
    whole = html.page("title", [])
    assert "@import" not in whole
    assert "url(" not in whole


def test_every_measure_is_defined_on_the_page_and_in_the_reference(page: Reader) -> None:
    reference = " ".join((ROOT / "docs" / "metrics.md").read_text().split())
    for name, each in definitions.DEFINITIONS.items():
        assert each.words in page.words
        assert f"- **{each.title}** (`{name}`): {each.words}" in reference
    for words in ("INTERVALS", "AGGREGATE", "RANDOM", "BANDS", "REUSE"):
        assert getattr(definitions, words) in page.words
        assert getattr(definitions, words) in reference


def test_numbers_stand_with_their_intervals_and_one_seed_has_none(page: Reader) -> None:
    assert "1.00\n[0.33, 3.00], n = 2" in page.words
    assert "3.00\nn = 1: no interval" in page.words
    assert "nan" not in page.words


def test_what_is_left_out_is_on_the_page_and_text_is_escaped(page: Reader, written: Path) -> None:
    assert f"not included: {written.parent}/no<run>: " in page.words
    assert "run" not in page.tags


def test_commands_commits_and_options_are_on_the_page(page: Reader, written: Path) -> None:
    assert str(written.parent / "a") in page.words
    assert re.search(r"# 20\d\d-\S+, commit [0-9a-f]{40}", page.words)
    assert "evolution.mutation_rate" in page.words


def test_the_tables_have_a_row_for_every_seed_and_every_interval(written: Path) -> None:
    measures = rows(written / "measures.csv")
    # In the order of groups, tasks and arms; the control does not learn the first task of two.
    assert [(r["setting"][-7:], r["task"], r["arm"], r["seed"]) for r in measures] == [
        *((place, "0", *who) for place in ["default"] for who in
          (("pathnet", "0"), ("pathnet", "1"), ("fine-tune", "0"))),
        *(("default", "1", *who) for who in
          (("pathnet", "0"), ("pathnet", "1"), ("independent", "0"), ("independent", "1"),
           ("fine-tune", "0"))),
        *(("te 0.02", "0", arm, "0") for arm in ("pathnet", "fine-tune")),
        *(("te 0.02", "1", arm, "0") for arm in ("pathnet", "independent", "fine-tune")),
    ]  # fmt: skip
    assert [r["relative_area"] for r in measures[3:5]] == ["3.0", str(1 / 3)]
    assert measures[0]["relative_area"] == ""
    intervals = {
        (r["setting"], r["task"], r["arm"]): r
        for r in rows(written / "intervals.csv")
        if r["measure"] == "relative_area"
    }
    two, one = (intervals[f"mutation rate {rate}", "1", "pathnet"] for rate in ("default", "0.02"))
    assert (two["seeds"], two["value"], two["high"]) == ("2", "1.0", "3.0")
    assert (one["seeds"], one["value"], one["low"], one["high"]) == ("1", "3.0", "", "")
    settings = {(r["setting"], r["option"]): r["value"] for r in rows(written / "settings.csv")}
    assert settings["mutation rate 0.02", "evolution.mutation_rate"] == "0.02"
    assert settings["mutation rate default", "evolution.population"] == "4"
    assert len(rows(written / "curves.csv")) == len(measures) * 50
    matrix = rows(written / "transfer_matrix.csv")
    assert [(r["arm"], r["source"], r["target"]) for r in matrix[:1]] == [
        ("pathnet", "CartPole", "CartPole")
    ]
    assert {r["arm"]: r["seeds"] for r in rows(written / "all_tasks.csv")[:2]} == {
        "pathnet": "2", "fine-tune": "1",
    }  # fmt: skip


def test_every_picture_lies_beside_the_page(written: Path) -> None:
    pictures = sorted(path.name for path in written.glob("*.png"))
    assert "curves_1_2_CartPole.png" in pictures
    assert "paths_2_pathnet_0.png" in pictures
    assert "transfer_matrix_1_pathnet.png" in pictures
    assert all((written / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_the_same_runs_give_the_same_page_and_old_pictures_go(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", LEVELS)
    options = Options((run,), tmp_path / "report", random_episodes=2)
    before = report(options).page.read_text()
    drawn = next((tmp_path / "report").glob("paths_*.png"))
    shutil.copy(drawn, tmp_path / "report" / "paths_9_pathnet_7.png")
    (tmp_path / "report" / "paths_mine.png").touch()
    assert report(options).page.read_text() == before
    assert not (tmp_path / "report" / "paths_9_pathnet_7.png").exists()
    assert (tmp_path / "report" / "paths_mine.png").exists()


@pytest.mark.parametrize("name", ["report.html", "curves.csv"])
def test_a_folder_of_somebody_elses_results_is_not_written_to(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", LEVELS)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / name).write_text("<html>coverage</html>")
    with pytest.raises(UserError, match="choose another --output") as refused:
        report(Options((run,), tmp_path / "report", random_episodes=2))
    assert "\n" not in str(refused.value)
    assert (tmp_path / "report" / name).read_text() == "<html>coverage</html>"
    assert not list((tmp_path / "report").glob("*.png"))


def test_a_report_of_a_real_run(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, agent_steps=(1500,), arms=(Arm.PATHNET, Arm.INDEPENDENT))
    run_experiment(config)
    written = report(Options((tmp_path / config.name,), tmp_path / "report", random_episodes=4))
    assert written.left_out == []
    (measure,) = [
        row
        for row in rows(tmp_path / "report" / "measures.csv")
        if (row["task"], row["arm"]) == ("1", "independent")
    ]
    assert float(measure["area"]) > 5
    assert Reader(written.page.read_text()).open == []


def test_a_report_without_a_control_has_no_comparison_and_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", {Arm.PATHNET: (10.0, 50.0)})
    written = report(Options((run,), tmp_path / "report", random_episodes=0))
    assert "No task has seeds of independent to compare with." in written.page.read_text()
    assert written.wholes == []


def test_a_control_at_chance_is_said_to_be_so(tmp_path: Path) -> None:
    """Nobody is compared with it: the random policy gets about 20 in CartPole."""
    run = make_run(tmp_path, "a", {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 9.0)})
    written = report(Options((run,), tmp_path / "report", random_episodes=10))
    assert "-\nthe control is at chance" in Reader(written.page.read_text()).words
    assert written.wholes == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": ()}, "name the run folders"),
        (
            {"runs": (Path("/nowhere"),)},
            "none of the runs can be reported on; not included: /nowhere",
        ),
        ({"random_episodes": -1}, "random_episodes must be at least 0"),
        (
            {"output": Path("/proc/report")},
            "cannot write /proc/report: .*; choose another --output",
        ),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_line(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    options = {"runs": (make_run(tmp_path, "a", LEVELS),), "random_episodes": 0}
    with pytest.raises(UserError, match=message) as refused:
        report(Options(**{**options, **change}))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_report_is_not_written_into_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", LEVELS)
    with pytest.raises(UserError, match="is a run's own folder"):
        report(Options((run,), run, random_episodes=0))
    assert not (run / "report.html").exists()


def test_the_command_says_what_it_found_and_where_the_page_is(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", LEVELS)
    done = subprocess.run(
        [sys.executable, "-m", "launch.report", str(run), str(tmp_path / "none"),
         "--output", str(tmp_path / "report"), "--random-episodes", "5"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"not included: {tmp_path}/none: ")
    assert re.match(
        r"pathnet, after another task: relative area \d.* \(n = 1: no interval\)", lines[1]
    )
    assert lines[-1] == str(tmp_path / "report" / "report.html")


def test_numbers_are_written_for_people() -> None:
    assert [number(value) for value in (None, 1234.5, 99.96, 3.14159, -0.5, float("inf"))] == [
        "-", "1,234", "100.0", "3.14", "-0.50", "∞",
    ]  # fmt: skip
    assert spread_of(Interval(1.0, 0.5, float("inf"), 3)) == "[0.50, ∞], n = 3"
    assert spread_of(None) == ""


def test_a_command_is_written_as_one_types_it() -> None:
    start = {"command": ["/home/me/launch/train.py", "laptop", "--name", "a b"]}
    assert command_of(start) == "python -m launch.train laptop --name 'a b'"
    assert command_of({"command": ["pytest", "-q"]}) == "pytest -q"
    assert command_of({}) == "'(unknown)'"
