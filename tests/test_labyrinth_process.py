"""The process in which DeepMind Lab plays, what it leaves behind, and Gymnasium's environment of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pathnet_rl import envs
from pathnet_rl.envs.labyrinth import MISSING
from pathnet_rl.envs.labyrinth_levels import LevelCache
from pathnet_rl.errors import UserError
from tests.labs import FAKE, lab
from tests.support import ROOT, TapeDisplay, run_experiment, tiny_config
from tests.test_labyrinth import SEEKAVOID

__all__ = ["lab"]


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


def _python(script: str, tmp_path: Path, *first: str) -> subprocess.CompletedProcess[str]:
    """Run by a Python that finds what this one finds, and before that what lies in `first`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*first, *sys.path]),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_gymnasium_environment_passes_gymnasiums_own_check(lab: str, tmp_path: Path) -> None:
    done = _python(CHECK, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("passed\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"colour": "purple"}, "colour is 'purple'; choose from 'rgb', 'grey'"),
        ({"actions": "nope"}, "actions is 'nope'; choose from 'impala', 'unreal'"),
        ({"render_mode": "human"}, "render_mode is 'human'; choose from None, 'rgb_array'"),
        ({"settings": {"botCount": 2}}, "text to text"),
        ({"settings": {"width": "32"}}, "width is not to be changed"),
        ({"settings": {"bogus": "1"}}, 'Invalid setting: "bogus" = "1"'),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_line(
    arguments: dict[str, Any], said: str, lab: str, tmp_path: Path
) -> None:
    done = _python(ONE_LINE.format(arguments=arguments), tmp_path)
    assert said in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert (done.returncode, done.stderr) == (0, "")


ONE_LINE = """
from pathnet_rl.envs.labyrinth import LabyrinthEnvironment
from pathnet_rl.errors import UserError
try:
    LabyrinthEnvironment("lt_chasm", **{arguments!r}).reset(seed=1)
except UserError as error:
    assert error.__suppress_context__ or error.__context__ is None
    print(error)
"""


def test_without_the_engine_gymnasium_shows_one_error(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['deepmind_lab'] = None")
    script = "import gymnasium; gymnasium.make('pathnet_rl.envs:labyrinth/lt_chasm')"
    done = _python(script, tmp_path, str(tmp_path))
    assert done.returncode == 1
    assert MISSING in done.stderr
    assert done.stderr.count("Traceback") == 1


def test_a_setting_of_the_engine_is_taken(lab: str, tmp_path: Path) -> None:
    script = ONE_LINE.format(arguments={"settings": {"botCount": "2"}})
    done = _python(script, tmp_path)
    assert done.returncode == 0
    assert "botCount" not in done.stdout + done.stderr


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
    whole = compiled.read_bytes()
    flipped = whole.replace(b"walls", b"halls")
    for left in (whole[:-30], whole[30:], flipped, b""):
        kept.write_bytes(left)
        assert not cache.fetch("../a key", str(wanted))
    kept.unlink()
    kept.mkdir()
    assert not cache.fetch("../a key", str(wanted))
    cache.write("../a key", str(compiled))
    assert [path.name for path in kept.parent.iterdir()] == [kept.name], "nothing half is left"
    assert "is not kept" in capfd.readouterr().err
    monkeypatch.setenv("XDG_CACHE_HOME", str(compiled / "no folder"))
    LevelCache().write("another", str(compiled))
    assert "is not kept" in capfd.readouterr().err
