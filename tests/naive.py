"""The slow and literal oracle of the engines: one module at a time, summed, autograd, float64."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pathnet_rl.genotype import ActiveModules, union
from pathnet_rl.grid import Grid
from pathnet_rl.module_layer import AffineLayer


def naive_outputs(
    grid: Grid,
    block: torch.Tensor,
    task: int,
    path: ActiveModules,
    always: ActiveModules,
    frozen: ActiveModules,
    observations: NDArray[np.generic],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [B, A] and values [B], differentiable in `block` except in its frozen modules."""
    current = torch.from_numpy(observations.astype(np.float64))
    if current.ndim == 4:
        if grid.config.standardise_images:
            sample = current[:, :, ::8, ::8].flatten(2)
            middle = sample.median(dim=2).values[:, :, None, None]
            deviation = current.std(dim=(2, 3), keepdim=True, correction=0)
            current = (current - middle) / deviation.clamp(min=1.0)
        else:
            current = current / 255
    for depth, (layer, modules) in enumerate(zip(grid.layers, union(path, always), strict=True)):
        assert isinstance(layer, AffineLayer)
        if not layer.convolutional and current.ndim == 4:
            current = current.permute(0, 2, 3, 1).flatten(1)
        outputs = []
        for module in modules:
            start = layer.start + module * layer.module_size
            numbers = block[start : start + layer.module_size]
            if module in frozen[depth]:
                numbers = numbers.detach()
            weight = numbers[: layer.weights].reshape(layer.weight_shape)
            bias = numbers[layer.weights :]
            if layer.convolutional:
                output = torch.nn.functional.conv2d(current, weight, bias, stride=layer.stride)
            else:
                output = torch.nn.functional.linear(current, weight, bias)
            outputs.append(torch.relu(output))
        current = torch.stack(outputs).sum(dim=0)
    if current.ndim == 4:
        current = current.permute(0, 2, 3, 1).flatten(1)
    head = grid.heads[task]
    numbers = block[head.start : head.start + head.size]
    matrix = numbers[: (head.actions + 1) * head.features].reshape(head.actions + 1, -1)
    out = current @ matrix.t() + numbers[matrix.numel() :]
    return out[:, :-1], out[:, -1]
