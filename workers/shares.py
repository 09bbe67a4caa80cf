"""Who has which pathways: the population shared out among workers that come and go."""

from __future__ import annotations

from collections.abc import Sequence


class Shares:
    """P pathways among workers, each known by a number; nobody has two more than another."""

    def __init__(self, population: int) -> None:
        self._owners: dict[int, list[int]] = {}
        self._nobodys = list(range(population))

    def __getitem__(self, worker: int) -> list[int]:
        """The pathways of a worker, by their index in the population."""
        return list(self._owners[worker])

    @property
    def workers(self) -> list[int]:
        """All of them."""
        return list(self._owners)

    def begin(self, workers: Sequence[int]) -> None:
        """Deal all out in turn, as at the beginning of a task."""
        everything = sorted([*self._nobodys, *(p for own in self._owners.values() for p in own)])
        self._owners = {
            worker: everything[place :: len(workers)] for place, worker in enumerate(workers)
        }
        self._nobodys = [] if workers else everything

    def join(self, worker: int) -> list[int]:
        """A worker comes: it has what is nobody's and what others have more of. Whose shares changed."""
        self._owners[worker], self._nobodys = self._nobodys, []
        changed = {worker: None}
        while True:
            most = max(self._owners, key=lambda one: len(self._owners[one]))
            if len(self._owners[most]) - len(self._owners[worker]) < 2:
                return list(changed)
            self._owners[worker].append(self._owners[most].pop())
            changed[most] = None

    def leave(self, worker: int) -> list[int]:
        """A worker is gone: what it had goes to those who have the fewest. Whose shares changed."""
        orphans = self._owners.pop(worker)
        if not self._owners:
            self._nobodys += orphans
            return []
        changed: dict[int, None] = {}
        for pathway in orphans:
            fewest = min(self._owners, key=lambda one: len(self._owners[one]))
            self._owners[fewest].append(pathway)
            changed[fewest] = None
        return list(changed)


def spread(workers: int, cpus: Sequence[int]) -> list[int]:
    """How many workers each node gets, given its CPUs: the next goes where the largest share is free."""
    given = [0] * len(cpus)
    for _ in range(min(workers, sum(cpus))):
        free = [1.0 - used / max(total, 1) for total, used in zip(cpus, given, strict=True)]
        given[max((n for n in range(len(cpus)) if cpus[n]), key=free.__getitem__)] += 1
    return given
