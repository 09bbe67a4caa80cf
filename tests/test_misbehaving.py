"""Environments that fail, pay or show what is no number, tell anything, or show images of another kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from pathnet_rl import envs
from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.envs.gymnasium_task import GymnasiumEnvironments
from pathnet_rl.envs.interface import MOST_LOST_IN_A_ROW
from pathnet_rl.envs.meaning import Meaning
from pathnet_rl.errors import UserError
from pathnet_rl.watching import Interrupted
from tests import misbehaving
from tests.events import read_scalars
from tests.misbehaving import Images
from tests.support import TapeDisplay, run_experiment, tiny_config
from tests.test_envs import check, play
from workers import pathway_worker

PREFIX = "tests.misbehaving:tests/"


def task(way: str) -> str:
    return f"{PREFIX}{way}-v0"


@pytest.mark.parametrize("isolate", [False, True])
def test_an_exception_costs_one_episode_of_one_environment(isolate: bool) -> None:
    misbehaving.RaisesOnce.steps_of_all = 0
    environments = envs.make(task("RaisesOnce"), 2, EnvironmentOptions(isolate=isolate))
    tape = play(environments, 3, 30)
    check(environments, tape)
    assert [(n, list(step.lost)) for n, step in enumerate(tape) if step.lost] == [(7, [0])]
    lost = tape[7]
    assert lost.lost[0] == "ArithmeticError: the solver did not converge"
    assert lost.ended.tolist() == lost.truncated.tolist() == [True, False]
    assert lost.rewards[0] == 0.0
    assert lost.final_observations is not None
    assert (lost.final_observations[0] == tape[6].observations[0]).all()
    assert lost.observations[0][1] == 0  # The next one has begun,
    assert lost.observations[0][0] != tape[6].observations[0][0]  # and is another one.
    assert [n for n, step in enumerate(tape) if step.ended[1]] == [9, 19, 29]
    environments.close()


def test_one_that_fails_again_and_again_ends_with_its_own_error() -> None:
    environments = envs.make(task("RaisesAlways"), 1)
    with pytest.raises(UserError, match="ArithmeticError: the solver did not converge") as refused:
        play(environments, 0, 100)
    assert f"failed {MOST_LOST_IN_A_ROW + 1} times" in str(refused.value)
    assert task("RaisesAlways").partition(":")[2] in str(refused.value)
    environments.close()


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("CannotBegin", "ConnectionError: no server"),
        ("PaysNothingKnown", "paid nan in step 3 of an episode"),
        ("ShowsInfinity", "shows what is no number (inf), after 4 steps of an episode"),
        ("OldInterface", "no (observation, info): is its interface that of gym before"),
    ],
)
@pytest.mark.parametrize("isolate", [False, True])
def test_what_cannot_be_learned_from_is_named_as_the_environments(
    way: str, said: str, isolate: bool
) -> None:
    environments = envs.make(task(way), 2, EnvironmentOptions(isolate=isolate))
    with pytest.raises(UserError) as refused:
        play(environments, 0, 100)
    assert said in str(refused.value)
    assert f"tests/{way}-v0" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "learning" not in str(refused.value)
    environments.close()


def test_numbers_that_no_rate_could_learn_from_are_named_where_learning_fails(
    tmp_path: Path,
) -> None:
    config = tiny_config(tmp_path, tasks=(task("ShowsMuch"),), agent_steps=(20_000,))
    with pytest.raises(
        UserError, match=r"diverged.*observations, which reach 1\.8e\+18, to about 1, or"
    ):
        run_experiment(config)


def test_a_constructor_that_raises_is_answered_in_one_line() -> None:
    with pytest.raises(UserError, match=r"CannotBeMade-v0 cannot be made: KeyError: 'licence'"):
        envs.make(task("CannotBeMade"), 1)


@pytest.mark.parametrize("name", [task("TellsAnything"), "tests.misbehaving:Unversioned"])
def test_what_it_tells_beside_and_how_it_is_called_does_not_matter(name: str) -> None:
    environments = envs.make(name, 3)
    tape = play(environments, 0, 25)
    check(environments, tape)
    assert sum(int(step.ended.sum()) for step in tape) == 6
    environments.close()


# In a run ----------------------------------------------------------------------------------------


def test_a_run_goes_on_after_an_exception_and_says_so_once(tmp_path: Path) -> None:
    misbehaving.RaisesOnce.steps_of_all = 0
    display = TapeDisplay()
    config = tiny_config(tmp_path, tasks=(task("RaisesOnce"),), agent_steps=(1200,))
    run_experiment(config, display=display)
    said = [note for note in display.notes if "did not converge" in note]
    assert len(said) == 1
    assert display.shown[-1].restarts == 1
    lengths = {
        row.split(",")[-1] for row in (tmp_path / "tiny/returns.csv").read_text().split()[1:]
    }
    assert lengths == {"10"}


def test_a_run_that_ends_by_its_environments_error_has_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def after_a_while(self: misbehaving.Behaving) -> None:
        nonlocal steps
        steps += 1
        if steps > 1500:
            raise ArithmeticError("the disk of the simulator is full")

    monkeypatch.setattr(misbehaving.Behaving, "_misbehave", after_a_while)
    config = tiny_config(tmp_path, tasks=("tests.misbehaving:Unversioned",), agent_steps=(3000,))
    with pytest.raises(UserError, match="the disk of the simulator is full"):
        run_experiment(config)
    monkeypatch.undo()
    display = TapeDisplay()
    run_experiment(config, display=display)
    (going_on,) = [note for note in display.notes if "going on from" in note]
    assert int(going_on.split("going on from ")[1].split(" ")[0].replace(",", "")) > 1000


def test_gradients_that_are_no_numbers_are_not_pushed_and_end_the_run_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathnet_rl.pathway_weights import PathwayWeights

    norm, calls = PathwayWeights.scale_to_norm, 0

    def sometimes_nothing(self: PathwayWeights, largest: float) -> float:
        nonlocal calls
        calls += 1
        return float("nan") if 5 <= calls <= 8 or calls > 60 else norm(self, largest)

    monkeypatch.setattr(PathwayWeights, "scale_to_norm", sometimes_nothing)
    monkeypatch.setattr(pathway_worker, "TELL_SECONDS", 0.0)
    config = tiny_config(tmp_path, agent_steps=(4000,), report_seconds=0.01)
    with pytest.raises(UserError, match="11 gradients in a row"):
        run_experiment(config)
    monkeypatch.undo()
    events = tmp_path / "tiny/tensorboard/pathnet/1-CartPole"
    assert 4.0 in read_scalars(events)["run/refused_updates"]
    stops = iter([False])
    display = TapeDisplay()
    with pytest.raises(Interrupted):
        run_experiment(config, stop_requested=lambda: next(stops, True), display=display)
    (going_on,) = [note for note in display.notes if "going on from" in note]
    assert f"from {16 * 56:,} agent steps" in going_on  # Of 60 rollouts 4 were refused.


# What an observation means -----------------------------------------------------------------------

BITS = Box(0, 1, (10, 10, 4), np.bool_)  # type: ignore[arg-type]
BYTES = Box(0, 255, (84, 80, 3), np.uint8)


def shown(space: Box, options: EnvironmentOptions | None = None) -> tuple[Any, str]:
    environments = GymnasiumEnvironments(
        "it", 2, lambda: Images(space), options or EnvironmentOptions()
    )
    seen = environments.reset(0)
    assert seen.shape == (2, *environments.observation_shape)
    assert seen.dtype == environments.observation_dtype
    return seen[1], environments.meaning


@pytest.mark.parametrize(
    ("space", "shape", "dtype", "words"),
    [
        (BYTES, (3, 84, 80), "uint8", "images 84 x 80 x 3 (channels last), uint8, 0..255"),
        (Box(0, 255, (4, 84, 84), np.uint8), (4, 84, 84), "uint8",
         "images 4 x 84 x 84 (channels first), uint8, 0..255"),
        (Box(0.0, 1.0, (10, 10, 7), np.float32), (7, 10, 10), "float32",
         "images 10 x 10 x 7 (channels last), float32, 0..1"),
        (Box(-1.0, 1.0, (1, 9, 9), np.float64), (1, 9, 9), "float32",
         "images 1 x 9 x 9 (channels first), float64, -1..1"),
        (BITS, (4, 10, 10), "uint8",
         "images 10 x 10 x 4 (channels last), bool, 0..1"),
        (Box(0, 1, (10, 10, 4), np.uint8), (4, 10, 10), "float32",
         "images 10 x 10 x 4 (channels last), uint8, 0..1"),
    ],
)  # fmt: skip
def test_images_are_taken_by_their_shape_type_and_bounds(
    space: Box, shape: tuple[int, ...], dtype: str, words: str
) -> None:
    image, meaning = shown(space)
    assert image.shape == shape
    assert image.dtype == np.dtype(dtype)
    assert image[0, 0, 0] == 255
    assert (image.ravel()[1:] == 0).all()
    assert meaning == words


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (Box(0, 255, (84, 84, 84), np.uint8), "--channels first or --channels last"),
        (Box(0, 255, (3, 84, 3), np.uint8), "--channels first or --channels last"),
        (Box(-np.inf, np.inf, (10, 10, 3), np.float32), "--image-range LOW HIGH"),
        (Box(0, 255, (84, 84), np.uint8), "an image of three axes"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_option_that_settles_it(
    space: Box, said: str
) -> None:
    with pytest.raises(UserError, match="it observes") as refused:
        Meaning.of("it", space, EnvironmentOptions())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("space", "options", "said"),
    [
        (Box(0, 255, (84, 84, 3), np.uint8), {"image_range": (0, 1)}, "--image-range 0 1 contradicts"),
        (Box(0, 255, (84, 84, 3), np.uint8), {"image_range": (0, 300)}, "between 0 and 255"),
        (BITS, {"image_range": (0, 255)}, "between 0 and 1"),
        (Box(0, 1, (84, 84, 3), np.float32), {"image_range": (0, 255)}, "between 0 and 1"),
        (Box(0, 255, (84, 84, 3), np.uint8), {"channels": "first"}, "--channels first contradicts"),
        (Box(0, 255, (4, 84, 84), np.uint8), {"channels": "last"}, "--channels last contradicts"),
    ],
)  # fmt: skip
def test_options_that_contradict_what_is_clear_are_refused(
    space: Box, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match="it observes images") as refused:
        Meaning.of("it", space, EnvironmentOptions.model_validate(options))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("space", "options"),
    [
        (Box(0, 255, (84, 84, 3), np.uint8), {"image_range": (0, 255), "channels": "last"}),
        (Box(0, 1, (6, 7, 20), np.uint8), {"channels": "last"}),
        (Box(0, 1e30, (84, 84, 3), np.float32), {"image_range": (0, 1)}),
    ],
)
def test_options_that_agree_or_say_more_are_taken(space: Box, options: dict[str, Any]) -> None:
    meaning = Meaning.of("it", space, EnvironmentOptions.model_validate(options))
    assert meaning.shown(np.zeros((1, *space.shape), space.dtype)).max() == 0
    assert meaning.channels_last


def test_options_settle_what_is_not_clear() -> None:
    cube = Box(0, 255, (16, 16, 16), np.uint8)
    for channels, place in (("first", (0, 0, 1)), ("last", (1, 0, 0))):
        marked = np.zeros((1, 16, 16, 16), np.uint8)
        marked[0, 0, 0, 1] = 9
        meaning = Meaning.of("it", cube, EnvironmentOptions(channels=channels))  # type: ignore[arg-type]
        assert meaning.shown(marked)[0][place] == 9
    unbounded = Box(-np.inf, np.inf, (10, 10, 3), np.float32)
    meaning = Meaning.of("it", unbounded, EnvironmentOptions(image_range=(-2.0, 2.0)))
    assert meaning.shown(np.full((1, 10, 10, 3), 2.0, np.float32)).max() == 255
    assert meaning.shown(np.full((1, 10, 10, 3), -2.0, np.float32)).min() == 0
