"""Transfer: a sequence of tasks, each learned, its best pathway frozen, the rest drawn anew.

This is the outermost loop of a run. It says what happens in which order; a crew does the work, in this
process or on a cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pathnet_rl.arms import SWITCHES, Arm
from pathnet_rl.config import RunConfig
from pathnet_rl.crew import Crew, Display, Progress
from pathnet_rl.errors import UserError
from pathnet_rl.fitness import check_evaluated, none_evaluated
from pathnet_rl.genotype import union
from pathnet_rl.judging import Judge
from pathnet_rl.lineages import Heir, Solved, plan_heirs
from pathnet_rl.pace import Rate, Timer
from pathnet_rl.returns_file import check_no_rows, check_returns
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.saved import Numbers
from pathnet_rl.telemetry import Report, TaskResult
from pathnet_rl.watching import Interrupted, Watch

REST_SECONDS = 10.0
"""How long all wait for the slowest worker's rollout before a checkpoint, at first."""


class ArmRun:
    """One arm's way through the tasks, from wherever its last checkpoint left it.

    Usage: `run()` inside the crew's lifetime; it raises Interrupted, after saving, once
    `stop_requested` says so.
    """

    def __init__(
        self,
        config: RunConfig,
        arm: Arm,
        crew: Crew,
        folder: RunFolder,
        display: Display,
        stop_requested: Callable[[], bool],
    ) -> None:
        self._config, self._arm = config.of(arm), arm
        self._crew, self._folder, self._display = crew, folder, display
        self._stop_requested = stop_requested
        self._judge = Judge(self._config, arm, crew, Watch(display, stop_requested))
        self._results: list[TaskResult] = []
        self._patience, self._warned = REST_SECONDS, False

    def run(self) -> list[TaskResult]:
        """Learn every task that is left; the results of all of them."""
        latest = self._folder.latest(self._arm)
        tasks = self._config.tasks_of(self._arm)
        if latest is None:
            task = tasks[0]
            self._crew.server.begin_first_task(task)
            self._crew.hub.begin_task(task, 0)
            # Episodes that a kill leaves behind it in returns.csv are cut off from here.
            self._save("0-learning")
        else:
            task = self._restore(*latest)
        while True:
            if len(self._results) <= tasks.index(task):
                if not self._crew.store.over:
                    self._learn()
                    # Judging may be stopped, or fail: what is learned is there already.
                    self._save("0-learning")
                self._results.append(self._judge.finish(task))
                if task != tasks[-1]:
                    self._results = self._judge.after_later(self._results, task)
                self._save("1-learned")
            if task == tasks[-1]:
                break
            previous, task = task, task + 1
            self._cross(previous, task)
        self._results = self._judge.after_all(self._results)
        self._save("2-finished")
        return self._results

    def _cross(self, previous: int, task: int) -> None:
        """The boundary: freeze, draw anew, copy for heirs, a new population."""
        config, switches, crew = self._config, SWITCHES[self._arm], self._crew
        path, solved = self._result_of(previous).finished.path, self._solved()
        heirs: list[Heir] = []
        if switches.evolve and solved:
            frozen = union(crew.store.frozen, path)
            heirs = plan_heirs(config.evolution, config.grid.modules, frozen, solved)
        crew.server.begin_next_task(task, path, [heir.copies for heir in heirs])
        crew.coordinator.begin_task(solved, heirs, config.steps_of(task))
        crew.hub.begin_task(task, 0)
        self._warned = False

    def _solved(self) -> tuple[Solved, ...]:
        """What finished tasks were solved with, in order, if that is frozen."""
        if not SWITCHES[self._arm].freeze:
            return ()
        finished = [result.finished for result in self._results]
        return tuple(Solved(one.path, one.always, one.builds_on) for one in finished)

    def _result_of(self, task: int) -> TaskResult:
        return next(result for result in self._results if result.finished.task == task)

    def _restore(self, tensors: Numbers, state: dict[str, Any]) -> int:
        """Become what a checkpoint says; the task it was in."""
        self._crew.server.load_state(tensors, state["store"])
        store = self._crew.store
        self._crew.hub.begin_task(store.task, store.agent_steps)
        cut = self._crew.hub.load_state(state["hub"])
        self._results = [TaskResult.from_state(result) for result in state["results"]]
        before = [result for result in self._results if result.finished.task < store.task]
        self._crew.coordinator.load_state(
            state["coordinator"], self._solved()[: len(before)], store.budget
        )
        self._display.note(
            f"{self._arm.value}: going on from {store.agent_steps:,} agent steps of task"
            f" {store.task + 1}, {self._config.tasks[store.task]}"
        )
        if cut:
            self._display.note(
                f"{cut:,} row{'s' if cut > 1 else ''} of returns.csv came after that and"
                f" {'are' if cut > 1 else 'is'} cut off: what is learned again is written again"
            )
        return store.task

    def _learn(self) -> None:
        """Let the crew work until the task's agent steps are done."""
        config, store = self._config, self._crew.store
        clock = Rate(store)
        try:
            self._work(clock)
        except UserError:
            # Whatever is wrong, what was learned is not; unless it is no numbers any more.
            if store.is_finite:
                with suppress(UserError):
                    self._save("0-learning")
            raise
        if store.stopped and not store.over:
            self._save("0-learning")
            raise Interrupted
        if not store.over:
            raise UserError(
                f"the workers stopped after {store.agent_steps:,} of {store.budget:,} agent steps of"
                f" {config.tasks[store.task]}; the same command goes on"
            )
        clock.tick()
        self._show(clock.recent)
        self._report(clock.since_report())

    def _work(self, clock: Rate) -> None:
        """Until all workers have stopped."""
        config, crew, store = self._config, self._crew, self._crew.store
        report, save = Timer(config.report_seconds), Timer(config.checkpoint_seconds)
        crew.start()
        while not crew.wait(min(1.0, config.report_seconds)):
            clock.tick()
            if store.over:
                what = "workers finish their rollouts and close their environments"
                self._display.doing(
                    f"{self._arm.value}, {config.tasks[store.task]} is learned", what
                )
            else:
                self._show(clock.recent)
            if report.due():
                self._report(clock.since_report())
            # At its end nodes still send what they did, and all is saved after that.
            if save.due() and not (store.over or store.stopped):
                self._save("0-learning")
            if self._stop_requested() and not store.stopped:
                self._display.note("stopping: every worker finishes its rollout, then all is saved")
                store.stopped = True

    def _show(self, rate: float) -> None:
        for note in self._crew.notes():
            self._display.note(note)
        task = self._config.tasks[self._crew.store.task]
        for why in self._crew.hub.losses():
            self._display.note(f"an episode of {task} is lost: {why}")
        store, population = self._crew.store, self._crew.coordinator.snapshot()
        best = float(population.fitness.max())
        if best == float("-inf") and 2 * store.agent_steps >= store.budget and not self._warned:
            self._warned = True
            self._display.note(f"half of {task} is done: {none_evaluated(self._config)}")
        self._display.update(
            Progress(
                self._arm,
                store.task,
                self._config.tasks[store.task],
                min(store.agent_steps, store.budget),
                store.budget,
                rate,
                self._crew.hub.mean_return(),
                best if best > float("-inf") else None,
                population.overwrites,
                self._restarts,
            )
        )

    @property
    def _restarts(self) -> int:
        """Of workers, and of processes that environments have of their own."""
        return self._crew.restarts + self._crew.hub.deaths

    def _report(self, rate: float) -> None:
        store = self._crew.store
        self._crew.hub.report(
            Report(
                agent_steps=store.agent_steps,
                updates=store.updates,
                learning_rate=store.learning_rate,
                rate=rate,
                restarts=self._restarts,
                frozen=store.frozen,
                population=self._crew.coordinator.snapshot(),
                exchanges=self._crew.exchanges(),
            )
        )

    def _save(self, phase: str) -> None:
        """Save what all roles know, of one moment: no worker is in a rollout, and everything is told.

        While a worker is not there in time nothing is saved, and it is waited for longer the next time.
        """
        with self._crew.at_rest(self._patience) as late:
            if late:
                self._display.note(
                    f"a checkpoint is put off: {', '.join(late)} did not come to the end of a rollout in"
                    f" {self._patience:g} seconds"
                )
                self._patience *= 2
                return
            hub = self._crew.hub.state()
            coordinator = self._crew.coordinator.state()
            tensors, header = self._crew.server.state()
        self._patience = REST_SECONDS
        state = {
            "finished": phase == "2-finished",
            "arm": self._arm.value,
            "store": header,
            "coordinator": coordinator,
            "hub": hub,
            "results": [result.state() for result in self._results],
        }
        name = f"task-{header['task']:02d}-step-{header['agent_steps']:012d}-{phase}"
        self._folder.save(self._arm, name, tensors, state)


def finished_results(folder: RunFolder, arm: Arm) -> list[TaskResult] | None:
    """The results of an arm that is done, or None if there is something left to do."""
    latest = folder.latest(arm)
    return None if latest is None else _results_if_finished(latest[1])


def _results_if_finished(state: dict[str, Any]) -> list[TaskResult] | None:
    if not state["finished"]:
        return None
    return [TaskResult.from_state(result) for result in state["results"]]


def run(
    config: RunConfig,
    folder: RunFolder,
    make_crew: Callable[[Arm], Crew],
    display: Display,
    stop_requested: Callable[[], bool],
) -> dict[Arm, list[TaskResult]]:
    """Run every arm that is not done yet; the results of all of them.

    Raises:
        UserError: of episodes that were played before, rows or checkpoints are missing, or a task is over and
            nothing can be kept of it; nothing has been learned.
    """
    finished: dict[Arm, list[TaskResult] | None] = dict.fromkeys(config.arms)
    for arm in config.arms:
        latest = folder.latest(arm)
        if latest is None:
            check_no_rows(folder.returns, arm.value)
        else:
            _, state = latest
            check_returns(folder.returns, state["hub"])
            check_evaluated(config, state)
            finished[arm] = _results_if_finished(state)
    results: dict[Arm, list[TaskResult]] = {}
    for arm in config.arms:
        done = finished[arm]
        if done is None:
            crew = make_crew(arm)
            try:
                done = ArmRun(config, arm, crew, folder, display, stop_requested).run()
            finally:
                crew.close()
        results[arm] = done
    return results
