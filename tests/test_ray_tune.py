"""Members as trials of Ray Tune: the same runs, and an error is its member's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_comparison import instructions, small_comparison
from workers.one_run import Outcome, learn
from workers.ray_tune import learn_with_tune

for needed in ("pyarrow", "tensorboardX"):
    pytest.importorskip(needed, reason="ray[tune] is in the extra 'tune'")


@pytest.mark.slow
def test_tune_learns_what_one_process_does_and_an_error_is_its_members_own(
    ray_cluster: None, tmp_path: Path
) -> None:
    here, there = small_comparison(tmp_path / "here"), small_comparison(tmp_path / "there", seeds=2)
    (mine,), (theirs, wrong) = here.members(), there.members()
    assert learn(mine, instructions(here)).error is None
    wrong.path.mkdir(parents=True)
    (wrong.path / "config.json").write_text("{")
    ended: list[Outcome] = []
    for some in learn_with_tune([theirs, wrong], instructions(there), None):
        ended += some
    errors = {outcome.member.path: outcome.error for outcome in ended}
    assert len(errors) == 2
    assert errors[theirs.path] is None
    assert "half-written" in str(errors[wrong.path])
    assert (mine.path / "returns.csv").read_bytes() == (theirs.path / "returns.csv").read_bytes()
    assert theirs.finished()
    summary = json.loads((theirs.path / "summary.json").read_text())["tasks"]
    last = {f"area_{t['arm']}": t["area_under_curve"] for t in summary if t["task"] == 1}
    trials = [json.loads(path.read_text()) for path in there.path.glob("tune/*/*/result.json")]
    assert [{key: trial[key] for key in last} for trial in trials if not trial["error"]] == [last]
