"""What makes an image of the frames that environments show: the definition, which every engine follows.

Axes: E environments, C frames (or channels) of H x W pixels.
"""

from __future__ import annotations

import torch

MEDIAN_STRIDE = 8
"""Every eighth pixel of every eighth line tells a frame's background."""


def medians_and_scales(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What makes each frame of planes [E, C, H, W] one of median 0 and deviation 1; both [E, C].

    The median, because a game's background is of one grey: it becomes 0 and is no part of the gradient.
    `planes` holds values in [0, 255] as float32; the median is that of a sample of pixels. A deviation
    below one grey level counts as one: a blank frame stays blank.
    """
    sample = planes[:, :, ::MEDIAN_STRIDE, ::MEDIAN_STRIDE].flatten(2)
    medians = sample.median(2).values
    centred = planes.flatten(2) - medians[..., None]
    # The same as centred.std(), at a fifth of its cost.
    mean = centred.mean(2)
    square = torch.linalg.vector_norm(centred, dim=2).square_().div_(centred.shape[2])
    return medians, square.sub_(mean.square_()).clamp_(min=1.0).rsqrt_()


def standardise(planes: torch.Tensor) -> None:
    """Bring each frame of [E, C, H, W] to median 0 and standard deviation 1, in place."""
    medians, scales = (each[..., None, None] for each in medians_and_scales(planes))
    planes.sub_(medians).mul_(scales)
