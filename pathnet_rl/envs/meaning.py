"""What an observation is: an image or numbers, where its channels are, what is dark and what is bright."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from pathnet_rl.environment_options import EnvironmentOptions
from pathnet_rl.errors import UserError

BRIGHTEST = 255.0
MOST_CHANNELS = 4
"""Of images that are certainly no other way round."""


@dataclass(frozen=True)
class Meaning:
    """How observations become what the grid takes: images of 0..255 with channels first, or numbers.

    Attributes:
        space: what the environment shows. channels_last: of an image.
        low, high: what becomes 0 and 255 in an image; None where it is so already, or is no image.
    """

    space: Box
    channels_last: bool = False
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, name: str, space: Box, options: EnvironmentOptions) -> Meaning:
        """By a space's shape, type and bounds, and the options for what these leave open.

        Raises:
            UserError: it is neither numbers [features] nor an image, channels or bounds are not clear, or an
                option contradicts what is clear.
        """
        if len(space.shape) not in (1, 3) or 0 in space.shape:
            raise UserError(
                f"{name} observes {space}; a task needs a Box of shape (features,) or an image of three axes"
            )
        if len(space.shape) == 1:
            return cls(space)
        bounds = (0.0, 1.0) if space.dtype == np.bool_ else _bounds(space)
        pixels = space.dtype == np.uint8 and bounds == (0.0, BRIGHTEST)
        last = _channels_last(name, space.shape, options, pixels)
        low, high = options.image_range or bounds
        exact = pixels or space.dtype == np.bool_
        if (low, high) != bounds if exact else low < bounds[0] or high > bounds[1]:
            raise UserError(
                f"{name} observes images of {space.dtype} between {bounds[0]:g} and {bounds[1]:g}, which"
                f" --image-range {low:g} {high:g} contradicts; leave it out"
            )
        if not (np.isfinite([low, high]).all() and low < high):
            raise UserError(
                f"{name} observes images between {low:g} and {high:g}, and it is not clear what is dark and"
                " what is bright; say --image-range LOW HIGH"
            )
        return cls(space, last) if (low, high) == (0.0, BRIGHTEST) else cls(space, last, low, high)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the grid takes: (C, H, W), or (features,)."""
        shape = self.space.shape
        return (shape[2], *shape[:2]) if self.channels_last else shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of what the grid takes."""
        if len(self.space.shape) == 1:
            return np.dtype(self.space.dtype)
        whole = self.space.dtype == np.uint8 and self.low is None
        return np.dtype(np.uint8 if whole or self.space.dtype == np.bool_ else np.float32)

    def shown(self, observations: NDArray[np.generic]) -> NDArray[np.generic]:
        """Observations [E, ...] as the grid takes them, copied."""
        if self.channels_last:
            observations = observations.transpose(0, 3, 1, 2)
        if self.low is not None and self.high is not None:
            scale = BRIGHTEST / (self.high - self.low)
            observations = (observations.astype(np.float32) - np.float32(self.low)) * np.float32(
                scale
            )
        return np.array(observations, self.dtype, order="C")

    def contradiction(self, seen: NDArray[np.generic]) -> str:
        """In what an image [...] of an environment is not what its space says; empty if it is.

        Numbers may leave the bounds of their space, as many do; an image that does would be taken for
        brighter or darker than it is.
        """
        space = self.space
        if len(space.shape) != 3 or (seen.dtype == space.dtype == np.uint8):
            return ""
        low, high = _bounds(space)
        slack = (high - low) / 100 if np.isfinite([low, high]).all() else 0.0
        strange = seen[np.less(seen, low - slack) | np.greater(seen, high + slack)]
        return (
            f"{strange[0]} in an image, where its space says {low:g} to {high:g}"
            if strange.size
            else ""
        )

    def __str__(self) -> str:
        axes = " x ".join(str(length) for length in self.space.shape)
        if len(self.space.shape) == 1:
            return f"{axes} numbers, {self.space.dtype}"
        low = 0.0 if self.low is None else self.low
        high = BRIGHTEST if self.high is None else self.high
        where = "last" if self.channels_last else "first"
        return f"images {axes} (channels {where}), {self.space.dtype}, {low:g}..{high:g}"


def _bounds(space: Box) -> tuple[float, float]:
    return float(space.low.min()), float(space.high.max())


def _channels_last(
    name: str, shape: tuple[int, ...], options: EnvironmentOptions, pixels: bool
) -> bool:
    """Whether the last one of three axes is the channels, and not the first.

    Args:
        pixels: what is observed is what cameras and screens show, and no planes of a board.

    Raises:
        UserError: neither is shorter than all others, and no option says which it is; or it is clear, and an
            option says otherwise.
    """
    first, middle, last = shape
    clear = min(first, last) < middle and first != last
    if options.channels != "auto":
        said = options.channels == "last"
        if pixels and clear and min(first, last) <= MOST_CHANNELS and said != (last < first):
            raise UserError(
                f"{name} observes images of shape {shape}, with channels"
                f" {'last' if last < first else 'first'}, which --channels {options.channels} contradicts;"
                " leave it out"
            )
        return said
    if clear:
        return last < first
    raise UserError(
        f"{name} observes images of shape {shape}, and it is not clear which axis is the channels; say"
        " --channels first or --channels last"
    )
