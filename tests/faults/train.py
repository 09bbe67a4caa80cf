"""`launch.train`, with a coordinator that checks its table of fitness, and a clock that may be wrong.

FAULTS_CLOCK: seconds by which the driver's clock is set.
"""

from __future__ import annotations

import os
import time

import workers.ray_crew
from launch.train import main
from tests.faults.tape import TapedCoordinator


def set_clock(by: float) -> None:
    """Have this process see another time."""
    right = time.time
    time.time = lambda: right() + by


if __name__ == "__main__":
    set_clock(float(os.environ.get("FAULTS_CLOCK", "0")))
    workers.ray_crew.CoordinatorActor = TapedCoordinator  # type: ignore[attr-defined]
    main()
