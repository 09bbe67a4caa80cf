"""Which runs are seeds of the same thing.

Runs with the same tasks and the same options are one group; its seeds are replicates. Options that do not
count are the seed, the arms, the name and the folder, and whatever a run may be resumed with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pathnet_rl.arms import Arm
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.envs.registry import short_name
from pathnet_rl.evidence.runs import NotIncluded, Record

NOT_OPTIONS = MAY_CHANGE | {"seed", "arms", "tasks", "agent_steps"}

LONGEST_LABEL = 48
"""Characters; where a label would have more, all settings are numbered."""

Options = tuple[tuple[str, str], ...]


@dataclass
class Group:
    """The runs of one sequence of tasks with one setting.

    Attributes:
        rules: of each task, what decides beside its name what can be got in it.
        words: what sets its options apart from those of other groups; empty if nothing does.
        label: the same, or a number if that is long.
        records: by arm and seed.
    """

    tasks: tuple[str, ...]
    budgets: tuple[int, ...]
    rules: tuple[str, ...]
    options: Options
    words: str = ""
    label: str = ""
    records: dict[Arm, dict[int, Record]] = field(default_factory=dict)

    def source(self, task: int) -> str:
        """What was learned before a task, by short names."""
        return " > ".join(short_name(name) for name in self.tasks[:task]) or "(nothing)"

    def target(self, task: int) -> str:
        """A task's short name."""
        return short_name(self.tasks[task])

    def title(self, task: int) -> str:
        """A task, what was learned before it, what comes after it, and the label, in one line."""
        words = f"{self.source(task)} > {self.target(task)}" if task else self.target(task)
        later = [short_name(name) for name in self.tasks[task + 1 :]]
        if later:
            words += f", then {' > '.join(later)}"
        return f"{words} ({self.label})" if self.label else words

    @property
    def arms(self) -> list[Arm]:
        """Those that any seed has, in the order of the table of arms."""
        return [arm for arm in Arm if self.records.get(arm)]


def grouped(records: Iterable[Record]) -> tuple[list[Group], list[NotIncluded]]:
    """Records as groups of replicates, and those that repeat a seed that is there already."""
    groups: dict[tuple[tuple[str, ...], Options], Group] = {}
    repeated: dict[tuple[str, str], list[Arm]] = {}
    for record in records:
        config = record.config
        options = options_of(config)
        budgets = tuple(config.steps_of(task) for task in range(len(config.tasks)))
        rules = tuple(config.rules(task) for task in config.tasks)
        new = Group(config.tasks, budgets, rules, options)
        seeds = groups.setdefault((config.tasks, options), new).records.setdefault(record.arm, {})
        there = seeds.setdefault(record.seed, record)
        if there is not record:
            reason = f"seed {record.seed} with these tasks and options is in {there.folder} already"
            repeated.setdefault((str(record.folder), reason), []).append(record.arm)
    found = list(groups.values())
    settings = labels([group.options for group in found])
    for group, words, label in zip(found, settings, short(settings), strict=True):
        group.words, group.label = words, label
    left_out = [
        NotIncluded(f"{folder}, arm{'s' * (len(arms) > 1)} {', '.join(arms)}", reason)
        for (folder, reason), arms in repeated.items()
    ]
    return found, left_out


def options_of(config: RunConfig) -> Options:
    """Every option that makes a run another experiment, by its name on the command line."""
    values: dict[str, str] = {}

    def collect(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                collect(f"{name}.{key}" if name else key, inner)
        else:
            values[name] = value if isinstance(value, str) else json.dumps(value)

    collect("", config.model_dump(mode="json", exclude=set(NOT_OPTIONS)))
    budgets = [config.steps_of(task) for task in range(len(config.tasks))]
    same = len(set(budgets)) == 1
    values["agent_steps"] = " ".join(f"{steps:,}" for steps in (budgets[:1] if same else budgets))
    return tuple(sorted(values.items()))


def labels(settings: Sequence[Options]) -> list[str]:
    """A label for each setting that names only what differs between any two of them."""
    names = sorted({name for options in settings for name, _ in options})
    tables = [dict(options) for options in settings]
    differing = [name for name in names if len({table.get(name) for table in tables}) > 1]
    return [
        ", ".join(
            f"{name.rpartition('.')[2].replace('_', ' ')} {_plain(table.get(name))}"
            for name in differing
        )
        for table in tables
    ]


def short(settings: Sequence[str]) -> list[str]:
    """The same labels, or numbers for them if one is too long to stand in every heading."""
    different = list(dict.fromkeys(settings))
    if all(len(label) <= LONGEST_LABEL for label in different):
        return list(settings)
    return [f"setting {different.index(label) + 1}" for label in settings]


def _plain(value: str | None) -> str:
    return "default" if value in (None, "null") else str(value)
