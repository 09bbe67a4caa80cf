"""The run folder of a supervised experiment.

runs/<name>/config.json  provenance.json  results/<sequence>/<arm>.jsonl (a line a seed)
            generations.csv  summary.json  results.png  tensorboard/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from pathnet_rl.checkpoint import cannot_write, write_whole
from pathnet_rl.errors import UserError
from pathnet_rl.reading import parse_json, read_bytes
from pathnet_rl.run_folder import Folder
from pathnet_rl.supervised.experiment import MAY_CHANGE, Experiment
from pathnet_rl.supervised.records import SeedResult
from pathnet_rl.supervised.rules import RULES
from pathnet_rl.supervised.tasks import sets_of

_RESULT = TypeAdapter(SeedResult)
_RUN = "run"
"""What a line calls the identity of the run that it is of."""


class ExperimentFolder(Folder[Experiment]):
    """The files of one experiment."""

    may_change = MAY_CHANGE

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment, experiment.folder, experiment.name)

    def anything_learned(self) -> bool:
        return any(
            _may_be_results(file) and file.stat().st_size
            for file in self.path.glob("results/*/*.jsonl")
        )

    def note_resumption(self) -> None:
        """Add this start to provenance.json; seeds, arms and sequences may be more than before."""
        super().note_resumption()
        self.write_config()

    def read(self, sequence: str, arm: str) -> list[SeedResult]:
        """The results that are there, in order of seeds.

        Raises:
            UserError: the file is damaged, or holds something else.
        """
        path = self._file(sequence, arm)
        if not path.exists():
            return []
        try:
            found = [parse_json(line) for line in read_bytes(path).splitlines()]
            runs = {line.pop(_RUN, None) for line in found}
            results = [_RESULT.validate_python(line) for line in found]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise _damaged(path) from error
        seeds = {result.seed for result in results}
        whole = all(_makes_sense(result) for result in results)
        if len(seeds) < len(results) or not whole:
            raise _damaged(path)
        if runs - {self.identity} or {(r.sequence, r.arm) for r in results} - {(sequence, arm)}:
            raise UserError(
                f"{path} holds results of another run, sequence or arm; move it away, and its seeds are run"
            )
        return sorted(results, key=lambda result: result.seed)

    def append(self, results: Sequence[SeedResult]) -> None:
        """Add results of one arm on one sequence to their file, all or none of them."""
        sequence, arm = results[0].sequence, results[0].arm
        path = self._file(sequence, arm)
        self.check_here()
        run = {} if self.identity is None else {_RUN: self.identity}
        lines = [
            json.dumps({**run, **_RESULT.dump_python(result, mode="json")})
            for result in (*self.read(sequence, arm), *results)
        ]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        write_whole(path, "".join(f"{line}\n" for line in lines).encode())

    def everything(self) -> list[SeedResult]:
        """All results that are there: first those of this experiment's arms, in its order.

        Files that are no arm's, and folders that are no sequence's, are others'.
        """
        folders = sorted(path for path in (self.path / "results").glob("*") if path.is_dir())
        there = [folder.name.replace("_to_", ">") for folder in folders]
        found: list[SeedResult] = []
        for sequence in _first(self.config.sequences, filter(_is_sequence, there)):
            files = sorted(self._file(sequence, "any").parent.glob("*.jsonl"))
            mine = [arm.value for arm in self.config.arms]
            for arm in _first(mine, [file.stem for file in files if _may_be_results(file)]):
                found += self.read(sequence, arm)
        return found

    def _file(self, sequence: str, arm: str) -> Path:
        return self.path / "results" / sequence.replace(">", "_to_") / f"{arm}.jsonl"


def _makes_sense(result: SeedResult) -> bool:
    counts = (result.seed, result.first_generations, result.overlap)
    return (
        0 < len(result.accuracy) == result.generations
        and all(0.0 <= accuracy <= 1.0 for accuracy in result.accuracy)
        and all(0 <= count < 2**53 for count in counts)
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; mend it, or move it away and its seeds are run again")


def _may_be_results(file: Path) -> bool:
    return file.stem in RULES and _is_sequence(file.parent.name.replace("_to_", ">"))


def _is_sequence(text: str) -> bool:
    try:
        return all(sets_of(task) for task in text.split(">")) and ">" in text
    except UserError:
        return False


def _first(mine: Iterable[str], others: Iterable[str]) -> list[str]:
    """What is there, mine first."""
    there = list(others)
    return [*(name for name in mine if name in there), *(n for n in there if n not in set(mine))]
