"""The run folder of a supervised experiment.

runs/<name>/config.json  provenance.json  results/<sequence>/<arm>.jsonl (a line a seed)
            generations.csv  summary.json  results.png  tensorboard/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from pathnet_rl.checkpoint import cannot_write
from pathnet_rl.errors import UserError
from pathnet_rl.reading import read_bytes
from pathnet_rl.run_folder import Folder
from pathnet_rl.supervised.experiment import MAY_CHANGE, Experiment
from pathnet_rl.supervised.records import SeedResult

_RESULT = TypeAdapter(SeedResult)


class ExperimentFolder(Folder[Experiment]):
    """The files of one experiment."""

    may_change = MAY_CHANGE

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(experiment, experiment.folder, experiment.name)

    def anything_learned(self) -> bool:
        return any(self.path.glob("results/*/*.jsonl"))

    def note_resumption(self) -> None:
        """Add this start to provenance.json; seeds, arms and sequences may be more than before."""
        super().note_resumption()
        self.write_config()

    def read(self, sequence: str, arm: str) -> list[SeedResult]:
        """The results that are there, in order of seeds.

        Raises:
            UserError: the file is damaged.
        """
        path = self._file(sequence, arm)
        if not path.exists():
            return []
        try:
            lines = read_bytes(path).decode().splitlines()
            results = [_RESULT.validate_json(line) for line in lines]
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        seeds = {result.seed for result in results}
        whole = all(_makes_sense(result, sequence, arm) for result in results)
        if len(seeds) < len(results) or not whole:
            raise _damaged(path)
        return sorted(results, key=lambda result: result.seed)

    def append(self, results: Sequence[SeedResult]) -> None:
        """Add results of one arm on one sequence to their file, all or none of them."""
        sequence, arm = results[0].sequence, results[0].arm
        path = self._file(sequence, arm)
        lines = [_RESULT.dump_json(r).decode() for r in (*self.read(sequence, arm), *results)]
        partial = path.with_suffix(".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text("".join(f"{line}\n" for line in lines))
            partial.replace(path)
        except OSError as error:
            raise cannot_write(path, error) from error

    def everything(self) -> list[SeedResult]:
        """All results that are there: first those of this experiment's arms, in its order."""
        folders = sorted((self.path / "results").glob("*"))
        there = [folder.name.replace("_to_", ">") for folder in folders]
        found: list[SeedResult] = []
        for sequence in _first(self.config.sequences, there):
            files = sorted(self._file(sequence, "any").parent.glob("*.jsonl"))
            mine = [arm.value for arm in self.config.arms]
            for arm in _first(mine, [file.stem for file in files]):
                found += self.read(sequence, arm)
        return found

    def _file(self, sequence: str, arm: str) -> Path:
        return self.path / "results" / sequence.replace(">", "_to_") / f"{arm}.jsonl"


def _makes_sense(result: SeedResult, sequence: str, arm: str) -> bool:
    """It is of this arm on this sequence, which are names of folders as well, and its numbers are some."""
    counts = (result.seed, result.first_generations, result.overlap)
    return (
        (result.sequence, result.arm) == (sequence, arm)
        and 0 < len(result.accuracy) == result.generations
        and all(0.0 <= accuracy <= 1.0 for accuracy in result.accuracy)
        and all(0 <= count < 2**53 for count in counts)
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; mend it, or move it away and its seeds are run again")


def _first(mine: Iterable[str], there: Sequence[str]) -> list[str]:
    """What is there, mine first."""
    return [*(name for name in mine if name in there), *(n for n in there if n not in set(mine))]
