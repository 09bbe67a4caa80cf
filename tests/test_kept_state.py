"""What the coordinator keeps beside the block: who reads it, and when it goes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from pathnet_rl import block_files
from pathnet_rl.arms import Arm
from pathnet_rl.block_files import COORDINATOR_SUFFIX, UNFINISHED_SUFFIX
from tests.support import tiny_config
from workers.kept_state import KeptState


@pytest.fixture
def block(tmp_path: Path) -> Path:
    path = tmp_path / "pathnet-rl-0-1.block"
    path.touch()
    return path


def test_each_who_takes_a_dead_ones_place_knows_what_was_kept_last(block: Path) -> None:
    assert KeptState(block).recall() is None
    for deaths in range(3):
        one = KeptState(block)
        assert one.recall() == ({"calls": deaths} if deaths else None)
        assert one.deaths == deaths
        one.keep({"calls": 0})
        one.keep({"calls": deaths + 1})


def test_who_is_killed_while_it_writes_leaves_what_was_there(block: Path) -> None:
    KeptState(block).keep({"calls": 1})
    block.with_suffix(UNFINISHED_SUFFIX).write_text('{"deaths": 0, "sta')
    assert KeptState(block).recall() == {"calls": 1}


def test_deaths_are_said_once(block: Path) -> None:
    driver, one = KeptState(block), KeptState(block)
    assert driver.news() == []
    one.keep({})
    assert driver.news() == []
    for _ in range(2):
        another = KeptState(block)
        another.recall()
        another.keep({})
    assert (
        driver.news() == ["the coordinator died and was started again; it knows what it knew"] * 2
    )
    assert driver.news() == []
    assert driver.deaths == 2


def test_nothing_is_kept_once_the_block_is_gone(block: Path) -> None:
    one = KeptState(block)
    one.keep({})
    block_files.remove_block(block)
    one.keep({})
    assert list(block.parent.iterdir()) == []


@pytest.mark.parametrize("suffix", [COORDINATOR_SUFFIX, UNFINISHED_SUFFIX])
def test_what_is_left_without_a_block_is_found_and_removed(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_files, "SHARED_MEMORY", tmp_path)
    config = tiny_config(tmp_path)
    block = block_files.new_block_path(config, Arm.PATHNET)
    left, foreign = block.with_suffix(suffix), block.with_name(f"{block.stem}x{suffix}")
    for remove in (
        partial(block_files.remove_blocks_of, config, Arm.PATHNET),
        partial(block_files.remove_leftovers, tmp_path),
    ):
        block.touch()
        KeptState(block).keep({})
        block.with_suffix(COORDINATOR_SUFFIX).rename(left)
        foreign.write_text("mine")
        remove()
        assert left.exists(), "its block is there, which is nobody's"
        block.unlink()
        monkeypatch.setattr(block_files, "NEW_SECONDS", -1.0)
        remove()
        assert not left.exists()
        assert foreign.exists()
