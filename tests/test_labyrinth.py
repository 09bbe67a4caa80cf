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
from pathnet_rl.envs.labyrinth_levels import PAPER, LevelCache, find_level, level_named
from pathnet_rl.envs.registry import short_name
from pathnet_rl.errors import UserError
from pathnet_rl.first_episodes import first_episodes
from tests.labs import FAKE, lab
from tests.support import ROOT, TapeDisplay, run_experiment, tiny_config
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
    assert envs.describe(SEEKAVOID, options) == ((3, 84, 84), count)
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


# Its process -------------------------------------------------------------------------------------


def test_what_the_engine_prints_is_in_the_log_alone(
    lab: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environments = envs.make(SEEKAVOID, 1, log=tmp_path / "log")
    environments.reset(0)
    environments.close()
    assert capfd.readouterr() == ("", "")
    if lab == "fake":
        assert "FakeArena" in (tmp_path / "log").read_text()


def test_nothing_is_left_in_the_folder_for_temporary_files(
    lab: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    environments = envs.make(SEEKAVOID, 1)
    environments.reset(0)
    assert any(tmp_path.iterdir())
    environments.close()
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_dies_is_started_again_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setenv("FAKE_LAB", "dies-at=350")
    monkeypatch.setenv("FAKE_LAB_DIED", str(tmp_path / "died"))
    display = TapeDisplay()
    config = tiny_config(
        tmp_path,
        tasks=(SEEKAVOID, SEEKAVOID),
        agent_steps=(3600,),
    )
    run_experiment(config, display=display)
    assert any("SIGSEGV" in note for note in display.notes)
    assert display.shown[-1].restarts == 1
    assert "freed a freed pointer" in (tmp_path / "tiny" / "environments.log").read_text()


def test_an_engine_that_cannot_begin_an_episode_ends_the_command_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(FAKE))
    monkeypatch.setenv("FAKE_LAB", "fails-to-begin")
    environments = envs.make(SEEKAVOID, 1)
    with pytest.raises(UserError, match="exit status 1") as refused:
        environments.reset(0)
    assert "the map cannot be loaded" in str(refused.value)
    environments.close()


CHECK = """
import sys
import gymnasium
from gymnasium.utils.env_checker import check_env
environment = gymnasium.make("pathnet_rl.envs:labyrinth/seekavoid_arena_01", disable_env_checker=True)
check_env(environment.unwrapped, skip_render_check=True)
environment.reset(seed=1)
for step in range(300):
    _, _, terminated, truncated, _ = environment.step(0)
    assert terminated == (step == 299)
    assert not truncated
try:
    environment.step(0)
except gymnasium.error.ResetNeeded:
    environment.close()
    print("passed")
"""


def test_the_gymnasium_environment_passes_gymnasiums_own_check(lab: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECK],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("passed\n")


# Maps --------------------------------------------------------------------------------------------


def test_a_compiled_map_is_kept_and_what_cannot_be_read_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import zipfile

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache, wanted, compiled = LevelCache(), tmp_path / "wanted.pk3", tmp_path / "compiled.pk3"
    assert not cache.fetch("../a key", str(wanted))
    with zipfile.ZipFile(compiled, "w") as file:
        file.writestr("maps/maze.bsp", "walls")
    cache.write("../a key", str(compiled))
    assert cache.fetch("../a key", str(wanted))
    assert wanted.read_bytes() == compiled.read_bytes()
    (kept,) = (tmp_path / "cache").rglob("*.pk3")
    kept.write_bytes(compiled.read_bytes()[:-30])
    assert not cache.fetch("../a key", str(wanted))
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled / "no folder"))
    LevelCache().write("another", str(compiled))
    assert "is not kept" in capfd.readouterr().err
