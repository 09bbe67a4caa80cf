"""The metrics hub: every tag that is documented is written, and returns.csv holds every episode once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig
from pathnet_rl.duplication import Copied
from pathnet_rl.genotype import Genotype
from pathnet_rl.hyperparameters import Factors
from pathnet_rl.metrics import TAGS
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.telemetry import EpisodeRecord, Exchanges, PopulationSnapshot, Report, Telemetry
from tests.events import read_scalars, read_steps, read_texts
from tests.support import ROOT, read_rows, run_experiment, tiny_config
from workers.metrics_hub import MetricsHub


def test_the_reference_lists_exactly_the_tags_there_are() -> None:
    table = (ROOT / "docs" / "metrics.md").read_text()
    listed = re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)
    assert sorted(listed) == sorted(TAGS)


def test_a_run_writes_exactly_the_tags_there_are(tmp_path: Path) -> None:
    evolution = EvolutionConfig(
        population=4,
        episodes=2,
        rivals=2,
        hyperparameters=("learning_rate", "entropy_cost"),
        duplication_rate=0.5,
    )
    config = tiny_config(tmp_path, agent_steps=(6000,), report_seconds=0.2, evolution=evolution)
    run_experiment(config)
    for task in (0, 1):
        steps = read_steps(RunFolder(config).events(Arm.PATHNET, task))
        # On one node, nobody exchanges anything.
        assert sorted(steps) == sorted(tag for tag in TAGS if not tag.startswith("exchange/"))
        for points in steps.values():
            assert points == sorted(set(points))
            assert points[-1] >= 6000


def test_exchanges_of_other_nodes_are_means_of_one(hub: MetricsHub, tmp_path: Path) -> None:
    told = Exchanges(
        exchanges=4, seconds=0.02, between=2.0, staleness=40.0, bytes_sent=8000, bytes_received=4000
    )
    hub.report(Report(16, 1, 0.5, 9.0, 0, ((), ()), POPULATION, told))
    found = read_scalars(folder_of(tmp_path).events(Arm.PATHNET, 0))
    wanted = {
        "exchange/milliseconds": 5.0,
        "exchange/interval_milliseconds": 500.0,
        "exchange/staleness": 10.0,
        "exchange/kilobytes_sent": 2.0,
        "exchange/kilobytes_received": 1.0,
    }
    assert {tag for tag in found if tag.startswith("exchange/")} == set(wanted)
    assert set(wanted) <= set(TAGS)
    for tag, value in wanted.items():
        assert found[tag] == pytest.approx([value])


def open_hub(tmp_path: Path) -> MetricsHub:
    folder_of(tmp_path).path.mkdir(exist_ok=True)
    return MetricsHub(tiny_config(tmp_path), Arm.PATHNET)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[MetricsHub]:
    made = open_hub(tmp_path)
    made.begin_task(0, 0)
    yield made
    made.close()


def folder_of(tmp_path: Path) -> RunFolder:
    return RunFolder(tiny_config(tmp_path))


def telemetry(*episodes: tuple[int, float, int], task: int = 0) -> Telemetry:
    """Ten updates of 16 samples each."""
    return Telemetry(
        task,
        10,
        160,
        16.0,
        32.0,
        80.0,
        25.0,
        0.5,
        0.08,
        0.016,
        0.032,
        0.0016,
        [EpisodeRecord(*episode) for episode in episodes],
    )


POPULATION = PopulationSnapshot(
    (Genotype.from_array([[0, 1], [2, 2]]), Genotype.from_array([[0, 3], [1, 4]])),
    np.array([7.0, -np.inf]),
    evaluations=5,
    overwrites=2,
    mutated_genes=3,
)


def report(hub: MetricsHub, agent_steps: int) -> None:
    hub.report(Report(agent_steps, 10, 0.5, 99.0, 1, ((4,), ()), POPULATION))


def test_a_report_says_what_workers_told_since_the_last(hub: MetricsHub, tmp_path: Path) -> None:
    hub.record(telemetry((10, 4.0, 40), (20, 8.0, 60)))
    hub.record(telemetry((30, 6.0, 20)))
    report(hub, 320)
    hub.record(telemetry((400, 2.0, 10)))
    report(hub, 480)
    found = read_scalars(folder_of(tmp_path).events(Arm.PATHNET, 0))
    assert found["episode/return"] == [6.0, 2.0]
    assert found["episode/length"] == [40.0, 10.0]
    assert found["episode/return_last_100"] == [6.0, 5.0]
    assert found["learning/policy_loss"] == pytest.approx([0.1, 0.1])
    assert found["learning/value_loss"] == pytest.approx([0.2, 0.2])
    assert found["learning/entropy"] == [0.5, 0.5]
    assert found["learning/gradient_norm"] == [2.5, 2.5]
    for phase, milliseconds in (
        ("environment", 0.5),
        ("acting", 0.1),
        ("learning", 0.2),
        ("store", 0.01),
    ):
        assert found[f"speed/{phase}_milliseconds"] == pytest.approx([milliseconds] * 2)
    assert found["learning/rate"] == [0.5, 0.5]
    assert found["fitness/best"] == found["fitness/mean"] == [7.0, 7.0]
    assert found["grid/distinct_modules"] == [6.0, 6.0]
    assert found["tournament/evaluations"] == [5.0, 5.0]
    assert found["tournament/overwrites"] == [2.0, 2.0]
    assert found["tournament/mutated_genes"] == [3.0, 3.0]
    assert found["run/updates"] == [10.0, 10.0]
    assert found["run/restarts"] == [1.0, 1.0]
    assert found["speed/agent_steps_per_second"] == [99.0, 99.0]


def test_a_tag_with_nothing_to_say_is_left_out(hub: MetricsHub, tmp_path: Path) -> None:
    nobody = PopulationSnapshot(POPULATION.genotypes, np.full(2, -np.inf), 0, 0, 0)
    hub.report(Report(16, 1, 0.5, 99.0, 0, ((), ()), nobody))
    steps = read_steps(folder_of(tmp_path).events(Arm.PATHNET, 0))
    assert not {tag for tag in steps if tag.startswith(("episode/", "fitness/"))}
    assert not steps.keys() & {"learning/entropy", "learning/gradient_norm"}
    assert not {tag for tag in steps if tag.startswith("hyperparameters/")}
    assert not {tag for tag in steps if tag.startswith("duplication/")}
    assert steps["grid/modules"] == [16]


@pytest.mark.parametrize("arm", [Arm.PATHNET, Arm.INDEPENDENT])
def test_factors_are_told_of_what_is_a_gene_and_only_where_genes_evolve(
    arm: Arm, tmp_path: Path
) -> None:
    evolution = EvolutionConfig(population=4, hyperparameters=("entropy_cost",))
    config = tiny_config(tmp_path, evolution=evolution)
    RunFolder(config).path.mkdir()
    hub = MetricsHub(config, arm)
    hub.begin_task(0, 0)
    genotypes = tuple(
        POPULATION.genotypes[0].learning_with(Factors(5.0, factor)) for factor in (0.5, 4.0, 1.5)
    )
    hub.report(Report(16, 1, 0.5, 9.0, 0, ((), ()), replace(POPULATION, genotypes=genotypes)))
    hub.close()
    found = read_scalars(RunFolder(config).events(arm, 0))
    told = {tag: points for tag, points in found.items() if tag.startswith("hyperparameters/")}
    wanted = {
        "hyperparameters/entropy_cost_median": [1.5],
        "hyperparameters/entropy_cost_min": [0.5],
        "hyperparameters/entropy_cost_max": [4.0],
    }
    assert told == (wanted if arm is Arm.PATHNET else {})


def test_it_is_told_how_often_modules_were_copied_and_which_over_which(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, evolution=EvolutionConfig(population=4, duplication_rate=0.1))
    RunFolder(config).path.mkdir()
    hub = MetricsHub(config, Arm.PATHNET)
    hub.begin_task(0, 0)
    copied = (Copied(0, 3, 1, 2), Copied(1, 4, 0, 1))
    for agent_steps, so_far in ((16, ()), (32, copied[:1]), (48, copied)):
        hub.report(
            Report(agent_steps, 1, 0.5, 9.0, 0, ((), ()), replace(POPULATION, copied=so_far))
        )
    hub.close()
    events = RunFolder(config).events(Arm.PATHNET, 0)
    assert read_scalars(events)["duplication/copies"] == [0.0, 2.0, 3.0]
    head = "| layer | module | over | times |\n|---|---|---|---|\n"
    assert read_texts(events) == {
        "duplication/which/text_summary": [
            head + "| 0 | 3 | 1 | 2 |", head + "| 1 | 4 | 0 | 1 |\n| 0 | 3 | 1 | 2 |",
        ]
    }  # fmt: skip
    assert read_steps(events)["duplication/which/text_summary"] == [32, 48]


def test_the_grid_is_drawn_first_last_and_at_every_fiftieth_of_the_task(
    hub: MetricsHub, tmp_path: Path
) -> None:
    fiftieth = tiny_config(tmp_path).steps_of(0) // 50
    for agent_steps in (1, 2, fiftieth - 1, fiftieth, fiftieth + 1, 3 * fiftieth, 50 * fiftieth):
        report(hub, agent_steps)
    steps = read_steps(folder_of(tmp_path).events(Arm.PATHNET, 0))
    assert steps["grid/modules"] == [1, fiftieth, 3 * fiftieth, 50 * fiftieth]
    assert steps["fitness/distribution"][:3] == [1, 2, fiftieth - 1]
    hub.begin_task(1, 5 * fiftieth + 1)  # As resuming does.
    for agent_steps in (5 * fiftieth + 2, 6 * fiftieth):
        report(hub, agent_steps)
    steps = read_steps(folder_of(tmp_path).events(Arm.PATHNET, 1))
    assert steps["grid/modules"] == [6 * fiftieth]


def test_the_mean_return_is_that_of_the_last_hundred_episodes_of_the_task(hub: MetricsHub) -> None:
    assert hub.mean_return() is None
    hub.record(telemetry(*((n, float(n), 1) for n in range(150))))
    assert hub.mean_return() == pytest.approx(np.mean(np.arange(50, 150)))
    hub.begin_task(1, 0)
    assert hub.mean_return() is None


def test_every_episode_is_a_row(hub: MetricsHub, tmp_path: Path) -> None:
    hub.record(telemetry((16, 9.5, 9)))
    hub.begin_task(1, 0)
    hub.record(telemetry((32, 11.0, 11), (48, 12.0, 12), task=1))
    hub.flush()
    rows = read_rows(folder_of(tmp_path).returns)
    assert [tuple(row.values()) for row in rows] == [
        ("0", "pathnet", "16", "9.5", "9"),
        ("1", "pathnet", "32", "11.0", "11"),
        ("1", "pathnet", "48", "12.0", "12"),
    ]
    assert list(rows[0]) == ["task", "arm", "agent_steps", "episode_return", "length"]


def test_what_a_worker_tells_of_an_earlier_task_is_no_part_of_this_one(
    hub: MetricsHub, tmp_path: Path
) -> None:
    hub.begin_task(1, 0)
    hub.record(telemetry((16, 9.5, 9), task=0))
    hub.flush()
    assert hub.mean_return() is None
    assert read_rows(folder_of(tmp_path).returns) == []


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    hub = open_hub(tmp_path)
    hub.begin_task(0, 0)
    hub.record(telemetry((16, 1.0, 9)))
    report(hub, 160)
    state = hub.state()
    hub.record(telemetry((200, 2.0, 9)))
    report(hub, 320)
    report(hub, 480)
    hub.close()
    again = open_hub(tmp_path)
    again.begin_task(0, 160)
    again.load_state(state)
    assert again.mean_return() == 1.0
    again.record(telemetry((240, 3.0, 9)))
    report(again, 400)
    again.close()
    rows = read_rows(folder_of(tmp_path).returns)
    assert [row["agent_steps"] for row in rows] == ["16", "240"]
    for tag, steps in read_steps(folder_of(tmp_path).events(Arm.PATHNET, 0)).items():
        assert steps == [160, 400], tag


def test_a_task_that_is_begun_again_from_its_start_has_no_double_points(tmp_path: Path) -> None:
    """The run was killed in a task of which there is no checkpoint yet."""
    hub = open_hub(tmp_path)
    hub.begin_task(0, 0)
    state = hub.state()
    hub.begin_task(1, 0)
    hub.record(telemetry((16, 1.0, 9), task=1))
    report(hub, 160)
    report(hub, 320)
    hub.close()
    again = open_hub(tmp_path)
    again.begin_task(0, 100)
    again.load_state(state)
    again.begin_task(1, 0)
    again.record(telemetry((48, 3.0, 9), task=1))
    report(again, 240)
    again.close()
    assert [row["agent_steps"] for row in read_rows(folder_of(tmp_path).returns)] == ["48"]
    for tag, steps in read_steps(folder_of(tmp_path).events(Arm.PATHNET, 1)).items():
        assert steps == [240], tag
