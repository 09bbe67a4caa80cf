"""It learns: the `cartpole` preset's grid balances the pole."""

from __future__ import annotations

from pathlib import Path

import pytest

from launch.presets import PRESETS
from pathnet_rl.run_folder import RunFolder
from tests.support import serial_crew


@pytest.mark.timeout(120)
def test_evolving_pathways_learn_cartpole_to_a_mean_return_of_400(tmp_path: Path) -> None:
    config = PRESETS["cartpole"][1].model_copy(update={"folder": str(tmp_path)})
    RunFolder(config).open()
    crew = serial_crew(config)
    best = 0.0
    try:
        crew.server.begin_first_task(0)
        crew.hub.begin_task(0, 0)
        crew.start()
        while best <= 400 and not crew.wait(0.2):
            best = max(best, crew.hub.mean_return() or 0.0)
    finally:
        crew.close()
    assert best > 400
