"""The prepared images: the compiled pass over bytes does what the plain definition says.

Axes: E environments, C frames of H x W pixels.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathnet_rl.engine.compiled import images
from pathnet_rl.engine.compiled.images import ImageInputs, image_dtype
from pathnet_rl.engine.frames import standardise
from pathnet_rl.errors import UserError

SHAPE = (3, 21, 27)  # Pixels that are no multiple of what is done at a time.


def frames(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """[4, C, H, W]: noise, few greys, one grey, and one pixel that differs."""
    made = rng.integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    made[1] //= 60
    made[2] = 200
    made[3] = 255
    made[3, :, 3, 5] = 0
    return made


def plain(observations: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    """Median of every eighth pixel of every eighth row to 0, deviation to 1, one frame at a time."""
    wanted = torch.zeros(observations.shape, dtype=torch.float64)
    for e, stack in enumerate(observations):
        for c, frame in enumerate(stack):
            sample = np.sort(frame[::8, ::8], axis=None)
            median = float(sample[(sample.size - 1) // 2])
            wanted[e, c] = torch.from_numpy((frame - median) / max(frame.std(), 1.0))
    return wanted


def all_images(inputs: ImageInputs) -> torch.Tensor:
    """[samples, C, H, W]."""
    images = [inputs.image(sample).clone() for sample in range(len(inputs.frames.planes))]
    return torch.stack(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_standardised_as_defined(dtype: torch.dtype) -> None:
    seen = frames(np.random.default_rng(0))
    inputs = ImageInputs(SHAPE, 2, 4, True, dtype)
    inputs.keep(seen, 1)
    found = all_images(inputs)
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 2**-8
    torch.testing.assert_close(found[4:].double(), plain(seen), rtol=tolerance, atol=1e-5)
    assert not found[:4].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_scaled_and_rounded_as_torch_does(dtype: torch.dtype) -> None:
    seen = frames(np.random.default_rng(1))
    inputs = ImageInputs(SHAPE, 1, 4, False, dtype)
    inputs.keep(seen, 0)
    assert torch.equal(
        all_images(inputs), (torch.from_numpy(seen).float() * (1.0 / 255.0)).to(dtype)
    )


def test_images_of_other_numbers_are_prepared_alike() -> None:
    seen = frames(np.random.default_rng(2))
    inputs = ImageInputs(SHAPE, 2, 4, True, torch.float32)
    given = seen.astype(np.float32)
    inputs.keep(given, 0)
    np.testing.assert_array_equal(given, seen)  # They are the environment's.
    inputs.keep(seen, 1)
    floats, of_bytes = all_images(inputs).chunk(2)
    torch.testing.assert_close(floats, of_bytes, rtol=1e-4, atol=1e-5)


def test_observations_of_another_shape_are_refused() -> None:
    inputs = ImageInputs(SHAPE, 1, 4, True, torch.float32)
    for shape in ((3, *SHAPE), (4, *SHAPE[:2], SHAPE[2] + 1)):
        with pytest.raises(ValueError, match="observations of shape"):
            inputs.keep(np.zeros(shape, np.uint8), 0)


def test_the_squares_of_a_large_bright_frame_are_added_up_without_overflow() -> None:
    seen = np.full((1, 1, 900, 1100), 255, np.uint8)  # Twice what is added up in one go.
    seen[:, :, :, :500] = 250
    inputs = ImageInputs(seen.shape[1:], 1, 1, True, torch.float32)
    inputs.keep(seen, 0)
    assert inputs.frames.medians.item() == 255
    np.testing.assert_allclose(inputs.frames.scales.item(), 1 / seen.std(), rtol=1e-6)


def test_standardising_leaves_a_blank_frame_blank() -> None:
    planes = torch.full((1, 1, 16, 16), 90.0)
    standardise(planes)
    assert not planes.any()


def test_auto_is_bfloat16_where_the_processor_and_the_layer_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for there in (True, False):
        monkeypatch.setattr(images, "MULTIPLIES_PAIRS", there)
        assert image_dtype("auto") == (torch.bfloat16 if there else torch.float32)
        assert image_dtype("auto", pairs_fit=False) == torch.float32
        assert image_dtype("float32") == torch.float32


def test_bfloat16_is_refused_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MULTIPLIES_PAIRS", True)
    assert image_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(UserError, match="first layer"):
        image_dtype("bfloat16", pairs_fit=False)
    monkeypatch.setattr(images, "MULTIPLIES_PAIRS", False)
    with pytest.raises(UserError, match="processor"):
        image_dtype("bfloat16")
