"""Every kernel, at the sizes that it has in the Atari preset and in the experiments on images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from pathnet_rl.engine.check.array_cases import (
    expand_case,
    head_case,
    keep_case,
    lay_out_case,
    rmsprop_case,
    take_back_case,
)
from pathnet_rl.engine.check.case import Case
from pathnet_rl.engine.check.layer_cases import LAYERS, backward_case, descent_case, forward_case
from pathnet_rl.engine.check.vector_cases import (
    all_zero_case,
    interleave_case,
    interleave_rounded_case,
    product_case,
    rectify_case,
    runs_case,
    unrectify_case,
)
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.tiles import MOST_POSITIONS

FIRST = LAYERS[0].weight_shape

CASES: dict[str, list[Callable[[], Case]]] = {
    "product": [partial(product_case, MOST_POSITIONS, 32, 256, pairs=False)],
    "pairs": [partial(product_case, MOST_POSITIONS, 32, 128, pairs=True)],
    "runs": [partial(runs_case, MOST_POSITIONS, 32, (0, 1, 3, 6), length=32, of=8)],
    "rectify": [partial(rectify_case, 10, 4, 8)],
    "unrectify": [partial(unrectify_case, 400, 4, 8)],
    "all_zero": [partial(all_zero_case, 96)],
    "interleave": [partial(interleave_case, 32)],
    "interleave_rounded": [partial(interleave_rounded_case, 32)],
    "keep_frames": [partial(keep_case, 4, 4, 84, 84)],
    "expand": [partial(expand_case, 4, 84, 84, halves) for halves in (False, True)],
    "lay_out": [partial(lay_out_case, 4, FIRST, pairs) for pairs in (False, True)],
    "take_back": [partial(take_back_case, 4, FIRST)],
    "forward": [
        partial(forward_case, LAYERS[0], torch.float32),
        partial(forward_case, LAYERS[0], torch.bfloat16),
        *(partial(forward_case, shape, None) for shape in LAYERS[1:]),
    ],
    "backward": [
        partial(backward_case, LAYERS[0], torch.float32),
        *(partial(backward_case, shape, None) for shape in LAYERS[1:]),
    ],
    "backward_pairs": [partial(backward_case, LAYERS[0], torch.bfloat16)],
    "head": [partial(head_case, 4, 50, LANE)],
    "descent": [partial(descent_case, 784, 20, 16, 50)],
    "rmsprop": [partial(rmsprop_case, 4, 10, 2056)],
}
"""By the kernel's name; a case is made when it is called, and takes arrays of its own."""
