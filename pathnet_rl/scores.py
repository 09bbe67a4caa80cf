"""Published scores of Atari games: a random policy's and a human tester's, to put games on one scale.

From Mnih et al. (2015), "Human-level control through deep reinforcement learning", extended data table 2:
raw scores of whole games with up to 30 no-op actions at the start. A game that is not here has no
normalised score. The random policy's scores were compared with a second published list; of the human
testers' about half were: take a normalised score for orientation, and the area above random for a result.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedScores:
    """Mean scores of a game."""

    random: float
    human: float


PUBLISHED: dict[str, PublishedScores] = {
    "Alien": PublishedScores(227.8, 6875.0),
    "Assault": PublishedScores(222.4, 1496.0),
    "Asterix": PublishedScores(210.0, 8503.0),
    "BeamRider": PublishedScores(363.9, 5775.0),
    "Boxing": PublishedScores(0.1, 4.3),
    "Breakout": PublishedScores(1.7, 31.8),
    "CrazyClimber": PublishedScores(10781.0, 35411.0),
    "DemonAttack": PublishedScores(152.1, 3401.0),
    "Enduro": PublishedScores(0.0, 309.6),
    "Freeway": PublishedScores(0.0, 29.6),
    "Frostbite": PublishedScores(65.2, 4335.0),
    "Gravitar": PublishedScores(173.0, 2672.0),
    "Hero": PublishedScores(1027.0, 25763.0),
    "Kangaroo": PublishedScores(52.0, 3035.0),
    "KungFuMaster": PublishedScores(258.5, 22736.0),
    "MsPacman": PublishedScores(307.3, 15693.0),
    "Pong": PublishedScores(-20.7, 9.3),
    "Qbert": PublishedScores(163.9, 13455.0),
    "Riverraid": PublishedScores(1339.0, 13513.0),
    "RoadRunner": PublishedScores(11.5, 7845.0),
    "Robotank": PublishedScores(2.2, 11.9),
    "Seaquest": PublishedScores(68.4, 20182.0),
    "SpaceInvaders": PublishedScores(148.0, 1652.0),
    "UpNDown": PublishedScores(533.4, 9082.0),
}
"""By the game's name in `ALE/<Game>-v5`."""


def published(task: str) -> PublishedScores | None:
    """The published scores of a task, None if it is no Atari game or not in the table."""
    if not task.startswith("ALE/"):
        return None
    return PUBLISHED.get(task.removeprefix("ALE/").rpartition("-v")[0])
