"""The picture of all pairs of a matrix, as the paper shows its Labyrinth."""

from __future__ import annotations

from pathlib import Path

from pathnet_rl.arms import Arm
from pathnet_rl.evidence.measures import measure
from pathnet_rl.evidence.pictures import draw_all
from tests.made_runs import make_run
from tests.test_evidence import groups_of


def test_all_pairs_of_a_matrix_are_in_one_picture(tmp_path: Path) -> None:
    games = ("CartPole-v1", "Acrobot-v1")
    levels = {Arm.PATHNET: (10.0, 50.0), Arm.INDEPENDENT: (0.0, 30.0)}
    pairs = [(games[0], games[0]), (games[0], games[1]), (games[1], games[0])]
    runs = [make_run(tmp_path, f"run-{n}", levels, tasks=pair) for n, pair in enumerate(pairs)]
    groups = groups_of(*runs)
    measures = [m for group in groups for m in measure(group, 1, 10.0)]
    (picture,) = [p for p in draw_all(groups, measures, []) if p.file.startswith("curve_matrix")]
    panels = [axes for axes in picture.figure.axes if axes.get_xlabel() == ""]
    titles = [axes.get_title() for axes in panels]
    assert titles == ["pathnet 2.00"] * 3 + [""]
    assert [text.get_text() for text in panels[3].texts] == ["not measured"]
    assert [axes.get_ylabel() for axes in panels] == ["after CartPole", "", "after Acrobot", ""]
    assert [text.get_text() for axes in panels[:2] for text in axes.texts] == [
        "CartPole",
        "Acrobot",
    ]
    assert all(len(axes.get_lines()) == 3 for axes in panels[:3])  # Two arms, the random policy.
    one_target = [m for m in measures if m.group.target(1) == "CartPole"]
    assert not any("matrix" in p.file for p in draw_all(groups, one_target, []))
