"""Which T episodes make a fitness."""

from __future__ import annotations

from pathnet_rl.fitness import Evaluation
from pathnet_rl.telemetry import Episode


def episode(environment: int, value: float, whole: bool = True) -> Episode:
    return Episode(value, 10, environment, whole)


def test_fitness_is_the_mean_return_of_the_episodes() -> None:
    evaluation = Evaluation(episodes=4, environments=2)
    for environment, value in ((0, 1.0), (1, 2.0), (1, 3.0)):
        evaluation.add(episode(environment, value))
        assert evaluation.fitness is None
    evaluation.add(episode(0, 10.0))
    assert evaluation.fitness == 4.0


def test_which_episodes_count_is_settled_beforehand_so_that_short_ones_have_no_advantage() -> None:
    evaluation = Evaluation(episodes=4, environments=2)
    for _ in range(50):
        evaluation.add(episode(0, 1.0))  # Environment 0 is quick and gets no more than its share.
    assert evaluation.fitness is None
    evaluation.add(episode(1, 5.0))
    evaluation.add(episode(1, 5.0))
    assert evaluation.fitness == 3.0


def test_episodes_that_do_not_divide_evenly_are_shared_out() -> None:
    evaluation = Evaluation(episodes=5, environments=3)
    for environment in (2, 1, 1, 0):
        evaluation.add(episode(environment, 1.0))
    assert evaluation.fitness is None
    evaluation.add(episode(0, 1.0))
    assert evaluation.fitness == 1.0


def test_fewer_episodes_than_environments_need_only_some_of_them() -> None:
    evaluation = Evaluation(episodes=1, environments=3)
    evaluation.add(episode(0, 7.0))
    assert evaluation.fitness == 7.0


def test_an_episode_that_another_genotype_began_does_not_count() -> None:
    evaluation = Evaluation(episodes=1, environments=1)
    evaluation.add(episode(0, 100.0, whole=False))
    assert evaluation.fitness is None
    evaluation.add(episode(0, 2.0))
    assert evaluation.fitness == 2.0
