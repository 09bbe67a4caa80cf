"""Which engine computes: chosen by name, and loaded only then, so that each needs its own libraries alone."""

from __future__ import annotations

from typing import Literal

from pathnet_rl.engine.interface import Descent


def make_descent(
    engine: Literal["auto", "compiled", "torch"],
    inputs: int,
    units: int,
    layers: int,
    classes: int,
    batch: int,
    widest: int,
) -> Descent:
    """Gradient descent on pathways of linear modules.

    Args:
        inputs: numbers in an image. units: k. layers: L. classes: C. batch: B.
        widest: modules that can be active in a layer.
    """
    if engine == "torch":
        from pathnet_rl.engine.torch_descent import TorchDescent

        return TorchDescent(units)
    from pathnet_rl.engine.compiled.descent import PathwayDescent

    return PathwayDescent(inputs, units, layers, classes, batch, widest)
