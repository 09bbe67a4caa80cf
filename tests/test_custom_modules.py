"""Modules of the user's own: any `torch.nn.Module`, named in the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call

from pathnet_rl.arms import Arm
from pathnet_rl.config import EvolutionConfig, GridConfig, LearningConfig, RunConfig
from pathnet_rl.custom_layer import CustomLayer
from pathnet_rl.errors import UserError
from pathnet_rl.genotype import ActiveModules, no_modules
from pathnet_rl.grid import Grid, build_grid
from pathnet_rl.modules import ConvModule, CustomModule, LinearModule, as_text
from pathnet_rl.run_folder import RunFolder
from pathnet_rl.store import GridStore
from tests import my_modules
from tests.engines import act, backward, make_engine
from tests.support import new_store, run_experiment, serial_crew, tiny_config
from tests.test_network import close

RESIDUAL = "tests.my_modules:Residual"
ATTENTION = "tests.my_modules:Attention"
LAYERS = ("conv(kernels=4, size=3, stride=2)", f"{RESIDUAL}(size=5)", f"{ATTENTION}(units=6)",
          "linear(units=5)")  # fmt: skip
STEPS, ENVIRONMENTS = 2, 3
PATH: ActiveModules = ((0, 1), (1, 2), (0, 2), (1,))
FROZEN: ActiveModules = ((1,), (0,), (2,), ())


def settings(*layers: str, **changes: object) -> GridConfig:
    return GridConfig.model_validate({"layers": layers, "modules": 3, "width": 2, **changes})


@pytest.fixture
def store(tmp_path: Path) -> GridStore:
    grid = Grid(settings(*LAYERS), (2, 12, 9), (3,))
    made = new_store(tmp_path / "block", grid)
    made.freeze(FROZEN)
    return made


def literal_outputs(grid: Grid, block: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """[B, A + 1], one module at a time; frozen modules are active and constant."""
    current = seen
    for depth, layer in enumerate(grid.layers):
        total = torch.zeros(())
        for number in sorted({*PATH[depth], *FROZEN[depth]}):
            row = layer.rows(block)[number]
            row = row.detach() if number in FROZEN[depth] else row
            if isinstance(layer, CustomLayer):
                module, named, start = layer.make_module(), {}, 0
                for name, parameter in module.named_parameters():
                    part = row[start : start + parameter.numel()]
                    named[name] = part.view(parameter.shape)
                    start += parameter.numel()
                assert start == layer.module_size
                total = total + functional_call(module, named, (current,))
            elif depth == 0:
                weights, biases = row[:72].view(4, 2, 3, 3), row[72:]
                total = total + torch.conv2d(current, weights, biases, stride=2).relu()
            else:
                total = total + (current @ row[:30].view(5, 6).t() + row[30:]).relu()
        current = total
    head = grid.heads[0].numbers(block)
    outputs: torch.Tensor = current @ head[:20].view(4, 5).t() + head[20:]
    return outputs


def test_outputs_and_gradients_equal_those_of_one_module_at_a_time(store: GridStore) -> None:
    grid, rng = store.grid, np.random.default_rng(1)
    seen = rng.integers(0, 256, (STEPS * ENVIRONMENTS, 2, 12, 9), dtype=np.uint8)
    engine = make_engine("torch", grid, STEPS, ENVIRONMENTS)
    engine.load([store.pull(0, PATH, FROZEN)])
    logits, values = act(engine, seen)
    upstream = rng.standard_normal((len(seen), 4)).astype(np.float32)
    gradients = backward(engine, upstream[:, :-1], upstream[:, -1])

    block = store.parameters.clone().requires_grad_()
    images = torch.from_numpy(seen).float()
    middle = images[:, :, ::8, ::8].flatten(2).median(2).values[:, :, None, None]
    deviation = images.std((2, 3), keepdim=True, correction=0).clamp(min=1.0)
    wanted = literal_outputs(grid, block, (images - middle) / deviation)
    close(torch.cat([logits, values[:, None]], 1), wanted.detach())
    (wanted * torch.from_numpy(upstream)).sum().backward()  # type: ignore[no-untyped-call]
    assert block.grad is not None
    learned = [sorted(set(p) - set(f)) for p, f in zip(PATH, FROZEN, strict=True)]
    for layer, modules, found in zip(grid.layers, learned, gradients.layers, strict=True):
        close(found, layer.rows(block.grad)[modules])
    close(gradients.head, grid.heads[0].numbers(block.grad))


def test_pathways_side_by_side_are_those_one_after_another(store: GridStore) -> None:
    """Of different widths: what pads the narrow one has no part in anything."""
    grid, rng = store.grid, np.random.default_rng(2)
    narrow: ActiveModules = ((0,), (1,), (0,), (2,))
    weights = [store.pull(0, path, no_modules(4)) for path in (PATH, narrow)]
    seen = rng.integers(0, 256, (2, STEPS * ENVIRONMENTS, 2, 12, 9), dtype=np.uint8)
    drawn = rng.standard_normal((2, STEPS * ENVIRONMENTS, 4)).astype(np.float32)
    upstream = [(one[:, :-1], one[:, -1]) for one in drawn]
    together = make_engine("torch", grid, STEPS, ENVIRONMENTS, pathways=2)
    together.load(weights)
    for step in range(STEPS):
        rows = slice(step * ENVIRONMENTS, (step + 1) * ENVIRONMENTS)
        together.forward([one[rows] for one in seen], step)
    found = together.backward(upstream)
    for pathway in range(2):
        alone = make_engine("torch", grid, STEPS, ENVIRONMENTS)
        alone.load([weights[pathway]])
        act(alone, seen[pathway])
        wanted = backward(alone, *upstream[pathway])
        for one, other in zip(found[pathway].layers, wanted.layers, strict=True):
            close(one, other)


def test_a_module_that_changes_what_it_is_given_changes_it_for_nobody_else(tmp_path: Path) -> None:
    found = []
    for kind in ("InPlace", "OutOfPlace"):
        module = f"tests.my_modules:{kind}"
        grid = Grid(settings(f"{module}(units=5)", f"{module}(units=4)"), (6,), (2,))
        store = new_store(tmp_path / kind, grid)
        engine = make_engine("torch", grid, STEPS, ENVIRONMENTS)
        path: ActiveModules = ((0, 1, 2), (0, 2))
        engine.load([store.pull(0, path, no_modules(2))])
        rng = np.random.default_rng(0)
        seen = rng.standard_normal((STEPS * ENVIRONMENTS, 6)).astype(np.float32)
        outputs = act(engine, seen)
        upstream = rng.standard_normal((STEPS * ENVIRONMENTS, 3)).astype(np.float32)
        gradients = backward(engine, upstream[:, :-1], upstream[:, -1])
        found.append([*outputs, *gradients.layers, gradients.head])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_parameters_that_lie_otherwise_are_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many numbers, in another order: loaded, they would be scrambled."""
    described = []
    for swapped in (False, True):
        monkeypatch.setattr(my_modules.Pair, "swapped", swapped)
        described.append(Grid(settings("tests.my_modules:Pair()"), (6,), (2,)).describe())
    assert described[0] != described[1]
    json.dumps(described)


def test_a_fresh_module_is_drawn_as_it_initialises_itself_and_from_our_generator() -> None:
    layer = Grid(settings(*LAYERS), (2, 12, 9), (3,)).layers[2]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    drawn = [layer.draw(np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert (drawn[0][:4] == 1).all()  # A layer norm's weights begin at 1.


def custom_run(folder: Path) -> RunConfig:
    return tiny_config(
        folder,
        tasks=("ALE/Pong-v5",),
        agent_steps=(600,),
        grid=settings(
            "conv(kernels=4, size=8, stride=4)", f"{RESIDUAL}()", "conv(kernels=4, size=4, stride=4)",
            f"{ATTENTION}(units=6)",
        ),
        learning=LearningConfig(environments=2, rollout_steps=5),
        evolution=EvolutionConfig(population=2, episodes=1, rivals=1),
    )  # fmt: skip


def test_a_run_with_modules_of_ones_own_learns_saves_and_is_loaded_again(tmp_path: Path) -> None:
    config = custom_run(tmp_path)
    assert config.engine_name == "torch"
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    RunFolder(config).open()
    crew = serial_crew(config)
    try:
        crew.server.begin_first_task(0)
        before = crew.store.parameters.clone()
        crew.hub.begin_task(0, 0)
        crew.start()
        while not crew.wait(1.0):
            pass
        grid, after = crew.store.grid, crew.store.parameters
        for layer in grid.layers:
            assert not torch.equal(layer.rows(after), layer.rows(before))
        tensors, header = crew.server.state()
        again = GridStore.create(tmp_path / "again", build_grid(config), config.learning)
        again.load_state(tensors, header)
        assert torch.equal(again.parameters, after)
    finally:
        crew.close()


def test_a_module_of_ones_own_for_vectors_goes_through_whole_tasks(tmp_path: Path) -> None:
    grid = settings("linear(units=8)", "torch.nn:Identity()", modules=5)
    with pytest.raises(UserError, match="has no numbers to learn"):
        Grid(grid, (4,), (2,))
    config = tiny_config(
        tmp_path,
        agent_steps=(600,),
        grid=settings("linear(units=8)", "tests.my_modules:Gated(units=4)"),
    )
    results = run_experiment(config)
    assert [result.forgetting for result in results[Arm.PATHNET]] == [0.0, 0.0]


def test_layers_are_written_as_calls_and_read_again() -> None:
    layers = settings(*LAYERS).layers
    assert layers == (
        ConvModule(kernels=4, size=3, stride=2),
        CustomModule(kind=RESIDUAL, options={"size": 5}),
        CustomModule(kind=ATTENTION, options={"units": 6}),
        LinearModule(units=5),
    )
    assert tuple(as_text(layer) for layer in layers) == LAYERS
    assert settings(f"{RESIDUAL}").layers[0] == CustomModule(kind=RESIDUAL)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("linear(50)", "is no module; write one as"),
        ("linear(units=print())", "is no module; write one as"),
        ("linear(units=0)", "greater than or equal to 1"),
        ("line(units=3)", "kinds of module are conv, linear and"),
        ("tests.my_modules:Missing()", "cannot be imported: .* 'Missing'"),
        ("no_such_package:Residual", "cannot be imported"),
        (f"{RESIDUAL}(depth=2)", "cannot be made: .*depth"),
        ("tests.my_modules:Normed", "keeps buffers"),
        ("tests.my_modules:WantsMore", "cannot take in arrays of shape .batch, 2, 12, 9."),
        ("tests.my_modules:not_a_module", "makes no torch.nn.Module"),
        ("tests.my_modules:Lazy", "give it its size"),
        ("tests.my_modules:Faulty(fault='fixed')", "not to be learned"),
        ("tests.my_modules:Faulty(fault='double')", "must be float32"),
        ("tests.my_modules:Faulty(fault='squeezed')", "must be float32 of shape"),
        ("tests.my_modules:Faulty(fault='two')", "returns tuple"),
        ("tests.my_modules:Faulty(fault='raises')", "cannot be made: ValueError: this is long"),
        ("tests.my_modules:Faulty(fault='exits')", "cannot be made: SystemExit: no licence"),
        ("tests.my_modules:Faulty(kind='x')", "is no module; write one as"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_line(layer: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        Grid(settings(layer), (2, 12, 9), (3,))
    assert "\n" not in str(refused.value)


def test_what_a_module_tells_torch_when_it_is_made_holds_for_nobody_else() -> None:
    Grid(settings("tests.my_modules:Faulty(fault='changes torch')"), (2, 12, 9), (3,))
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": settings(f"{RESIDUAL}()")}, "has no modules of the kind"),
        ({"device": "cuda"}, "has no GPU"),
        ({"grouped": True}, "has no way to group"),
    ],
)
def test_what_the_compiled_engine_does_not_have_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        RunConfig.model_validate({"engine": "compiled", **changes})
    assert RunConfig.model_validate(changes).engine_name == "torch"
