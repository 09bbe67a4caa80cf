"""The fuzz in its short form, what once failed, and pickles in place of every file that is read.

The long form is `make test-fuzz ARGS='--cases 10000 --seed 7'`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import CORPUS, Fuzz

CASES, SEED = 200, 20261126
PARTS = 4


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    logging.disable(logging.CRITICAL)
    made = Fuzz(tmp_path_factory.mktemp("fuzz"))
    yield made
    made.close()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(PARTS))
def test_any_bytes_give_a_clean_load_or_one_line(part: int, fuzz: Fuzz) -> None:
    for number in range(part, CASES, PARTS):
        door, content = fuzz.draw(SEED, number, every=0)
        fault = fuzz.fault(door, content)
        assert fault is None, f"case {number} of seed {SEED}, {door.name}: {fault}"


def test_what_is_right_is_loaded(fuzz: Fuzz) -> None:
    for door in fuzz.doors.values():
        if door.often:
            before = fuzz.counts[door.name, "loaded"]
            assert fuzz.fault(door, (door.folder / door.file).read_bytes()) is None, door.name
            assert fuzz.counts[door.name, "loaded"] == before + 1, f"{door.name} is refused"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.*")), ids=lambda path: path.name)
def test_what_once_failed_does_not_again(path: Path, fuzz: Fuzz) -> None:
    fault = fuzz.fault(fuzz.doors[path.name.partition(".")[0]], path.read_bytes())
    assert fault is None, fault


def test_a_pickle_in_place_of_any_file_is_not_loaded(fuzz: Fuzz) -> None:
    for door in fuzz.doors.values():
        for content in fuzz.bombs() if door.often else ():
            before = fuzz.counts[door.name, "refused"]
            assert fuzz.fault(door, content) is None, door.name
            # How far a run is, is asked again and again: what cannot be read says nothing. And a report
            # says which runs it leaves out.
            said = fuzz.counts[door.name, "refused"] - before
            assert said == (door.name not in ("progress", "lock", "look-provenance")), door.name


def test_the_fuzz_finds_what_is_wrong(fuzz: Fuzz) -> None:
    """A door that opens to a pickle, one that raises, and one that writes before it refuses."""
    import dataclasses
    import pickle

    from pathnet_rl.errors import UserError

    door = fuzz.doors["progress"]

    def unpickles(path: Path) -> None:
        pickle.loads((path / door.file).read_bytes())

    def raises(path: Path) -> None:
        raise KeyError("x")

    def writes(path: Path) -> None:
        (path / "more").write_text("")
        raise UserError("no")

    plain = fuzz.bombs()[0]
    for read, fault in (
        (unpickles, "executed"),
        (raises, "KeyError"),
        (writes, "another one: more"),
    ):
        found = fuzz.fault(dataclasses.replace(door, read=read), plain)
        assert found is not None
        assert fault in found
