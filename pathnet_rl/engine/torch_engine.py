"""The plain engine: PathNet's forward pass as the paper says it (section 2.1), differentiated by torch.

* A *module* is a small network of its own; a convolution or a linear map ends with a ReLU.
* A module is *active* if the pathway names it (or if it is frozen and always active beside it).
* The outputs of a layer's active modules are *summed* and handed to the next layer.
* The last layer is followed by the task's own *head*: a policy and a value.

This file specifies the compiled engine, takes modules of any kind, and runs on any device torch knows.

Axes: G pathways, n modules in a layer (padded to the same n, and the padding masked), T steps,
E environments, B samples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from pathnet_rl.custom_layer import CustomLayer
from pathnet_rl.engine.frames import standardise
from pathnet_rl.engine.interface import EngineSize
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import AffineLayer, ModuleLayer
from pathnet_rl.pathway_weights import PathwayWeights

Floats = NDArray[np.float32]


def affine_module(layer: AffineLayer, numbers: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """One convolution or linear map and its ReLU.

    Args:
        numbers: [module_size]. inputs: [B, C, H, W] for a convolution, else [B, features].

    Returns:
        [B, k, H', W'] or [B, k].
    """
    weights = numbers[: layer.weights].view(layer.weight_shape)
    biases = numbers[layer.weights :]
    if layer.convolutional:
        return torch.conv2d(inputs, weights, biases, stride=layer.stride).relu()
    return torch.nn.functional.linear(inputs, weights, biases).relu()


class CustomModules:
    """Modules of the user's own, one pathway and one module at a time: whatever they do inside will work."""

    def __init__(self, layer: CustomLayer, device: torch.device) -> None:
        self._parameters = layer.parameters
        self._module = layer.make_module().to(device)

    def __call__(self, modules: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """[G, n, B, ...] of modules [G, n, module_size] and inputs [G, B, ...]."""
        pathways = zip(modules, inputs, strict=True)
        return torch.stack(
            [torch.stack([self._respond(one, came) for one in path]) for path, came in pathways]
        )

    def _respond(self, numbers: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        parts = torch.split(numbers, [shape.numel() for shape in self._parameters.values()])
        named = {
            name: part.view(shape)
            for (name, shape), part in zip(self._parameters.items(), parts, strict=True)
        }
        # A copy: a module may change what it is given, which is the other modules' too.
        responded: torch.Tensor = functional_call(self._module, named, (inputs.clone(),))
        return responded


def responder(
    layer: ModuleLayer, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """What all modules of a layer respond, [G, n, B, ...], to inputs [G, B, ...]."""
    if isinstance(layer, CustomLayer):
        return CustomModules(layer, device)
    assert isinstance(layer, AffineLayer)
    return torch.vmap(torch.vmap(partial(affine_module, layer), (0, None)))


class TorchEngine:
    """An `interface.Engine` of any number of pathways.

    What acting computed is computed again by `backward`: small devices could not keep it.

    Args:
        device: torch's name of it.
    """

    def __init__(self, grid: Grid, size: EngineSize, device: str = "cpu") -> None:
        self._grid, self.size = grid, size
        self._device = torch.device(device)
        # Else a GPU multiplies with 10 bits of mantissa, and specifies nothing.
        torch.backends.cudnn.allow_tf32 = False
        # Said, harmlessly, of the thread that computes gradients: it is the first on the GPU with a product.
        warnings.filterwarnings("ignore", "Attempting to run cuBLAS")
        self._observations: torch.Tensor | None = None
        self._outputs = np.zeros(
            (size.pathways, size.steps + 1, size.environments, size.actions + 1), np.float32
        )
        self._dead = 0.0
        self._respond = [responder(layer, self._device) for layer in grid.layers]

    def load(self, weights: Sequence[PathwayWeights]) -> None:
        self._trainable = [one.trainable for one in weights]
        self._modules: list[torch.Tensor] = []
        self._active: list[torch.Tensor] = []
        for depth, layer in enumerate(self._grid.layers):
            counts = torch.tensor([len(one.layers[depth]) for one in weights])
            padded = torch.empty(len(weights), int(counts.max()), layer.module_size)
            for pathway, one in enumerate(weights):
                padded[pathway] = one.layers[depth][0]  # A module that surely gives finite numbers.
                padded[pathway, : counts[pathway]] = one.layers[depth]
            self._modules.append(padded.to(self._device).requires_grad_())
            self._active.append((torch.arange(padded.shape[1]) < counts[:, None]).to(self._device))
        heads = torch.stack([one.head for one in weights])
        self._heads = heads.to(self._device).requires_grad_()

    @torch.no_grad()
    def forward(
        self, observations: Sequence[NDArray[np.generic]], step: int
    ) -> tuple[Floats, Floats]:
        came = torch.from_numpy(np.stack(observations))
        if self._observations is None:
            shape = (self.size.pathways, self.size.steps + 1, *came.shape[1:])
            self._observations = torch.zeros(shape, dtype=came.dtype, device=self._device)
        self._observations[:, step] = came.to(self._device)
        outputs, _ = self._apply(self._observations[:, step])
        self._outputs[:, step] = outputs.cpu().numpy()
        return self._outputs[:, step, :, :-1], self._outputs[:, step, :, -1]

    def outputs(self, pathway: int) -> tuple[Floats, Floats]:
        flat = self._outputs[pathway, : self.size.steps].reshape(-1, self.size.actions + 1)
        return flat[:, :-1], flat[:, -1]

    def dead_units(self) -> float:
        return self._dead

    def backward(self, upstream: Sequence[tuple[Floats, Floats]]) -> list[PathwayWeights]:
        assert self._observations is not None
        batch = self._observations[:, : self.size.steps].flatten(1, 2)
        outputs, self._dead = self._apply(batch)
        given = np.stack([np.concatenate([ls, vs[:, None]], axis=1) for ls, vs in upstream])
        leaves = [*self._modules, self._heads]
        found = torch.autograd.grad(
            outputs, leaves, torch.from_numpy(given).to(self._device), materialize_grads=True
        )
        layers, heads = [gradient.cpu() for gradient in found[:-1]], found[-1].cpu()
        return [
            PathwayWeights(
                tuple(
                    # Trainable modules come first: frozen ones hand gradients down and have none.
                    layer[pathway, :count].contiguous()
                    for layer, count in zip(layers, trainable, strict=True)
                ),
                heads[pathway],
                trainable,
            )
            for pathway, trainable in enumerate(self._trainable)
        ]

    def _apply(self, observations: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Logits and values [G, B, A + 1] of observations [G, B, ...], and the share of dead units."""
        current = self._as_inputs(observations)
        dead = torch.zeros(len(observations), device=self._device)
        for layer, respond, modules, active in zip(
            self._grid.layers, self._respond, self._modules, self._active, strict=True
        ):
            if len(layer.input_shape) == 1:
                current = as_vectors(current)
            responses = respond(modules, current)
            mask = active.view(*active.shape, *(1,) * (responses.dim() - 2))
            responses = responses.where(mask, 0.0)
            current = responses.sum(1)
            dead = torch.maximum(dead, dead_share(responses.detach(), active))
        features = as_vectors(current)
        rows = self.size.actions + 1
        matrix = self._heads[:, : rows * features.shape[2]].view(-1, rows, features.shape[2])
        bias = self._heads[:, None, rows * features.shape[2] :]
        return torch.baddbmm(bias, features, matrix.transpose(1, 2)), float(dead.mean())

    def _as_inputs(self, observations: torch.Tensor) -> torch.Tensor:
        """Observations as the first layer takes them in: float32, images standardised or scaled."""
        # A copy: what is kept for `backward` must not be standardised twice.
        current = observations.to(torch.float32, copy=True)
        if len(self._grid.observation_shape) == 3:
            if self._grid.config.standardise_images:
                standardise(current.flatten(0, 1))
            else:
                current = current / 255.0
        return current


def as_vectors(current: torch.Tensor) -> torch.Tensor:
    """[G, B, features] of images [G, B, C, H, W], channels-last, as the block has them; vectors stay."""
    return current.permute(0, 1, 3, 4, 2).flatten(2) if current.dim() == 5 else current


def dead_share(responses: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """The share of each pathway's units that are 0 in all samples and places, [G].

    Args:
        responses: [G, n, B, k, ...], 0 where `active` [G, n] is not set.
    """
    groups, modules, _, units = responses.shape[:4]
    alive = (responses.flatten(4) if responses.dim() > 4 else responses[..., None]) != 0
    count = alive.any(4).any(2).sum((1, 2))
    return 1.0 - count / (active.sum(1) * units) if groups * modules else count.float()
