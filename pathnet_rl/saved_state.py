"""What a checkpoint's state.json may say: whoever reads one need not ask whether it makes sense.

The types are those of JSON. What older versions did not write may be missing.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import MAY_CHANGE, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.settings import differences, one_line

MOST = 2**53
"""Of anything that is counted: what a float64 holds exactly."""

Count = Annotated[int, Field(ge=0, le=MOST)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Modules = list[list[Count]]
"""Some modules of each layer, by their numbers."""


class _Saved(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Known(BaseModel):
    """What the program makes an object of: it has no other fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Store(_Saved):
    task: Count
    agent_steps: Count
    budget: Annotated[int, Field(ge=1, le=MOST)] = 1
    updates: Count = 0
    frozen: Modules = []


class _Factors(_Known):
    learning_rate: Positive = 1.0
    entropy_cost: Positive = 1.0


class _Duplication(_Saved):
    fitness: list[list[list[Number]]]
    copied: list[Annotated[list[Count], Field(min_length=4, max_length=4)]]
    generator: dict[str, Any]


class _Coordinator(_Saved):
    population: Annotated[list[Modules], Field(min_length=1)] = [[]]
    builds_on: list[list[bool]] = []
    factors: list[_Factors] = []
    lineages: list[str] = []
    halved: Count = 0
    judged: dict[str, list[Number]] = {}
    fitness: list[Number | None] = []
    evaluations: Count = 0
    overwrites: Count = 0
    mutated_genes: Count = 0
    generator: dict[str, Any] = {}
    duplication: _Duplication | None = None


class _Hub(_Saved):
    returns_bytes: Count
    last_returns: list[Number] = []
    returns_sha256: str = ""


class _Finished(_Known):
    task: Count
    name: str
    agent_steps: Count
    path: Modules
    always: Modules
    fitness: Number
    builds_on: list[bool] = []
    factors: _Factors = _Factors()


class _Returns(_Saved):
    returns: Annotated[list[Number], Field(min_length=1)]
    cut: Count


class _Result(_Saved):
    finished: _Finished
    after_task: _Returns
    after_all: _Returns | None
    after_later: list[_Returns] = []


class _State(_Saved):
    finished: bool
    store: _Store
    coordinator: _Coordinator
    hub: _Hub
    results: list[_Result]
    arm: str = ""


GONE_ON_WITH = {
    "store": ("budget", "updates", "frozen", "layout_version", "grid"),
    "coordinator": (
        "population", "fitness", "evaluations", "overwrites", "mutated_genes", "generator",
    ),
    "hub": ("last_returns",),
}  # fmt: skip
"""What a report does not need, and a run does that goes on."""


def check(state: dict[str, Any], config: RunConfig, arm: Arm, whole: bool) -> None:
    """Refuse a state that is none of this arm of this run.

    Args:
        whole: it is to be gone on with, and not only reported on.

    Raises:
        ValueError: says what is wrong with it.
    """
    try:
        _State.model_validate(state)
    except (ValidationError, RecursionError) as error:
        said = one_line(error, "") if isinstance(error, ValidationError) else "too deep"
        raise ValueError(f"state.json: {said}") from error
    if state.get("arm", arm.value) != arm.value:
        raise ValueError(f"state.json is of the arm {state['arm']!r}")
    for section, names in GONE_ON_WITH.items() if whole else ():
        lacking = [name for name in names if name not in state[section]]
        if lacking:
            raise ValueError(f"state.json lacks {section}.{', '.join(lacking)}")
    _check_results(state, config)
    _check_population(state, config, arm, whole)
    _check_duplication(state["coordinator"].get("duplication"), config)
    _check_config(state.get("config"), config)


def _check_config(saved: Any, config: RunConfig) -> None:
    """What was learned was learned with the configuration that config.json says.

    A comparison adds arms to its runs; one arm does not depend on which others there are.
    """
    if saved is None:
        return
    try:
        changed = differences(RunConfig.model_validate(saved), config, MAY_CHANGE | {"arms"})
    except UserError as error:
        raise ValueError(f"state.json: config: {error}") from error
    if changed:
        raise ValueError(
            f"it was learned with another configuration than config.json says: {'; '.join(changed)}"
        )


def _check_results(state: dict[str, Any], config: RunConfig) -> None:
    store, tasks = state["store"], [result["finished"]["task"] for result in state["results"]]
    _require(store["task"] < len(config.tasks), "a task that the run has not")
    wanted = config.steps_of(store["task"])
    if store.get("budget", wanted) != wanted:
        raise ValueError(
            f"it is of a task of {store['budget']:,} agent steps, and config.json says {wanted:,}"
        )
    _require(all(task < len(config.tasks) for task in tasks), "a result of no task of the run")
    _require(tasks == sorted(set(tasks)), "results that are not one for each task")
    _check_modules("frozen", store.get("frozen"), config)
    for result in state["results"]:
        finished = result["finished"]
        named = finished["name"] == config.tasks[finished["task"]]
        _require(named, "a result of another task than the run's of that number")
        _require(len(finished.get("builds_on", ())) <= finished["task"], "too many builds_on")
        _require(all(finished["path"]), "a path without modules")
        for name in ("path", "always"):
            _check_modules(name, finished[name], config)


def _check_population(state: dict[str, Any], config: RunConfig, arm: Arm, whole: bool) -> None:
    coordinator, grid = state["coordinator"], config.grid
    population = coordinator.get("population", [])
    for genes in population:
        _check_modules("population", genes, config)
        _require(
            all(len(layer) == grid.width for layer in genes), f"genes that are not N = {grid.width}"
        )
    for name in ("fitness", "lineages", "builds_on", "factors"):
        _require(len(coordinator.get(name, population)) == len(population), f"not P of {name}")
    beside = {len(genes) for genes in coordinator.get("builds_on", [])}
    _require(len(beside) <= 1, "builds_on of several lengths")
    if not whole:
        return
    _require(len(population) == config.evolution.population, "another number of genotypes than P")
    before = [r for r in state["results"] if r["finished"]["task"] < state["store"]["task"]]
    solved = len(before) if SWITCHES[arm].freeze else 0
    _require(beside <= {solved}, f"builds_on not for the {solved} tasks solved")
    _check_generator(coordinator["generator"])


def _check_duplication(saved: dict[str, Any] | None, config: RunConfig) -> None:
    if saved is None:
        return
    depth, modules = len(config.grid.layers), config.grid.modules
    shape = [len(layer) for layer in saved["fitness"]]
    _require(shape == [modules] * depth, "fitness of modules that is not L x M")
    for layer, source, target, _ in saved["copied"]:
        inside = layer < depth and max(source, target) < modules
        _require(inside, "copies of modules that are not in the grid")
    _check_generator(saved["generator"])


def _check_modules(what: str, layers: list[list[int]] | None, config: RunConfig) -> None:
    if layers is not None:
        _require(len(layers) == len(config.grid.layers), f"{what} that is not of L layers")
        known = all(module < config.grid.modules for layer in layers for module in layer)
        _require(known, f"{what} with modules that are not in the grid")


def _check_generator(saved: Any) -> None:
    try:
        np.random.PCG64(0).state = saved
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"state.json: a generator's state is none ({error})") from error


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"state.json has {what}")
