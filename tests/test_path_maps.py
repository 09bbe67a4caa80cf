"""What a report says of paths: which modules are reused, whose children live on, what they build on."""

from __future__ import annotations

from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.evidence.path_maps import lineage_notes, path_maps
from pathnet_rl.evidence.runs import read_runs
from tests.made_runs import make_run


def test_a_path_map_says_which_frozen_modules_are_reused(tmp_path: Path) -> None:
    """Paths ((0, 1), (2,)), ((1, 3), (4,)), ((0, 3), (2, 4)); beside each stands the one before it."""
    levels = {Arm.PATHNET: (1.0, 2.0, 3.0), Arm.FROZEN_INACTIVE: (1.0, 2.0, 3.0)}
    run = make_run(tmp_path, "a", levels, tasks=("CartPole-v1",) * 3)
    pathnet, inactive = (path_maps(record) for record in read_runs([run])[0])
    assert [each.frozen for each in pathnet] == [((), ()), ((0, 1), (2,)), ((0, 1, 3), (2, 4))]
    assert [each.frozen_before for each in pathnet] == [0, 3, 5]
    assert [each.reused for each in pathnet] == [0, 3, 5]
    assert [each.reused for each in inactive] == [0, 1, 4]


def test_a_control_that_freezes_nothing_has_nothing_to_reuse(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", {Arm.FINE_TUNE: (1.0, 2.0)})
    (record,) = read_runs([run])[0]
    assert [each.frozen_before for each in path_maps(record)] == [0, 0]


def test_lineages_and_activity_genes_are_told_where_a_checkpoint_has_them(tmp_path: Path) -> None:
    told = {"lineages": ["newcomer", "heir of task 1"], "builds_on": [[True], [True]]}
    with_them = make_run(tmp_path, "a", {Arm.PATHNET: (1.0, 2.0)}, coordinator=told)
    without = make_run(tmp_path, "b", {Arm.PATHNET: (1.0, 2.0)}, seed=1)
    records, _ = read_runs([with_them, without])
    records[0].state["results"][1]["finished"]["builds_on"] = [True]
    notes = [lineage_notes(record) for record in records]
    assert notes == [
        [
            "the best pathway of task 2 builds on task 1",
            "lineages in the last population: newcomer 1 of 2, heir of task 1 1 of 2",
            "lineage of its best pathway: heir of task 1",
            "100% of the last population build on task 1 (CartPole)",
        ],
        [],
    ]
