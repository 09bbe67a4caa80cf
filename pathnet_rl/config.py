"""The configuration of a run of the games, section by section.

Units: `agent_steps` are decisions (after the frame skip), one emulator frame skip each.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from pathnet_rl.arms import SWITCHES, Arm, check_arms
from pathnet_rl.environment_options import EnvironmentOptions, TasksDisagree
from pathnet_rl.errors import UserError
from pathnet_rl.hyperparameters import Hyperparameter
from pathnet_rl.lineages import LineagesConfig
from pathnet_rl.modules import ATARI_LAYERS, CustomModule, Module, check_width, from_text
from pathnet_rl.places import Place, default_place
from pathnet_rl.settings import MOST, MOST_SEED, Settings

MOST_AGENT_STEPS = 10**15
Number = TypeVar("Number", int, float)


class GridConfig(Settings):
    """The grid and the widest pathway through it."""

    section = "grid"
    layers: tuple[Module, ...] = Field(ATARI_LAYERS, min_length=1)
    """L layers, from the observation up; what one module of each layer is."""
    modules: int = Field(10, ge=1, le=MOST)
    """M: modules in a layer."""
    width: int = Field(4, ge=1, le=MOST)
    """N: the most modules of a layer that one pathway may use."""

    standardise_images: bool = True
    """Bring each frame to median 0 and deviation 1. Scaled to [0, 1] instead (off), the constant
    background is most of the first layer's gradient, and its units die."""
    image_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers of the first convolution: bfloat16 takes half the time on processors that multiply it
    (auto asks the processor); weights, gradients and everything else are float32."""

    @field_validator("layers", mode="before")
    @classmethod
    def _from_text(cls, layers: Any) -> Any:
        if not isinstance(layers, (list, tuple)):
            return layers
        return [from_text(layer) if isinstance(layer, str) else layer for layer in layers]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_width(self.width, self.modules)
        return self


class EvolutionConfig(LineagesConfig):
    """The population and its tournaments."""

    section = "evolution"
    population: int = Field(64, ge=1, le=MOST)
    """P: pathways that are evaluated side by side."""
    episodes: int = Field(4, ge=1, le=MOST)
    """T: episodes a pathway plays before its fitness is known."""
    rivals: int = Field(4, ge=1, le=MOST)
    """B: pathways drawn at random to meet the one just evaluated."""
    mutation_rate: float | None = Field(None, ge=0.0, le=1.0)
    """Probability that a gene mutates; 1/(N L) when not given."""
    wrap: bool = False
    """Mutated genes wrap around at the grid's edge instead of being clamped to it."""
    heirs_keep_squares: bool = False
    """An heir's modules begin with the optimizer's state of what they are copies of."""
    building: Literal["always", "evolved"] = "always"
    """What finished tasks were solved with is active beside every pathway (the paper's rule), or beside those
    whose genes say so, one gene for each finished task."""
    halvings: tuple[float, ...] = ()
    """Shares of a task's budget at which the worse half of its lineages ends. Until one is left, tournaments
    are held inside a lineage, so that none ends by chance."""
    finalists: int = Field(0, ge=0, le=MOST)
    """So many of the fittest pathways play again before one is frozen; 0: none, as in the paper."""
    final_episodes: int = Field(8, ge=1, le=MOST)
    """Episodes that a finalist plays."""
    hyperparameters: tuple[Hyperparameter, ...] = ()
    """Which of learning_rate and entropy_cost are genes: every pathway of a task's first population draws
    factors of them, and the winner of a tournament hands its own on, perturbed (Jaderberg et al. 2017)."""
    hyperparameter_range: float = Field(8.0, gt=1.0)
    """Factors are drawn log-uniformly between 1 / range and range, and stay between them."""
    duplication_rate: float = Field(0.0, ge=0.0, le=1.0)
    """Probability, for each layer whenever a pathway has played its T episodes, that the layer's best module
    is copied over its worst: module duplication, which the paper has for Labyrinth."""
    duplication_window: int = Field(20, ge=1, le=MOST)
    """A module is as good as the mean fitness of the genotypes with it that were evaluated last, so many."""

    @model_validator(mode="after")
    def _begins(self) -> Self:
        if any(not 0.0 < share < 1.0 for share in self.halvings) or list(self.halvings) != sorted(
            self.halvings
        ):
            raise UserError("halvings are growing shares of a task's budget, between 0 and 1")
        if len(set(self.hyperparameters)) < len(self.hyperparameters):
            raise UserError(f"a gene is named twice in hyperparameters {self.hyperparameters}")
        if self.finalists > self.population:
            raise UserError(
                f"there are {self.population} pathways, and {self.finalists} cannot be finalists; lower"
                " --evolution.finalists or raise --evolution.population"
            )
        return self


class LearningConfig(Settings):
    """A3C and the shared RMSProp."""

    section = "learning"
    learning_rate: float = Field(7e-4, gt=0.0)
    """eta, annealed linearly to 0 over the task."""
    anneal: bool = True
    """Anneal the learning rate; off keeps it constant."""
    rmsprop_decay: float = Field(0.99, ge=0.0, lt=1.0)
    """alpha of the running mean of squared gradients."""
    rmsprop_epsilon: float = Field(0.1, gt=0.0)
    """Added inside the square root."""
    rollout_steps: int = Field(20, ge=1, le=MOST)
    """t_max: steps between two updates of one pathway."""
    environments: int = Field(4, ge=1, le=MOST)
    """E: environments that one pathway acts in at once."""
    discount: float = Field(0.99, ge=0.0, le=1.0)
    value_weight: float = Field(0.5, ge=0.0)
    """Factor of the value loss (R - V)^2 / 2."""
    entropy_cost: float = Field(0.01, ge=0.0)
    gradient_norm: float = Field(40.0, gt=0.0)
    """The global norm to which gradients are clipped."""
    clip_rewards: bool = True
    """Clip rewards to [-1, 1] for learning; fitness and reports use raw returns."""
    reward_scale: tuple[Annotated[float, Field(gt=0.0)], ...] = Field((1.0,), min_length=1)
    """Factor of rewards for learning, before they are clipped: one for each task, or one for all of them."""


class ReplayConfig(Settings):
    """Finished tasks are played again, greedily, by the pathway that was best in each."""

    section = "replay"
    episodes: int = Field(4, ge=1, le=MOST)
    """Episodes, one in each of as many environments."""
    most_steps: int = Field(5000, ge=1, le=MOST_AGENT_STEPS)
    """Agent steps after which an episode is cut; its return so far counts."""
    random_episodes: int = Field(20, ge=1, le=MOST)
    """Episodes of a policy that acts at random, in each task, to compare with."""


class RunConfig(EnvironmentOptions):
    """One run: a sequence of tasks, learned by PathNet and by the controls it is compared with."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The run's folder under --folder: letters, digits, dots, underscores and dashes."""
    tasks: tuple[str, ...] = Field(("ALE/Pong-v5",), min_length=1)
    """Task names in the order they are learned: Gymnasium ids with discrete actions."""
    agent_steps: tuple[int, ...] = Field((1_000_000,), min_length=1)
    """Agent steps of each task, or one number for all of them."""
    arms: tuple[Arm, ...] = Field((Arm.PATHNET, Arm.INDEPENDENT), min_length=1)
    """What is run, in this order; speedups are relative to `independent`."""
    seed: int = Field(0, ge=0, le=MOST_SEED)
    """Every random number of the run comes from this."""
    workers: int | None = Field(None, ge=1, le=MOST)
    """Worker actors; one per CPU when not given. The population is spread over them."""
    exchange_seconds: float = Field(0.05, gt=0.0)
    """Between two exchanges of another node of a cluster with the parameter server, at least; a node with few
    CPUs has fewer of them."""
    exchange_precision: Literal["float32", "bfloat16"] = "float32"
    """Of what a node tells in an exchange: bfloat16 is half the bytes, and rounded."""
    grid: GridConfig = GridConfig()
    evolution: EvolutionConfig = EvolutionConfig()
    learning: LearningConfig = LearningConfig()
    replay: ReplayConfig = ReplayConfig()
    checkpoint_seconds: float = Field(60.0, gt=0.0)
    """Seconds between two checkpoints."""
    checkpoints_kept: int = Field(3, ge=1, le=MOST)
    report_seconds: float = Field(10.0, gt=0.0)
    """Seconds between two reports to TensorBoard."""
    folder: Place = Field(default_factory=default_place)
    """Where run folders are made: a path, or a URL such as s3://bucket/prefix. PATHNET_RL_FOLDER, if that is
    set."""
    engine: Literal["auto", "compiled", "torch"] = "auto"
    """What computes with weights: compiled (the fast one: convolutions and linear modules, on the CPU), or
    torch (the plain one: any module, any device). auto is compiled wherever that can do it."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where pathways act and learn. On a GPU (cuda) they are always grouped."""
    grouped: bool = False
    """Let all pathways of a worker act and learn together: what keeps a GPU busy, and slower than one after
    another on a CPU. For the torch engine."""
    serial: bool = False
    """Run every role in this process, without ray and bit-reproducibly."""

    @model_validator(mode="before")
    @classmethod
    def _read_older_names(cls, value: Any) -> Any:
        if isinstance(value, dict) and "evaluation" in value and "replay" not in value:
            value = {**value, "replay": value["evaluation"]}
            del value["evaluation"]
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for option, numbers in (
            ("agent_steps", self.agent_steps),
            ("learning.reward_scale", self.learning.reward_scale),
        ):
            if len(numbers) not in (1, len(self.tasks)):
                tasks = f"{len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}"
                line = f"{option} has {len(numbers)} numbers for {tasks}; give one for all or one for each"
                raise TasksDisagree(line, self.tasks, self)
        if min(self.agent_steps) < 1:
            raise UserError("agent_steps must be at least 1")
        if max(self.agent_steps) > MOST_AGENT_STEPS:
            raise UserError(f"agent_steps must be at most {MOST_AGENT_STEPS:,}")
        if self.workers is not None and self.workers > self.evolution.population:
            raise UserError(
                f"{self.workers} workers cannot share {self.evolution.population} pathways;"
                " lower --workers or raise --evolution.population"
            )
        if "entropy_cost" in self.evolution.hyperparameters and not self.learning.entropy_cost:
            raise UserError(
                "a factor of an entropy cost of 0 changes nothing; raise --learning.entropy-cost, or leave"
                " entropy_cost out of --evolution.hyperparameters"
            )
        check_arms(self.arms, SWITCHES)
        if self.engine == "compiled" and self._only_torch:
            raise UserError(f"the compiled engine has no {self._only_torch[0]}; use --engine torch")
        return self

    def tasks_of(self, arm: Arm) -> range:
        """The tasks an arm learns: all, or those after the first for a control that does not transfer."""
        several = len(self.tasks) > 1
        return range(1 if several and not SWITCHES[arm].first_task else 0, len(self.tasks))

    def steps_of(self, task: int) -> int:
        """The agent steps of one task."""
        return _of_task(self.agent_steps, task)

    def reward_scale_of(self, task: int) -> float:
        """The factor of one task's rewards."""
        return _of_task(self.learning.reward_scale, task)

    def of(self, arm: Arm) -> RunConfig:
        """What an arm learns by: this, but pathnet-paper by the paper's own rules of evolution.

        P, T and B stay as they are, so that arms differ in nothing else, and so does module duplication (a
        rule of the paper's).
        """
        if not SWITCHES[arm].as_in_paper:
            return self
        kept = {"population", "episodes", "rivals", "duplication_rate", "duplication_window"}
        evolution = EvolutionConfig(**self.evolution.model_dump(include=kept))
        return self.model_copy(update={"evolution": evolution})

    @property
    def engine_name(self) -> Literal["compiled", "torch"]:
        """The engine that is used: `engine`, or what auto stands for."""
        if self.engine == "auto":
            return "torch" if self._only_torch else "compiled"
        return self.engine

    @property
    def _only_torch(self) -> list[str]:
        """What this configuration asks for that only the torch engine has."""
        kinds = [m.kind for m in self.grid.layers if isinstance(m, CustomModule)]
        asked = [f"modules of the kind {kind}" for kind in kinds]
        asked += ["GPU (--device cuda)"] if self.device == "cuda" else []
        return asked + (["way to group pathways (--grouped)"] if self.grouped else [])

    @property
    def acts_grouped(self) -> bool:
        """All pathways of a worker act and learn together."""
        return self.grouped or self.device != "cpu"

    @property
    def mutation_rate(self) -> float:
        """The probability that a gene mutates, 1/(N L) unless configured."""
        if self.evolution.mutation_rate is not None:
            return self.evolution.mutation_rate
        return 1.0 / (self.grid.width * len(self.grid.layers))


def _of_task(numbers: tuple[Number, ...], task: int) -> Number:
    """One task's of numbers that are one for each task, or one for all of them."""
    return numbers[task if len(numbers) > 1 else 0]


MAY_CHANGE = frozenset(
    {
        "name", "workers", "checkpoint_seconds", "checkpoints_kept", "report_seconds",
        "exchange_seconds", "exchange_precision", "folder", "engine", "device", "grouped",
        "isolate", "replay.random_episodes", "grid.image_precision", "serial",
    }
)  # fmt: skip
"""Fields that say where, how often and by what, not what: a run may be resumed with others."""
