"""From the configuration to the engine that computes."""

from __future__ import annotations

from typing import Literal

from pathnet_rl.config import RunConfig
from pathnet_rl.engine.interface import Descent, Engine, EngineSize
from pathnet_rl.errors import UserError
from pathnet_rl.grid import Grid
from pathnet_rl.optimizer import RMSPropStep, shared_rmsprop


def make(config: RunConfig, grid: Grid, size: EngineSize) -> Engine:
    """The engine that the configuration asks for; only its own libraries are loaded.

    Raises:
        UserError: it cannot do what the grid asks for.
    """
    check_fit(config, grid)
    check_device(config)
    if config.engine_name == "torch":
        from pathnet_rl.engine.torch_engine import TorchEngine

        return TorchEngine(grid, size, config.device)
    from pathnet_rl.engine.compiled.network import CompiledEngine

    return CompiledEngine(grid, size)


def check_device(config: RunConfig) -> None:
    """Find out whether this machine has the device that the configuration asks for.

    Raises:
        UserError: it has not.
    """
    if config.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("this machine has no GPU that torch can use; use --device cpu")


def check_fit(config: RunConfig, grid: Grid) -> None:
    """Find out before anything is begun whether `make` will succeed.

    Raises:
        UserError: the engine cannot do what the grid asks for.
    """
    if config.engine_name == "torch":
        if config.grid.image_precision == "bfloat16" and len(grid.observation_shape) == 3:
            raise UserError(
                "the torch engine computes in float32; use --grid.image-precision auto or float32"
            )
        return
    _check_compiler()
    if len(grid.observation_shape) == 3:
        image_precision(config, grid)


def _check_compiler() -> None:
    """Find out whether numba compiles.

    Raises:
        UserError: somebody has told it not to.
    """
    import numba

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise UserError(
            "NUMBA_DISABLE_JIT is set, and the compiled engine is none without numba's compiler; unset it, or"
            " use --engine torch"
        )


def image_precision(config: RunConfig, grid: Grid) -> str:
    """The number format of images, `float32` or `bfloat16`, on this processor.

    Raises:
        UserError: bfloat16 is asked for and cannot be had.
    """
    if config.engine_name == "torch":
        return "float32"
    from pathnet_rl.engine.compiled.network import first_layer_dtype

    return str(first_layer_dtype(grid)).removeprefix("torch.")


def pathways_together(config: RunConfig, owned: int) -> int:
    """G: how many of the pathways that a worker owns act and learn side by side."""
    return owned if config.acts_grouped else 1


def rmsprop_step(config: RunConfig) -> RMSPropStep:
    """The optimizer's step, compiled unless only torch is wanted."""
    if config.engine_name == "torch":
        return shared_rmsprop
    from pathnet_rl.engine.compiled import rmsprop

    return rmsprop.shared_rmsprop


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
    _check_compiler()
    from pathnet_rl.engine.compiled.descent import PathwayDescent

    return PathwayDescent(inputs, units, layers, classes, batch, widest)
