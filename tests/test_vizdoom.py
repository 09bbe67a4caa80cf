"""ViZDoom's scenarios as tasks, in the real engine; and the line for those who do not have it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.vizdoom import ACTIONS, SCENARIOS, VizdoomScenario
from pathnet_rl.errors import UserError
from tests.scenarios import (
    ATTACK,
    BACKWARD,
    FORWARD,
    LEFT,
    RIGHT,
    TURN_LEFT,
    act,
    needs_vizdoom,
    same,
)
from tests.support import ROOT, command
from tests.test_envs import check, play


@pytest.fixture(scope="module")
def made() -> Iterator[dict[str, VizdoomScenario]]:
    names = ("basic", "health_gathering", "my_way_home", "deadly_corridor")
    scenarios = {name: VizdoomScenario(name) for name in names}
    yield scenarios
    for scenario in scenarios.values():
        scenario.close()


# Without the package ------------------------------------------------------------------------------


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "vizdoom", None
    )  # An import then fails, as if it were not there.
    with pytest.raises(UserError, match="needs the package vizdoom") as refused:
        envs.make("vizdoom/basic", 2)
    line = str(refused.value)
    assert "make vizdoom-transfer" in line
    assert "pip install 'pathnet-rl[vizdoom]'" in line
    assert "\n" not in line


def test_without_the_package_a_run_is_refused_before_there_is_anything(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "vizdoom.py").write_text("raise ImportError('hidden')\n")
    refused = subprocess.run(
        command("vizdoom", "--serial", "--folder", str(tmp_path / "runs")),
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "hidden")},
    )
    assert refused.returncode == 1
    assert "pip install 'pathnet-rl[vizdoom]'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("vizdoom/basik", "vizdoom/basic"), ("vizdoom/MyWayHome", "vizdoom/my_way_home"),
     ("vizdom/deadly_corridor", "vizdoom/deadly_corridor")],
)  # fmt: skip
def test_an_unknown_scenario_is_answered_with_the_nearest_ones(wrong: str, near: str) -> None:
    with pytest.raises(UserError, match="unknown task") as refused:
        envs.make(wrong, 1)
    assert near in str(refused.value).split("did you mean")[1]


def test_a_scenario_like_no_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(UserError, match="my_way_home"):
        envs.make("vizdoom/qqqqqq", 1)


# What a task shows --------------------------------------------------------------------------------


@needs_vizdoom
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_one_shape_of_image_and_one_set_of_actions(scenario: str) -> None:
    environments = envs.make(f"vizdoom/{scenario}", 2)
    assert environments.observation_shape == (3, 84, 84)
    assert environments.actions == len(ACTIONS) == 9
    tape = play(environments, 1, 40)
    check(environments, tape)
    assert tape[0].observations.dtype == np.uint8
    assert tape[-1].observations.std() > 5
    assert environments.elsewhere_seconds > 0
    environments.close()


@needs_vizdoom
def test_colour_is_an_option() -> None:
    assert envs.describe("vizdoom/basic", EnvironmentOptions(colour="grey"))[:2] == ((1, 84, 84), 9)
    assert envs.describe("vizdoom/basic", EnvironmentOptions(frame_stack=4))[:2] == (
        (12, 84, 84),
        9,
    )


@needs_vizdoom
@pytest.mark.filterwarnings("ignore:.*alternative render modes")
@pytest.mark.parametrize("grey", [False, True])
def test_gymnasiums_own_checks_pass(grey: bool) -> None:
    scenario = VizdoomScenario("basic", grey=grey)
    check_env(scenario)
    scenario.close()


@needs_vizdoom
@pytest.mark.parametrize("name", ["basic", "health_gathering", "my_way_home", "deadly_corridor"])
def test_a_seed_is_the_same_to_the_bit_in_a_fresh_engine_and_in_a_used_one(
    name: str, made: dict[str, VizdoomScenario]
) -> None:
    actions = np.random.default_rng(0).integers(len(ACTIONS), size=60).tolist()
    used = made[name]
    first = act(used, actions)
    assert not same(first, act(used, actions, seed=4))
    assert same(first, act(used, actions))
    fresh = VizdoomScenario(name)
    assert same(first, act(fresh, actions))
    fresh.close()


@needs_vizdoom
def test_a_button_that_a_scenario_has_not_does_nothing(made: dict[str, VizdoomScenario]) -> None:
    basic = made["basic"]
    idle = act(basic, [FORWARD] * 9)
    assert same(idle, act(basic, [TURN_LEFT] * 9))
    assert not same(idle, act(basic, [LEFT] * 9))
    assert not same(act(basic, [RIGHT] * 9), act(basic, [LEFT] * 9))
    home = made["my_way_home"]
    assert same(act(home, [BACKWARD] * 9), act(home, [ATTACK] * 9))


@needs_vizdoom
def test_one_step_is_four_tics(made: dict[str, VizdoomScenario]) -> None:
    single = VizdoomScenario("basic", frame_skip=1)
    slow, fast = act(single, [LEFT] * 12), act(made["basic"], [LEFT] * 3)
    for step in range(1, 4):
        assert (slow[4 * step][0] == fast[step][0]).all()
        assert sum(tic[1] for tic in slow[4 * step - 3 : 4 * step + 1]) == fast[step][1]
    single.close()


# Rewards and ends ---------------------------------------------------------------------------------


@needs_vizdoom
def test_rewards_are_the_scenarios_own(made: dict[str, VizdoomScenario]) -> None:
    assert [step[1] for step in act(made["basic"], [LEFT] * 3)] == [0, -4, -4, -4]
    assert [step[1] for step in act(made["health_gathering"], [FORWARD] * 3)] == [0, 4, 4, 4]
    home = act(made["my_way_home"], [FORWARD] * 3)
    assert [step[1] for step in home[1:]] == pytest.approx([-0.0004] * 3)
    assert sum(step[1] for step in act(made["deadly_corridor"], [FORWARD] * 3)) > 10


@needs_vizdoom
def test_the_time_limit_cuts_and_the_last_image_is_kept(made: dict[str, VizdoomScenario]) -> None:
    tape = act(made["basic"], [FORWARD] * 100)
    assert len(tape) == 1 + 75  # 300 tics.
    assert tape[-1][2:] == (False, True)
    assert sum(step[1] for step in tape) == -300
    assert (tape[-1][0] == tape[-2][0]).all()
    assert tape[-1][0].std() > 5


@needs_vizdoom
def test_death_terminates(made: dict[str, VizdoomScenario]) -> None:
    tape = act(made["health_gathering"], [LEFT] * 200)
    assert tape[-1][2:] == (True, False)
    assert tape[-1][1] < -90
    assert (tape[-1][0] == tape[-2][0]).all()
