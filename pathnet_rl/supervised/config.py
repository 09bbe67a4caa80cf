"""The configuration of serial PathNet on images, in the sections that the games have.

The defaults are the paper's for MNIST.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pathnet_rl.config import GridConfig
from pathnet_rl.grid import Grid
from pathnet_rl.lineages import LineagesConfig
from pathnet_rl.modules import LinearModule, check_width
from pathnet_rl.settings import MOST, Settings


class SerialGridConfig(Settings):
    """A grid of linear modules, and the widest pathway through it."""

    section = "grid"
    units: int = Field(20, ge=1, le=MOST)
    """Units of a module, which is one linear layer and a ReLU."""
    depth: int = Field(3, ge=1, le=MOST)
    """L."""
    modules: int = Field(10, ge=1, le=MOST)
    """M: modules in a layer."""
    width: int = Field(3, ge=1, le=MOST)
    """N: the most modules of a layer that one pathway may use."""
    aggregation: Literal["sum", "mean"] = "sum"
    """How the last layer's modules are put together before the head."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_width(self.width, self.modules)
        return self

    def geometry(self, inputs: int) -> Grid:
        """The geometry of one seed's grid."""
        layers = (LinearModule(units=self.units),) * self.depth
        return Grid(
            GridConfig(layers=layers, modules=self.modules, width=self.width), (inputs,), ()
        )


class SerialEvolutionConfig(LineagesConfig):
    """The population of pathways, of which two at a time are trained and compared.

    The defaults are the paper's rules, which the arm pathnet-paper keeps to.
    """

    section = "evolution"
    population: int = Field(64, ge=1, le=MOST)
    """P."""
    mutation_rate: float | None = Field(None, ge=0.0, le=1.0)
    """Probability that a gene mutates; 1/(N L) when not given."""


class SerialLearningConfig(Settings):
    """Stochastic gradient descent, and when a task is over."""

    section = "learning"
    minibatches: int = Field(50, ge=1, le=MOST)
    """T: minibatches on which a pathway is trained and judged; two such windows are a generation."""
    batch: int = Field(16, ge=1, le=MOST)
    """Images in a minibatch."""
    learning_rate: float = Field(0.05, gt=0.0)
    """Of stochastic gradient descent; the best of a sweep for PathNet and both controls alike."""
    threshold: float | None = Field(0.998, gt=0.0, le=1.0)
    """A task ends when a window's training accuracy is at least this; never, if not given."""
    generations: int = Field(1000, ge=1, le=MOST)
    """A task ends after so many generations in any case; it is then censored."""


OLD_PLACES = {
    "grid": ("units", "modules", "width", "aggregation"),
    "evolution": ("population", "mutation_rate"),
}
"""What lay in the section `learning` when there was no other."""


class SerialConfig(Settings):
    """Serial PathNet: binary tournaments on the training stream."""

    grid: SerialGridConfig = SerialGridConfig()
    evolution: SerialEvolutionConfig = SerialEvolutionConfig()
    learning: SerialLearningConfig = SerialLearningConfig()
    engine: Literal["auto", "compiled", "torch"] = "auto"
    """What computes with the weights: loops compiled for this processor (auto takes them), or plain
    torch, which is slower and easier to read."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_section(cls, given: Any) -> Any:
        """A configuration that was saved when all settings lay in `learning`, in today's sections."""
        if not isinstance(given, dict) or given.keys() & OLD_PLACES.keys():
            return given
        if not isinstance(given.get("learning"), dict):
            return given
        learning = dict(given["learning"])
        moved = {
            section: {name: learning.pop(name) for name in names if name in learning}
            for section, names in OLD_PLACES.items()
        }
        if "layers" in learning:
            moved["grid"]["depth"] = learning.pop("layers")
        return {**given, "learning": learning, **moved}

    @property
    def mutation_rate(self) -> float:
        """The probability that a gene mutates, 1/(N L) unless configured."""
        if self.evolution.mutation_rate is not None:
            return self.evolution.mutation_rate
        return 1.0 / (self.grid.width * self.grid.depth)
