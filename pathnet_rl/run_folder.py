"""The run folder: `runs/<name>/`, what lies where in it, and whether it can be gone on with.

config.json  provenance.json: what a run is and where it comes from, whatever it learns. And, of games,

summary.json  learning_curves_<n>_<task>.png  random_policy.csv
environments.log          what environments printed that have a process of their own
returns.csv               task, arm, agent_steps, episode_return, length: one row an episode
checkpoints/<arm>/...     the last few of each arm
tensorboard/<arm>/<task>/ events
"""

from __future__ import annotations

import fcntl
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, ClassVar, Generic, Self, TypeVar

from pathnet_rl import checkpoint, saved_state
from pathnet_rl.arms import Arm
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.config_file import NAME, is_new, read_config, read_identity, write_config
from pathnet_rl.errors import UserError
from pathnet_rl.links import check_links
from pathnet_rl.mirror import Mirror, Say
from pathnet_rl.places import check_outlives_job, in_job, is_url, path_of
from pathnet_rl.provenance import provenance, read_starts
from pathnet_rl.saved import Numbers
from pathnet_rl.settings import Settings, differences

Kind = TypeVar("Kind", bound=Settings)


class Folder(ABC, Generic[Kind]):
    """A run's files. Hold it open while the run is at work: it keeps a second process out.

    Of a run at a URL `path` is a copy on this machine, and `upload` makes the URL what the copy is.
    """

    may_change: ClassVar[frozenset[str]]
    """Fields of the configuration with which it is still the same run."""

    def __init__(self, config: Kind, folder: str, name: str) -> None:
        self.config, self._place, self._name = config, folder, name
        self._mirror = Mirror(f"{folder}/{name}") if is_url(folder) else None
        self.path = path_of(folder, name) if self._mirror is None else self._mirror.copy
        self._lock: IO[str] | None = None
        self._identity: str | None = None

    @abstractmethod
    def anything_learned(self) -> bool:
        """Whether something would be lost if the run began anew."""

    @property
    def identity(self) -> str | None:
        """What is said in each checkpoint and result of this run, and in no other's.

        None of a run that was made before they had one, and in a folder that has not been begun.
        """
        # To look at: whoever has it open may have begun it meanwhile.
        return read_identity(self.path) if self._lock is None else self._identity

    def not_believed(self) -> list[str]:
        """A line for whatever lies where the run's own files do and is not used, and why."""
        return []

    @property
    def where(self) -> str:
        """Where people find it: its path, or its URL."""
        return str(Path(self._place) / self._name) if self._mirror is None else self._mirror.url

    def shown(self, text: object) -> str:
        """A path in the folder, or a text with such paths, as people find them."""
        return str(text).replace(str(self.path), self.where)

    def open(self, say: Say | None = None) -> bool:
        """Create the folder, or find that it holds the same run; True if there is one to resume.

        Args:
            say: told why it takes long.

        Raises:
            UserError: it cannot be written, is in use, half-written, or holds another run; or it would be
                lost with the ray job that this is.
        """
        if in_job():
            check_outlives_job(self._place)
        try:
            return self._open(say or str)
        except UserError as error:
            self.close()
            raise UserError(self.shown(error)) from error

    def _open(self, say: Say) -> bool:
        try:
            if self._mirror is not None:
                self._mirror.prepare()
            self.path.mkdir(parents=True, exist_ok=True)
            check_links(self.path)
            self._lock = (self.path / ".lock").open("w")
        except OSError as error:
            # In a folder that several share, the lock alone may be somebody else's.
            raise checkpoint.cannot_write(Path(error.filename or self.path), error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process is working in {self.path}; wait for it or choose another --name"
            ) from error
        except OSError as error:
            say(
                f"the file system of {self.path} has no locks ({error.strerror}): nothing keeps a second"
                " process out of it"
            )
        if self._mirror is not None:
            self._mirror.open(say)
        resumed = self._find()
        for line in self.not_believed():
            say(self.shown(line))
        self.upload()
        return resumed

    def _find(self) -> bool:
        """What lies in the folder is this run (True), or nothing that would be lost if it began anew."""
        if is_new(self.path):
            return self._begin()
        old, self._identity = read_config(
            type(self.config),
            self.path,
            "is not empty and has no readable config.json: it is half-written or no run; choose another"
            " --name, or delete it if nothing in it is wanted",
        )
        changed = differences(old, self.config, self.may_change)
        if changed and not self.anything_learned():
            # An earlier start came to nothing before it had learned anything: there is nothing to lose.
            return self._begin()
        if changed:
            raise UserError(
                f"{self.path} holds a run with another configuration ({'; '.join(changed)});"
                " use the same options to go on with it, or choose another --name"
            )
        return True

    def _begin(self) -> bool:
        """Write what the run is and where it comes from; there is nothing to resume."""
        self._identity = uuid.uuid4().hex
        self.write_config()
        checkpoint.write_json(self.path / "provenance.json", [provenance()])
        return False

    def write_config(self) -> None:
        """Write what the run is."""
        write_config(self.path, self.config, self.identity)

    def note_resumption(self) -> None:
        """Add this start to provenance.json.

        Raises:
            UserError: the file is there and is not a list of starts.
        """
        path = self.path / "provenance.json"
        checkpoint.write_json(path, [*read_starts(path), provenance()])

    def check_here(self) -> None:
        """Find out whether the folder that is open is where it was.

        Raises:
            UserError: it was moved, deleted or replaced: what is written there would be half a run.
        """
        if self._lock is None:
            return
        if not (self.path / NAME).exists() or read_identity(self.path) != self._identity:
            raise UserError(
                f"{self.path} was moved, deleted or replaced while the run was at work; put it back, and the"
                " same command goes on from its last checkpoint"
            )

    def upload(self) -> None:
        """Make the run's URL, if it has one, what its folder is.

        Raises:
            UserError: it cannot be written, or another process has taken over.
        """
        if self._mirror is not None:
            self._mirror.upload()

    def close(self) -> None:
        """Let another process in."""
        try:
            if self._mirror is not None:
                self._mirror.close()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None


class RunFolder(Folder[RunConfig]):
    """The files of a run of games."""

    may_change = MAY_CHANGE

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config, config.folder, config.name)
        self.returns = self.path / "returns.csv"
        self.summary = self.path / "summary.json"
        self.random_policy = self.path / "random_policy.csv"

    @classmethod
    def existing(cls, path: Path) -> Self:
        """The run folder at `path`, with the configuration that lies in it; to look at, not to work in.

        Raises:
            UserError: there is none.
        """
        check_links(path)
        config, _ = read_config(
            RunConfig, path, f"is no run folder: {path / 'config.json'} cannot be read"
        )
        # It may have been moved or renamed since.
        here = {"folder": str(path.resolve().parent), "name": path.resolve().name}
        return cls(config.model_copy(update=here))

    def anything_learned(self) -> bool:
        # Also if all are damaged, or of another run: there is something to ask about.
        return any(checkpoint.anything_in(arm) for arm in self.path.glob("checkpoints/*"))

    def not_believed(self) -> list[str]:
        return [
            line
            for arm in self.config.arms
            for line in checkpoint.not_believed(
                self.checkpoints(arm), self.identity, self._sense(arm, whole=True)
            )
        ]

    def checkpoints(self, arm: Arm) -> Path:
        """Where an arm's checkpoints lie."""
        return self.path / "checkpoints" / arm.value

    def save(self, arm: Arm, name: str, tensors: Numbers, state: dict[str, Any]) -> Path:
        """Save an arm's checkpoint.

        Raises:
            UserError: it cannot be written, or the folder is not there any more.
        """
        self.check_here()
        parent, keep = self.checkpoints(arm), self.config.checkpoints_kept
        state = {"config": self.config.model_dump(mode="json"), **state}
        saved = checkpoint.save(parent, name, tensors, state, keep, self.identity)
        self.upload()
        return saved

    def latest(self, arm: Arm) -> tuple[Numbers, dict[str, Any]] | None:
        """An arm's newest checkpoint that can be read, or None before the first.

        Raises:
            UserError: there are only damaged ones.
        """
        return checkpoint.newest(self.checkpoints(arm), self.identity, self._sense(arm, whole=True))

    def latest_state(self, arm: Arm) -> dict[str, Any] | None:
        """What that says beside its numbers; enough to report on, if it is not all that a resume needs."""
        sense = self._sense(arm, whole=False)
        latest = checkpoint.newest(self.checkpoints(arm), self.identity, sense)
        return None if latest is None else latest[1]

    def _sense(self, arm: Arm, whole: bool) -> Callable[[dict[str, Any]], None]:
        """What finds out whether a checkpoint's state is one of an arm."""
        return partial(saved_state.check, config=self.config, arm=arm, whole=whole)

    def saved(self, arm: Arm) -> tuple[Numbers, dict[str, Any]]:
        """An arm's newest checkpoint.

        Raises:
            UserError: it has none.
        """
        latest = self.latest(arm)
        if latest is None:
            raise UserError(f"{self.path} has no checkpoint of the arm {arm.value}")
        return latest

    def events(self, arm: Arm, task: int) -> Path:
        """Where the TensorBoard events of one task of one arm lie."""
        from pathnet_rl.envs.registry import short_name  # Experiments on images need no games.

        name = f"{task + 1}-{short_name(self.config.tasks[task])}"
        return self.path / "tensorboard" / arm.value / name


def environment_log(config: RunConfig) -> Path | None:
    """Where goes what processes of environments print: to the run's folder, if that is on this machine."""
    path = path_of(config.folder, config.name)
    return None if is_url(config.folder) or not path.is_dir() else path / "environments.log"
