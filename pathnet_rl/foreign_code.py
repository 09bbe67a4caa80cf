"""Code that a run folder names: a module of the user's own, or one that registers a task.

To import it is to run it. Whoever types a run's options names it himself; whoever reads a folder, which may
come from elsewhere, has to say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pathnet_rl.config import RunConfig
from pathnet_rl.errors import UserError
from pathnet_rl.modules import CustomModule


def module_of(task: str) -> str:
    """The module that a task's name has imported, or nothing."""
    return task.rpartition(":")[0]


def named_in(config: RunConfig) -> tuple[str, ...]:
    """The modules that a run's tasks and layers have imported."""
    kinds = [m.kind.partition(":")[0] for m in config.grid.layers if isinstance(m, CustomModule)]
    return _different([*map(module_of, config.tasks), *kinds])


def check_imports(config: RunConfig, allowed: Collection[str], where: object) -> None:
    """Refuse to import what nobody has allowed.

    Raises:
        UserError: names it, and how to allow it.
    """
    unknown = [module for module in named_in(config) if module not in allowed]
    if unknown:
        raise UserError(
            f"{where} names code that would be run: {', '.join(unknown)}; if you know it, add"
            f" --imports {' '.join(unknown)}"
        )


def _different(modules: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(module for module in modules if module))
