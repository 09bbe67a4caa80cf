"""Options that change nothing are told, contradictions are refused, and misspelt tasks are said first."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from launch import compare, train
from launch.command_line import given_options
from launch.display import terminal
from pathnet_rl.environment_options import WHY_IDLE, EnvironmentOptions, idle_options
from pathnet_rl.errors import UserError
from tests.support import tiny_config

PONG, CHASM, BASIC, MAZE, POLE = (
    {"ALE/Pong-v5": (4, 84, 84)},
    {"labyrinth/lt_chasm": (3, 84, 84)},
    {"vizdoom/basic": (3, 84, 84)},
    {"mine:Maze-v0": (3, 64, 64)},
    {"CartPole-v1": (4,)},
)
IMAGES = {"channels", "image_range", "frame_stack"}


@pytest.mark.parametrize(
    ("tasks", "idle"),
    [
        (PONG, {"lab_actions", "colour", *IMAGES}),
        (CHASM, {"protocol", "isolate"}),
        (BASIC, {"protocol", "lab_actions"}),
        (MAZE, {"protocol", "lab_actions", "colour"}),
        (POLE, {"protocol", "lab_actions", "colour", *IMAGES}),
        (PONG | CHASM, set()),
        (POLE | CHASM, {"protocol"}),
        (PONG | POLE, {"lab_actions", "colour", *IMAGES}),
    ],
)
def test_what_no_task_heeds_is_said(tasks: dict[str, tuple[int, ...]], idle: set[str]) -> None:
    lines = idle_options(EnvironmentOptions.model_fields, tasks)
    flags = {f"--{option.replace('_', '-')} changes nothing" for option in idle}
    assert {line.rpartition(": ")[2] for line in lines} == flags
    assert idle_options((), tasks) == []


def test_every_option_of_environments_is_considered() -> None:
    assert set(WHY_IDLE) == set(EnvironmentOptions.model_fields)


def test_options_are_given_in_all_the_ways_that_the_command_line_takes() -> None:
    words = [
        "cartpole",
        "--protocol",
        "dqn",
        "--lab_actions=unreal",
        "--no-isolate",
        "-x",
        "colour",
    ]
    assert given_options(words) == {"protocol", "lab_actions", "isolate"}


def test_a_run_says_it_once_and_only_of_what_was_given(tmp_path: Path) -> None:
    out = io.StringIO()
    config = tiny_config(tmp_path, agent_steps=(1500,), colour="grey")
    train.train(config, terminal(out, 200), given_options(["--protocol", "dqn"]))
    line = "no task of this run is of ALE: --protocol changes nothing\n"
    assert out.getvalue().count(line) == 1
    assert out.getvalue().count("changes nothing") == 1
    assert out.getvalue().index(line) < out.getvalue().index("agent steps,")


def test_more_finalists_than_pathways_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"2 pathways, and 4 cannot be finalists; lower --evolution"
    ):
        train.read(["laptop", "--evolution.population", "2"])


@pytest.mark.parametrize("read", [train.read, compare.read])
@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("lt_chasms", r"did you mean labyrinth/lt_chasm"),
        ("ALE/Pongg-v5", r"did you mean ALE/Pong-v5"),
        ("ALE/Pong-v5", r"agent_steps has 2 numbers for 1 task; give one for all or one for each"),
    ],
)
def test_a_misspelt_task_is_said_before_what_follows_from_it(
    read: object, task: str, said: str
) -> None:
    """A preset of two tasks has as many numbers of agent steps."""
    assert callable(read)
    with pytest.raises(UserError, match=said):
        read(["labyrinth-laptop", "--tasks", task])
