"""The members of a comparison as trials of Ray Tune, a CPU each, here or on a cluster.

Tune says when which member is learned and keeps its tables and logs, in `runs/<name>/tune/`. It keeps
nothing that a comparison needs again: settings are the sweep's, and members' folders say what is finished.
So no trial is stopped early, no arm gets more settings than another, and a new start is a new experiment
of Tune's.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import ray

from pathnet_rl.comparison.experiment import Member
from pathnet_rl.comparison.results import lines_of, rows_of
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.run_folder import RunFolder
from workers.one_run import Instructions, Outcome, learn
from workers.ray_cluster import join
from workers.ray_here import start_here
from workers.ray_waits import Patience, about_cpus, reason_of

SECONDS = 1.0
"""Between two looks, if nobody ends in between."""
JOIN_SECONDS = 60.0
"""Tune may take so long to end once all trials have."""

_logger = logging.getLogger(__name__)


def learn_with_tune(
    members: Sequence[Member], instructions: Instructions, side_by_side: int | None
) -> Generator[list[Outcome]]:
    """Those who have ended, at least once a second. Told to stop, members save, also those that had to wait.

    Raises:
        UserError: ray[tune] is not installed, or there is no cluster at RAY_ADDRESS.
    """
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own display would lie over ours.
    try:
        from ray import tune
    except ImportError as error:
        raise UserError(
            "--tune needs packages that are not installed; pip install 'ray[tune]', or leave it out"
        ) from error
    _start_ray(side_by_side)

    class Ended(tune.Callback):
        """Tells of trials as they end."""

        def __reduce__(self) -> tuple[Any, ...]:
            return (tune.Callback, ())  # Tune saves its callbacks, and a queue cannot be saved.

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            begun.add(trial.config["member"])

        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **_: Any
        ) -> None:
            ended.put(_outcome(by_name[trial.config["member"]], trial.last_result))

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            said = str(trial.get_error()).strip().splitlines()
            ended.put(Outcome(by_name[trial.config["member"]], error=said[-1].strip()))

    by_name = {member.name: member for member in members}
    ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    begun: set[str] = set()
    errors: list[Exception] = []
    trial = tune.with_parameters(_trial, members=by_name, instructions=instructions)
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"member": tune.grid_search(list(by_name))},
        tune_config=tune.TuneConfig(max_concurrent_trials=side_by_side, reuse_actors=True),
        run_config=tune.RunConfig(
            name=instructions.start,
            storage_path=str(instructions.stop.parent.resolve() / "tune"),
            callbacks=[Ended()],
            verbose=0,
        ),
    )

    def run() -> None:
        try:
            tuner.fit()
        except Exception as error:  # noqa: BLE001 It is told by the thread that waits.
            errors.append(error)

    fit = threading.Thread(target=run, daemon=True)
    fit.start()
    told = 0
    patience = Patience(lambda: about_cpus(1))
    while told < len(members) and (fit.is_alive() or not ended.empty()):
        try:
            outcome = ended.get(timeout=SECONDS)
            told += 1
            yield [outcome]
        except queue.Empty:
            for line in patience.look(not begun):
                _logger.warning(line)
            yield []
    if errors:
        raise UserError(
            f"Ray Tune gave up: {reason_of(errors[0])}; the same command goes on"
        ) from errors[0]
    fit.join(JOIN_SECONDS)


def _start_ray(side_by_side: int | None) -> None:
    if ray.is_initialized():
        return
    address = os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        join(address)
        return
    start_here(max(usable_cpus(), side_by_side or 0), log_to_driver=False)


def _trial(
    chosen: dict[str, Any], members: Mapping[str, Member], instructions: Instructions
) -> dict[str, Any]:
    """What a trial does: learn its member; what Tune's tables say of it, areas of the last task among it."""
    member = members[chosen["member"]]
    outcome = learn(member, instructions)
    finished = not outcome.stopped and outcome.error is None
    areas = {}
    if finished:
        random = instructions.policy(RunFolder(member.config))
        lines = lines_of(rows_of(member, random, instructions.random_episodes))
        areas = {f"area_{line.arm}": line.area for line in lines}
    return {"stopped": outcome.stopped, "error": outcome.error or "", **areas}


def _outcome(member: Member, said: Mapping[str, Any]) -> Outcome:
    return Outcome(member, bool(said["stopped"]), said["error"] or None)
