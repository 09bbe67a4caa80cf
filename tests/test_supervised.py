"""Serial PathNet, against a slow, literal loop.

Axes: T minibatches of B images; L layers of n modules with k units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pathnet_rl.arms import Arm
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, Genotype
from pathnet_rl.module_layer import AffineLayer
from pathnet_rl.supervised.config import (
    SerialConfig,
    SerialEvolutionConfig,
    SerialGridConfig,
    SerialLearningConfig,
)
from pathnet_rl.supervised.records import TaskRecord
from pathnet_rl.supervised.rules import RULES
from pathnet_rl.supervised.seed_grid import SeedGrid
from pathnet_rl.supervised.serial_pathnet import SeedEvolution, run_seed
from pathnet_rl.supervised.tasks import Task

INPUTS = 12
ENGINES = ("compiled", "torch")


def small(
    grid: dict[str, Any] | None = None, learning: dict[str, Any] | None = None, **changes: Any
) -> SerialConfig:
    """A grid of 3 x 5 modules of 4 units, and windows of 7 minibatches of 5."""
    return SerialConfig(
        grid=SerialGridConfig(**{"units": 4, "depth": 3, "modules": 5, "width": 3, **(grid or {})}),
        evolution=SerialEvolutionConfig(population=6),
        learning=SerialLearningConfig(
            **{
                "minibatches": 7, "batch": 5, "learning_rate": 0.1, "generations": 12,
                "threshold": 0.97, **(learning or {}),
            }
        ),
        **changes,
    )  # fmt: skip


CONFIG = small()


def blobs(name: str, seed: int, classes: int = 2, images: int = 60) -> Task:
    """Noisy copies of one random pattern a class."""
    rng = np.random.default_rng(seed)
    patterns = rng.random((classes, INPUTS))
    labels = rng.integers(0, classes, images)
    noisy = patterns[labels] + rng.normal(0.0, 0.3, (images, INPUTS))
    return Task(name, torch.from_numpy(noisy).float(), torch.from_numpy(labels), classes)


TASKS = (blobs("first", 1), blobs("second", 2))


# The oracle ---------------------------------------------------------------------------------------


def literal_window(
    config: SerialConfig,
    modules: list[list[torch.Tensor]],
    head: torch.Tensor,
    learned: ActiveModules,
    active: ActiveModules,
    task: Task,
    images: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
) -> float:
    """Train one pathway for a window, one module at a time, in double precision, differentiated by torch.

    `modules[layer][module]` is [k, inputs + 1], weights and biases; they and `head` [C, k + 1] are changed.
    """
    correct = 0
    for minibatch in images:
        leaves = [
            modules[layer][m].requires_grad_() for layer, mine in enumerate(active) for m in mine
        ]
        head.requires_grad_()
        current = task.images[torch.from_numpy(minibatch)].double()
        labels = task.labels[torch.from_numpy(minibatch)]
        for layer, mine in enumerate(active):
            total = torch.zeros(len(minibatch), config.grid.units, dtype=torch.float64)
            for m in mine:
                numbers = modules[layer][m]
                total = total + torch.relu(current @ numbers[:, :-1].t() + numbers[:, -1])
            current = (
                total / len(mine)
                if config.grid.aggregation == "mean" and layer == config.grid.depth - 1
                else total
            )
        logits = current @ head[:, :-1].t() + head[:, -1]
        correct += int((logits.argmax(1) == labels).sum())
        loss = torch.nn.functional.cross_entropy(logits, labels)
        gradients = dict(
            zip(
                [id(x) for x in (*leaves, head)],
                torch.autograd.grad(loss, [*leaves, head]),
                strict=True,
            )
        )
        with torch.no_grad():
            for layer, mine in enumerate(learned):
                for m in mine:
                    modules[layer][m] = (
                        modules[layer][m]
                        - config.learning.learning_rate * gradients[id(modules[layer][m])]
                    )
            head -= config.learning.learning_rate * gradients[id(head)]
        for row in modules:
            row[:] = [numbers.detach() for numbers in row]
        head = head.detach_()
    return correct / images.size


def literal_copy(
    weights: SeedGrid, config: SerialConfig
) -> tuple[list[list[torch.Tensor]], torch.Tensor]:
    """The numbers as `literal_window` has them."""
    modules = []
    for layer, rows in zip(config.grid.geometry(INPUTS).layers, weights.rows, strict=True):
        assert isinstance(layer, AffineLayer)
        of_layer = []
        for row in rows.double():
            matrix = row[: layer.weights].view(layer.outputs, -1)
            of_layer.append(torch.cat([matrix, row[layer.weights :, None]], 1))
        modules.append(of_layer)
    return modules, weights.head.double()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("units", "batch", "layers"), [(4, 5, 3), (20, 16, 3), (7, 1, 1), (33, 11, 2), (1, 2, 2)]
)
@pytest.mark.parametrize("aggregation", ["sum", "mean"])
@pytest.mark.parametrize("arm", [Arm.PATHNET, Arm.FROZEN_ACTIVE])
def test_generations_equal_those_of_a_literal_loop(
    arm: Arm, aggregation: str, units: int, batch: int, layers: int, engine: str
) -> None:
    config = small(
        grid={"aggregation": aggregation, "units": units, "depth": layers},
        learning={"threshold": None, "batch": batch},
        engine=engine,
    )
    widest = 5 if arm is Arm.FROZEN_ACTIVE else 3
    weights = SeedGrid(config, INPUTS, 2, widest)
    state, twin = SeedEvolution(arm, 3, config), SeedEvolution(arm, 3, config)
    frozen: ActiveModules = ((0, 2), (1,), (3, 4))[:layers]
    for one in (state, twin):
        one.frozen = frozen
        one.begin_task(1, len(TASKS[1].images))
    weights.begin_task(((),) * layers, state.fresh)
    modules, head = literal_copy(weights, config)
    for _ in range(4):
        state.draw_contestants()
        twin.draw_contestants()
        found, wanted = [], []
        for contestant in (0, 1):
            learned, used = state.modules(contestant)
            images = state.next_images()
            found.append(weights.train(learned, used, TASKS[1], images))

            path = twin.population[twin.contestants[contestant]].active
            mine = tuple(
                tuple(m for m in layer if m not in fixed)
                for layer, fixed in zip(path, frozen, strict=True)
            )
            active = path
            if arm is Arm.FROZEN_ACTIVE:
                active = tuple(
                    tuple(sorted({*layer, *fixed}))
                    for layer, fixed in zip(path, frozen, strict=True)
                )
            wanted.append(
                literal_window(config, modules, head, mine, active, TASKS[1], twin.next_images())
            )
        assert found == pytest.approx(wanted, abs=1e-12)
        literal_modules, literal_head = literal_copy(weights, config)
        for layer, expected in zip(literal_modules, modules, strict=True):
            for numbers, expected_numbers in zip(layer, expected, strict=True):
                torch.testing.assert_close(numbers, expected_numbers.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(literal_head, head.detach(), rtol=1e-5, atol=1e-6)

        # The tournament, spelled out: the fitter overwrites the other, the first wins a tie.
        first, second = twin.contestants
        winner, loser = (second, first) if wanted[1] > wanted[0] else (first, second)
        genes = twin.population[winner].to_array()
        hit = twin._rng.random(genes.shape) < 1.0 / (config.grid.depth * config.grid.width)
        offset = twin._rng.integers(-2, 3, size=genes.shape)
        genes = np.where(hit, np.clip(genes + offset, 0, config.grid.modules - 1), genes)
        twin.population[loser] = Genotype.from_array(genes)
        assert not state.finish_generation((found[0], found[1]))
        assert state.population == twin.population


@pytest.mark.parametrize("arm", list(RULES))
def test_a_seed_decides_the_same_alone_and_after_others(arm: Arm) -> None:
    one_after_the_other = [run_seed(arm, TASKS, seed, CONFIG) for seed in range(4)]
    for seed in (3, 0):
        assert run_seed(arm, TASKS, seed, CONFIG) == one_after_the_other[seed]


@pytest.mark.parametrize("arm", list(RULES))
def test_whole_seeds_are_the_same_with_both_engines(arm: Arm) -> None:
    """A few generations: differences of rounding grow, and decide a tournament in the end."""
    both = [
        [
            run_seed(arm, TASKS, seed, small(learning={"generations": 4}, engine=engine))
            for seed in range(4)
        ]
        for engine in ENGINES
    ]
    assert both[0] == both[1]


def records(arm: Arm, **learning: object) -> list[list[TaskRecord | None]]:
    config = small(learning=learning)
    return [run_seed(arm, TASKS, seed, config) for seed in range(4)]


def test_every_arm_sees_the_same_images_in_the_same_order() -> None:
    streams = []
    for arm in RULES:
        state = SeedEvolution(arm, 5, CONFIG)
        state.begin_task(1, 60)
        windows = np.concatenate([state.next_images().reshape(-1) for _ in range(4)])
        streams.append(windows)
        assert sorted(windows[:60]) == list(range(60))
    for stream in streams[1:]:
        np.testing.assert_array_equal(stream, streams[0])


def test_frozen_modules_never_change_and_everything_else_is_drawn_anew() -> None:
    weights = SeedGrid(CONFIG, INPUTS, 2, 3)
    rng = np.random.default_rng(0)
    weights.begin_task(((),) * 3, rng)
    before = [rows.clone() for rows in weights.rows]
    kept: ActiveModules = ((1, 3), (), (0,))
    weights.begin_task(kept, rng)
    for rows, old, modules in zip(weights.rows, before, kept, strict=True):
        same = (rows == old).all(1)
        assert {int(m) for m in torch.nonzero(same)} == set(modules)


def test_a_task_ends_at_the_threshold_or_is_censored() -> None:
    easy = records(Arm.FINE_TUNE, generations=200)
    assert all(r is not None and not r.censored for pair in easy for r in pair)
    for pair in easy:
        for record in pair:
            assert record is not None
            assert record.accuracy[-1] >= 0.97
            assert max(record.accuracy[:-1], default=0.0) < 0.97
            assert record.generations == len(record.accuracy)
    hard = records(Arm.FINE_TUNE, generations=2, threshold=1.0, learning_rate=1e-6)
    assert all(r is not None and r.censored and r.generations == 2 for pair in hard for r in pair)


def test_without_a_threshold_a_task_ends_at_the_limit_and_is_not_censored() -> None:
    for pair in records(Arm.PATHNET, generations=3, threshold=None):
        for record in pair:
            assert record is not None
            assert record.generations == len(record.accuracy) == 3
            assert not record.censored


def test_controls_and_ablations_do_what_their_names_say() -> None:
    assert all(pair[0] is None for pair in records(Arm.INDEPENDENT))
    fixed = ((0, 1, 2),) * 3
    for arm in (Arm.INDEPENDENT, Arm.FINE_TUNE):
        assert all(r is None or r.path == fixed for pair in records(arm) for r in pair)
    state = SeedEvolution(Arm.POPULATION_20, 0, CONFIG)
    state.begin_task(0, 60)
    assert len(state.population) == 20
    state = SeedEvolution(Arm.NO_EVOLUTION, 0, CONFIG)
    state.begin_task(0, 60)
    path = state.population[0]
    state.draw_contestants()
    state.finish_generation((0.5, 0.6))
    assert state.population == [path]
    assert state.fitness.tolist() == [0.6]


def test_an_unfit_sequence_is_refused() -> None:
    with pytest.raises(UserError, match="images and classes of the same number"):
        run_seed(Arm.PATHNET, [TASKS[0], blobs("three", 3, classes=3)], 0, CONFIG)
    with pytest.raises(UserError, match="width N = 3 is more than modules M = 2"):
        SerialGridConfig(modules=2)
