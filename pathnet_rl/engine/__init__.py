"""The engine: the only place that computes with weights. README.md beside this file is the way in."""

from pathnet_rl.engine.interface import Descent, Engine, EngineSize, Floats
from pathnet_rl.engine.registry import (
    check_device,
    check_fit,
    image_precision,
    make,
    make_descent,
    pathways_together,
    rmsprop_step,
)

__all__ = [
    "Descent",
    "Engine",
    "EngineSize",
    "Floats",
    "check_device",
    "check_fit",
    "image_precision",
    "make",
    "make_descent",
    "pathways_together",
    "rmsprop_step",
]
