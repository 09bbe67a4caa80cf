"""Levels of DeepMind Lab as tasks: with a fake that is as strict as the engine, and with the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.labyrinth import ACTIONS, MISSING, grey
from pathnet_rl.envs.labyrinth_levels import PAPER, find_level, level_named
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.first_episodes import first_episodes
from tests.labs import FAKE, lab
from tests.support import ROOT
from tests.test_envs import check, play, same

__all__ = ["lab"]

SEEKAVOID = "labyrinth/seekavoid_arena_01"
STEPS = {"labyrinth/seekavoid_arena_01": 300, "labyrinth/stairway_to_melon": 900}
GREY = EnvironmentOptions(colour="grey")


@pytest.mark.parametrize("level", PAPER)
def test_steps_are_whole_and_of_the_right_types(level: str, lab: str, tmp_path: Path) -> None:
    environments = envs.make(f"labyrinth/{level}", 2, log=tmp_path / "log")
    assert environments.observation_shape == (3, 84, 84)
    assert environments.actions == 9
    tape = play(environments, 1, 40)
    check(environments, tape)
    assert all(step.observations.dtype == np.uint8 for step in tape)
    assert not any(step.lost for step in tape)
    assert not np.array_equal(tape[10].observations, tape[30].observations)
    environments.close()


@pytest.mark.parametrize("name", STEPS)
def test_an_episode_has_its_steps_and_ends_in_a_frame_of_its_own(name: str, lab: str) -> None:
    environments = envs.make(name, 1)
    tape = play(environments, 2, STEPS[name] + 2)
    assert [number for number, step in enumerate(tape) if step.ended[0]] == [STEPS[name] - 1]
    last = tape[STEPS[name] - 1]
    assert last.terminated[0]
    assert last.final_observations is not None
    assert np.array_equal(last.final_observations, tape[STEPS[name] - 2].observations)
    assert not np.array_equal(last.final_observations, last.observations)
    environments.close()


def test_the_first_frame_of_a_later_episode_is_its_own(lab: str) -> None:
    """Right after a second reset the engine can still show the episode before."""
    environments = envs.make(SEEKAVOID, 1)
    forward = np.array([0])
    environments.reset(3)
    for _ in range(STEPS[SEEKAVOID] - 1):
        environments.step(forward)
    first = environments.step(forward)
    assert first.ended[0]
    second = environments.step(forward)
    moved = np.abs(second.observations.astype(int) - first.observations).mean()
    assert first.final_observations is not None
    across = np.abs(first.final_observations.astype(int) - first.observations).mean()
    if lab == "fake":
        assert first.observations[0, 0, 0, 0] == 2  # So many frames are played.
    else:
        assert moved < across
    environments.close()


@pytest.mark.parametrize(("level", "steps"), [("seekavoid_arena_01", 60), ("lt_chasm", 600)])
def test_the_same_seed_gives_the_same_episode(level: str, steps: int, lab: str) -> None:
    """Bots in lt_chasm meet the player late, and are drawn from another generator."""
    environments, again = (envs.make(f"labyrinth/{level}", 2) for _ in range(2))
    tape = play(environments, 5, steps)
    assert same(tape, play(again, 5, steps))
    assert same(tape, play(environments, 5, steps))  # A second reset of the same environments.
    assert not same(tape, play(again, 6, steps))
    environments.close()
    again.close()


def test_images_can_be_grey_and_stacked(lab: str) -> None:
    options = GREY.model_copy(update={"frame_stack": 4})
    environments, single = envs.make(SEEKAVOID, 1, options), envs.make(SEEKAVOID, 1, GREY)
    assert environments.observation_shape == (4, 84, 84)
    assert single.observation_shape == (1, 84, 84)
    first = single.reset(9)
    stacked = environments.reset(9)
    assert (stacked == np.tile(first, (1, 4, 1, 1))).all()
    seen = [first]
    for action in (0, 4, 4, 5, 0, 1):
        seen.append(single.step(np.array([action])).observations)
        came = environments.step(np.array([action])).observations
        before = [seen[max(0, len(seen) - back)] for back in (4, 3, 2, 1)]
        assert np.array_equal(came, np.concatenate(before, axis=1))
    environments.close()
    single.close()


def test_a_stack_begins_anew_with_an_episode(lab: str) -> None:
    environments = envs.make(SEEKAVOID, 1, EnvironmentOptions(frame_stack=3))
    tape = play(environments, 0, STEPS[SEEKAVOID])
    last = tape[-1]
    assert last.ended[0]
    assert last.final_observations is not None
    assert np.array_equal(last.final_observations[:, :6], tape[-2].observations[:, 3:])
    newest = last.observations[:, 6:]
    assert np.array_equal(last.observations, np.tile(newest, (1, 3, 1, 1)))
    environments.close()


def test_grey_is_the_luminance() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    image[0] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert grey(image).tolist() == [[[76], [150], [29], [255]]]


@pytest.mark.parametrize(("actions", "count"), [("impala", 9), ("unreal", 6)])
def test_there_are_two_sets_of_actions(actions: str, count: int, lab: str) -> None:
    options = EnvironmentOptions.under(actions)
    assert options.lab_actions == actions
    assert options.rules(SEEKAVOID) == actions
    assert envs.describe(SEEKAVOID, options)[:2] == ((3, 84, 84), count)
    assert len(set(ACTIONS[options.lab_actions])) == count


def test_the_rule_of_the_fake_can_be_learned_from_what_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Colours, sides and actions are where they belong: who looks to the lit side is paid at every step."""
    monkeypatch.syspath_prepend(str(FAKE))
    environments = envs.make(SEEKAVOID, 2)

    def look_to_the_light(seen: NDArray[Any]) -> NDArray[np.int64]:
        return np.where(seen[:, 0, :, 42:].mean((1, 2)) > seen[:, 0, :, :42].mean((1, 2)), 5, 4)

    played = first_episodes(environments, 1, look_to_the_light, 1000)
    assert played.lengths.tolist() == [300, 300]
    assert played.returns.tolist() == [300.0, 300.0]
    environments.close()


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "level"),
    [
        ("labyrinth/lt_chasm", "lt_chasm"),
        ("dmlab_gym/lt_chasm-v0", "lt_chasm"),
        ("dmlab_gym:dmlab_gym/lt_chasm-v0", "lt_chasm"),
        ("dmlab_gym/seekavoid_arena_01-v0", "seekavoid_arena_01"),
        ("labyrinth/contributed/dmlab30/explore_goal_locations_small",
         "contributed/dmlab30/explore_goal_locations_small"),
        ("dmlab_gym/explore_goal_locations_small-v0",
         "contributed/dmlab30/explore_goal_locations_small"),
    ],
)  # fmt: skip
def test_names_of_levels(task: str, level: str) -> None:
    assert find_level(str(FAKE), level_named(task)) == level


def test_short_names_of_levels() -> None:
    assert short_name("labyrinth/lt_chasm") == "lt_chasm"
    assert short_name("dmlab_gym/lt_chasm-v0") == "lt_chasm"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("stairway_to_melon_01", "stairway_to_melon"), ("lt_chasms", "lt_chasm"), ("qqq", "lt_chasm")],
)
def test_a_level_that_is_none_gets_the_nearest_names(wrong: str, near: str, lab: str) -> None:
    with pytest.raises(UserError, match="did you mean") as refused:
        envs.make(f"labyrinth/{wrong}", 1)
    assert f"labyrinth/{near}" in str(refused.value).split("did you mean")[1]
    assert "\n" not in str(refused.value)


def test_another_version_of_a_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"did you mean dmlab_gym/lt_chasm-v0\?"):
        envs.make("dmlab_gym/lt_chasm-v1", 1)


def test_without_the_engine_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    """Blocked, not merely absent: this holds wherever the engine is installed."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['deepmind_lab'] = None")
    command = ["-m", "launch.train", "laptop", "--tasks", SEEKAVOID, "--serial"]
    done = subprocess.run(
        [sys.executable, *command, "--folder", str(tmp_path / "runs")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert MISSING in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
