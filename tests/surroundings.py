"""What the tests of the files around the program share: which there are, and what versions they must name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT

FOLDERS = ("docker", "launch/cluster", "launch/kubernetes", "launch/slurm", "launch/dashboards")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).iterdir()) if path.is_file()]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)
HEALTH_CHECKS = {
    name: re.compile(rf"RAY_health_check_{name}[= ](\d+)")
    for name in ("period_ms", "timeout_ms", "failure_threshold")
}


def documents(path: Path) -> list[dict[str, Any]]:
    """What a YAML file holds."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def name_of(path: Path) -> str:
    """A file's name in a test's id."""
    return str(path.relative_to(ROOT))
