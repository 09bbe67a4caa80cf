"""Founders, heirs, builders and newcomers: who begins a population, on which modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype, no_modules
from pathnet_rl.lineages import (
    Founder,
    Heir,
    Solved,
    beside,
    found_lineages,
    plan_heirs,
    shared_out,
)
from pathnet_rl.tournament import worse_half
from tests.support import new_store, run_experiment, small_grid, tiny_config
from workers.coordinator import TournamentCoordinator

FIRST = Solved(((0, 2), (1,)), ((), ()), ())
SECOND = Solved(((3,), (1, 4)), ((0, 2), (1,)), (True,))
ALL = EvolutionConfig(start="founders", heirs=2, builders=1, newcomers=1, building="evolved")


def test_heirs_are_copied_to_the_first_free_modules_the_last_tasks_first() -> None:
    frozen: ActiveModules = ((0, 2, 3), (1, 4))
    assert plan_heirs(ALL, 8, frozen, [FIRST, SECOND]) == [
        Heir(1, ((1,), (0, 2)), (((3, 1),), ((1, 0), (4, 2)))),
        Heir(0, ((4, 5), (3,)), (((0, 4), (2, 5)), ((1, 3),))),
    ]


def test_where_a_layer_is_full_an_heir_uses_the_frozen_original() -> None:
    frozen: ActiveModules = ((0, 2, 3), (1, 4))
    (last, first) = plan_heirs(ALL, 5, frozen, [FIRST, SECOND])
    assert last.path == ((1,), (0, 2))
    assert first.path == ((2, 4), (3,))
    assert first.copies == (((0, 4),), ((1, 3),))
    (last, first) = plan_heirs(ALL, 5, ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)), [FIRST, SECOND])
    assert (last.path, first.path) == (SECOND.path, FIRST.path)
    assert last.copies == first.copies == ((), ())


def test_there_are_heirs_of_the_last_tasks_only_and_none_without_a_share() -> None:
    frozen: ActiveModules = ((0, 2, 3), (1, 4))
    one = ALL.model_copy(update={"most_heirs": 1})
    assert [heir.task for heir in plan_heirs(one, 8, frozen, [FIRST, SECOND])] == [1]
    assert plan_heirs(EvolutionConfig(start="founders"), 8, frozen, [FIRST, SECOND]) == []


def test_a_first_task_has_one_lineage_of_distinct_modules() -> None:
    (founder,) = found_lineages(ALL, 3, 4, 6, (), (), np.random.default_rng(0))
    assert founder.lineage == "newcomer"
    assert [len(layer) for layer in founder.genotype.active] == [4, 4, 4]
    assert founder.genotype.builds_on == ()


def test_founders_of_a_later_task_have_modules_of_their_own_and_build_on_what_they_should() -> None:
    solved = [FIRST, SECOND]
    heirs = plan_heirs(ALL, 12, ((0, 2, 3), (1, 4)), solved)
    founders = found_lineages(ALL, 2, 2, 12, solved, heirs, np.random.default_rng(1))
    assert [f.lineage for f in founders] == [
        "heir of task 2", "heir of task 1", "builder", "newcomer",
    ]  # fmt: skip
    assert [f.share for f in founders] == [1, 1, 1, 1]
    of_second, of_first, builder, newcomer = (f.genotype for f in founders)
    assert of_second.active == heirs[0].path
    assert of_second.builds_on == (True, False)  # As the pathway that it is a copy of.
    assert of_first.active == heirs[1].path
    assert of_first.builds_on == (False, False)
    assert builder.builds_on == (False, True)
    assert newcomer.builds_on == (False, False)
    used = [SECOND.path, SECOND.always, *(heir.path for heir in heirs)]
    for layer in range(2):
        taken = {m for path in used for m in path[layer]}
        assert not taken & {*builder.active[layer], *newcomer.active[layer]}
        assert not set(builder.active[layer]) & set(newcomer.active[layer])
        assert len(builder.active[layer]) == len(newcomer.active[layer]) == 2


def test_founders_of_a_full_grid_are_founded_all_the_same() -> None:
    full = Solved(((0, 1), (0, 1)), no_modules(2), ())
    heirs = plan_heirs(ALL, 2, full.path, [full])
    founders = found_lineages(ALL, 2, 2, 2, [full], heirs, np.random.default_rng(0))
    assert [f.genotype.active for f in founders] == [full.path] * 3


def test_what_is_active_beside_a_pathway_is_what_the_tasks_it_builds_on_were_solved_with() -> None:
    path = Genotype.fixed(2, 1)
    for building, wanted in (
        ((False, False), ((), ())),
        ((True, False), ((0, 2), (1,))),
        ((False, True), ((0, 2, 3), (1, 4))),
    ):
        assert beside(path.building_on(building), [FIRST, SECOND], 2) == wanted


def test_pathways_are_shared_out_by_the_shares_of_their_lineages() -> None:
    path = Genotype.fixed(1, 1)
    founders = [Founder("a", path, 2), Founder("b", path, 1), Founder("c", path, 1)]
    assert shared_out(founders, 8).count(0) == 4
    assert sorted(shared_out(founders, 4)) == [0, 0, 1, 2]
    assert shared_out(founders[1:], 3) == [0, 1, 0]


def test_the_worse_half_is_the_smaller_one() -> None:
    assert worse_half({"a": 1.0, "b": 3.0, "c": 2.0}) == ["a"]
    assert worse_half({"a": 1.0, "b": 3.0, "c": 2.0, "d": 0.0}) == ["a", "d"]
    assert worse_half({"a": 1.0}) == []
    assert worse_half({"a": 1.0, "b": 1.0}) == ["b"]


def test_a_copy_has_the_numbers_and_only_if_asked_the_optimizers_state(tmp_path: Path) -> None:
    store = new_store(tmp_path / "block", small_grid())
    store.squares.normal_()
    before = store.parameters.clone(), store.squares.clone()
    store.freeze(((0,), (1,), ()))
    store.duplicate((((0, 3),), ((1, 4),), ()), with_squares=False)
    store.duplicate((((0, 5),), (), ()), with_squares=True)
    for layer, copied in zip(store.grid.layers, ((3, 5), (4,), ()), strict=True):
        for block, old in zip((store.parameters, store.squares), before, strict=True):
            others = [m for m in range(6) if m not in copied]
            assert torch.equal(layer.rows(block)[others], layer.rows(old)[others])
    rows, squares = (store.grid.layers[0].rows(b) for b in (store.parameters, store.squares))
    assert torch.equal(rows[3], rows[0])
    assert torch.equal(rows[5], rows[0])
    assert not squares[3].any()
    assert torch.equal(squares[5], squares[0])
    with pytest.raises(ValueError, match="frozen"):
        store.duplicate((((3, 0),), (), ()), with_squares=False)


# The coordinator ----------------------------------------------------------------------------------


def coordinator(folder: Path, **evolution: object) -> tuple[RunConfig, TournamentCoordinator]:
    """Of eight pathways in a second task of 1,000 agent steps."""
    settings = {"population": 8, "rivals": 3, **ALL.model_dump(), **evolution, "episodes": 1}
    settings |= {"population": 8, "rivals": 3}
    config = tiny_config(folder, evolution=EvolutionConfig.model_validate(settings))
    made = TournamentCoordinator(config, Arm.PATHNET)
    solved = Solved(((0, 1), (2, 3)), no_modules(2), ())
    heirs = plan_heirs(config.evolution, config.grid.modules, solved.path, [solved])
    made.begin_task([solved], heirs, 1000)
    return config, made


def test_a_population_is_founders_and_their_mutated_copies(tmp_path: Path) -> None:
    _, made = coordinator(tmp_path, mutation_rate=0.0)
    snapshot = made.snapshot()
    by_lineage = {name: snapshot.lineages.count(name) for name in snapshot.lineages}
    assert by_lineage == {"heir of task 1": 4, "builder": 2, "newcomer": 2}
    for name in by_lineage:
        members = zip(snapshot.lineages, snapshot.genotypes, strict=True)
        assert len({genotype for lineage, genotype in members if lineage == name}) == 1
    always = {a.genotype.builds_on: a.always for a in made.assignments(range(8))}
    assert always == {(False,): ((), ()), (True,): ((0, 1), (2, 3))}


def play(made: TournamentCoordinator, fitness: dict[str, float], agent_steps: int) -> None:
    """Every pathway competes once, with the fitness of its lineage."""
    for pathway in range(8):
        (given,) = made.assignments([pathway])
        lineage = made.snapshot().lineages[pathway]
        made.compete(pathway, given.genotype, fitness[lineage], agent_steps)


FITNESS = {"heir of task 1": 2.0, "builder": 9.0, "newcomer": 1.0}


def test_lineages_are_apart_until_they_are_halved_by_all_their_evaluations(tmp_path: Path) -> None:
    _, made = coordinator(tmp_path, halvings=(0.2, 0.4))
    first = made.snapshot().lineages
    play(made, FITNESS, 100)
    assert made.snapshot().lineages == first
    play(made, FITNESS, 200)
    assert set(made.snapshot().lineages) == {"heir of task 1", "builder"}
    play(made, FITNESS, 400)
    play(made, FITNESS, 401)
    assert set(made.snapshot().lineages) == {"builder"}


def test_a_halving_waits_until_every_lineage_has_been_judged(tmp_path: Path) -> None:
    _, made = coordinator(tmp_path, halvings=(0.2,))
    for pathway, lineage in enumerate(made.snapshot().lineages):
        if lineage != "newcomer":
            (given,) = made.assignments([pathway])
            made.compete(pathway, given.genotype, 1.0, 900)
    assert "newcomer" in made.snapshot().lineages


def test_the_fitness_of_a_genotype_whose_lineage_has_ended_is_nobodys(tmp_path: Path) -> None:
    _, made = coordinator(tmp_path, halvings=(0.2,))
    pathway = made.snapshot().lineages.index("newcomer")
    (old,) = made.assignments([pathway])
    play(made, FITNESS, 100)
    made.advance(250)
    (new,) = made.assignments([pathway])
    assert new.genotype != old.genotype
    evaluations = made.snapshot().evaluations
    assert made.compete(pathway, old.genotype, 100.0, 300) == new
    assert made.snapshot().fitness[pathway] == -np.inf
    assert made.snapshot().evaluations == evaluations


def test_lineages_are_saved_and_gone_on_with(tmp_path: Path) -> None:
    config, made = coordinator(tmp_path, halvings=(0.2, 0.4))
    play(made, FITNESS, 250)
    again = TournamentCoordinator(config, Arm.PATHNET)
    again.load_state(made.state(), [Solved(((0, 1), (2, 3)), no_modules(2), ())], 1000)
    for one in (made, again):
        play(one, FITNESS, 450)
    assert again.state() == made.state()
    assert again.assignments(range(8)) == made.assignments(range(8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heirs": 1.0}, "need --evolution.start founders"),
        ({"start": "founders", "newcomers": 0.0}, "must have a share"),
        ({"halvings": (0.4, 0.2)}, "growing shares"),
        ({"halvings": (1.5,)}, "growing shares"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EvolutionConfig.model_validate(settings)


# Whole runs ---------------------------------------------------------------------------------------


def test_five_tasks_in_a_row_fit_a_grid_that_runs_out_and_none_is_forgotten(tmp_path: Path) -> None:
    evolution = ALL.model_copy(
        update={
            "population": 6, "episodes": 1, "rivals": 2, "mutation_rate": 0.05,
            "halvings": (0.3, 0.6), "finalists": 2, "final_episodes": 3,
        }
    )  # fmt: skip
    config = tiny_config(
        tmp_path, tasks=("CartPole-v1",) * 5, agent_steps=(1500,), evolution=evolution
    )
    results = run_experiment(config)[Arm.PATHNET]
    assert [result.forgetting for result in results] == [0.0] * 5
    for task, result in enumerate(results):
        again = [later.returns for later in result.after_later]
        assert again == [result.after_task.returns] * max(0, 3 - task)
        assert len(result.finished.builds_on) == task
        assert 8 <= result.finished.fitness <= 500  # Its own replay: three whole games.


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        evolution = ALL.model_copy(update={"population": 5, "episodes": 1, "finalists": 2})
        config = tiny_config(tmp_path / name, agent_steps=(1500,), evolution=evolution)
        found.append(run_experiment(config)[Arm.PATHNET])
    assert found[0] == found[1]


def test_the_papers_arm_learns_by_the_papers_rules_whatever_is_configured(tmp_path: Path) -> None:
    arms = (Arm.PATHNET, Arm.PATHNET_PAPER)
    rules = EvolutionConfig(
        population=4, episodes=2, rivals=2, start="founders", heirs=1.0, newcomers=0.0,
        building="evolved", mutation_rate=0.0, halvings=(0.5,), finalists=2, final_episodes=1,
    )  # fmt: skip
    plain = tiny_config(tmp_path, name="plain", arms=arms)
    ours = tiny_config(tmp_path, name="ours", arms=arms, evolution=rules)
    by_rules, by_ours = run_experiment(plain), run_experiment(ours)
    assert by_ours[Arm.PATHNET_PAPER] == by_rules[Arm.PATHNET_PAPER]
    assert by_ours[Arm.PATHNET] != by_rules[Arm.PATHNET]
