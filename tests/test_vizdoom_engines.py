"""ViZDoom's engines as processes: they end with what started them and leave nothing; a run of the preset."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from launch.presets import PRESETS
from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.vizdoom import SCENARIOS, VizdoomScenario
from tests.scenarios import ATTACK, act, needs_vizdoom, same
from tests.support import ROOT, run_command


def engines() -> list[psutil.Process]:
    """The engines that this process started, or that one which it started did."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.name() == "vizdoom"]


def traces() -> set[str]:
    """What engines may leave in shared memory and among temporary files."""
    shared = {path.name for path in Path("/dev/shm").glob("ViZDoom*")}
    return shared | {path.name for path in Path(tempfile.gettempdir()).glob("pathnet-rl-vizdoom-*")}


def nothing_is_left(before: set[str]) -> bool:
    """Within some seconds: somebody else's engine may be starting just now."""
    deadline = time.monotonic() + 20
    while traces() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    return not traces() - before


@needs_vizdoom
def test_an_engine_leaves_nothing_and_is_out_of_reach_of_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = traces()
    scenario = VizdoomScenario("basic")
    act(scenario, [ATTACK] * 5)
    (engine,) = engines()
    assert os.getsid(engine.pid) != os.getsid(0)
    assert nothing_is_left(before)
    scenario.close()
    assert not engine.is_running()
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@needs_vizdoom
def test_engines_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    before = traces()
    script = (
        "import psutil; from pathnet_rl import envs; made = envs.make('vizdoom/basic', 2); made.reset(0);"
        "print(*(child.pid for child in psutil.Process().children()), flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert owner.stdout is not None
    engines = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
    assert len(engines) == 2
    owner.kill()
    owner.communicate()
    _, alive = psutil.wait_procs(engines, timeout=30)
    assert not alive
    assert nothing_is_left(before)
    assert not list(tmp_path.iterdir())


@needs_vizdoom
def test_a_dead_engine_is_started_again_by_a_reset() -> None:
    scenario = VizdoomScenario("basic")
    before = act(scenario, [ATTACK] * 5)
    used = scenario.elsewhere_seconds
    (engine,) = engines()
    engine.kill()
    with pytest.raises(Exception, match="crash"):
        act(scenario, [ATTACK] * 5)
    assert same(before, act(scenario, [ATTACK] * 5))
    assert scenario.elsewhere_seconds >= used
    scenario.close()


@needs_vizdoom
@pytest.mark.parametrize("isolate", [False, True])
def test_environments_outlive_their_engine(isolate: bool) -> None:
    environments = envs.make("vizdoom/basic", 2, EnvironmentOptions(isolate=isolate))
    environments.reset(0)
    engines()[0].kill()
    steps = [environments.step(np.zeros(2, np.int64)) for _ in range(3)]
    (why,) = steps[0].lost.values()
    assert "crash" in why
    assert not any(step.lost for step in steps[1:])
    environments.close()


# The preset ---------------------------------------------------------------------------------------


def test_the_preset_names_scenarios_that_exist() -> None:
    config = PRESETS["vizdoom"][1]
    assert len(config.tasks) == 2
    assert all(task.removeprefix("vizdoom/") in SCENARIOS for task in config.tasks)


@needs_vizdoom
@pytest.mark.slow
def test_the_preset_runs_and_goes_on(tmp_path: Path) -> None:
    options = (
        "vizdoom", "--serial", "--folder", str(tmp_path), "--agent-steps", "700", "--arms", "pathnet",
        "--evolution.population", "2", "--evolution.rivals", "1", "--evolution.finalists", "0",
        "--replay.most-steps", "20",
    )  # fmt: skip
    done = run_command(*options, timeout=280)
    assert done.returncode == 0, done.stderr
    again = run_command(*options)
    assert "finished" in again.stdout + again.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "launch.replay", str(tmp_path / "vizdoom"), "--most-steps", "20"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
