"""What a layer's loops take: arrays in named groups, and the vocabulary of all files that loop over them.

* A layer has *n* active *modules* of *k* *units* each. Its *images* are what its *windows* lie in; for a
  convolution one sample's inputs, of which the first layer's are expanded from *frames*. A linear layer's
  samples are windows side by side in one image of a single line.
* A *place* is where a window lies in an image, (y, x), and where the units' outputs to it lie. A *line* is
  one line of an image, or the part of it in a window. *Stride* is how many lines windows are apart.
* A *response* is a unit's sum before ReLU, a *delta* the loss's gradient with respect to it. An *output* is
  the sum of the modules' rectified responses. A *row* is all that belongs to one place: n k responses,
  deltas or bytes, padded to the *pitch*, or k outputs. Rows lie place by place, image by image.

Distances count words (registers.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.images import Frames

Floats = NDArray[np.float32]


class Windows(NamedTuple):
    """Where a layer's windows lie in its images.

    Attributes:
        height, width: places of an image.
        image_pitch, line_pitch: from an image, and from a line of it, to the next.
        down, across: from a window to the one below, and to the one beside it.
        lines, words: lines of a window, and words of each.
        slices: how many times a window moves across until it has left a line's words behind: windows 8
            pixels wide that move on by 4 have 8 / 4 = 2.
    """

    height: int
    width: int
    image_pitch: int
    line_pitch: int
    down: int
    across: int
    lines: int
    words: int
    slices: int


class Listed(NamedTuple):
    """What is to be added up, line by line: runs of terms, as `tiles.Runs` has them.

    Attributes:
        runs: [lines, most, 2] int64. counts: [lines], how many of them there are.
    """

    runs: NDArray[np.int64]
    counts: NDArray[np.int64]


class Inputs(NamedTuple):
    """What a layer's images are made of.

    Attributes:
        frames: of the first layer's samples, if they are that.
        numbers: flat, all images and LANE spare numbers; of frames, room for one image. float32, or the bits
            of bfloat16.
    """

    frames: Frames
    numbers: NDArray[Any]


class Weights(NamedTuple):
    """The active modules' numbers, as `lay_out_kernel` leaves them.

    Attributes:
        by_input: [words of a window, pitch], of pairs [words, pitch, 2]. bias: [pitch].
        by_unit: [at least n k, lines, at least slices x across, padded], zeros past a line's numbers.
        modules: n.
    """

    by_input: NDArray[Any]
    bias: Floats
    by_unit: Floats
    modules: int


class Outputs(NamedTuple):
    """What a layer makes of all places, and one tile's responses.

    Attributes:
        positive: [rows, pitch] bytes, 1 where a response is. sums: [rows, k], the outputs.
        responses: room for [positions, pitch].
    """

    positive: NDArray[np.uint8]
    sums: Floats
    responses: Floats


class Upstream(NamedTuple):
    """Where a backward pass begins.

    Attributes:
        gradient: [rows, k], of the outputs. positive: see `Outputs`. modules: n.
    """

    gradient: Floats
    positive: NDArray[np.uint8]
    modules: int


class Gradients(NamedTuple):
    """What a backward pass adds to; only the modules that learn have gradients, and these come first.

    Attributes:
        weights: [units, lines, numbers of a window's line], the first and the last padded.
        biases: [pitch], of all modules.
        units: of the modules that learn.
    """

    weights: Floats
    biases: Floats
    units: int


class Room(NamedTuple):
    """Room for the backward pass of one image of float32.

    Attributes:
        deltas: [height, margin + width + margin, pitch], zeros in margins of slices - 1 places: what a
            window outside the image would add to an input's gradient.
        columns: [positions + 1, across padded]: one tile of the inputs' gradient, and a row of zeros.
    """

    deltas: Floats
    columns: Floats


class PairRoom(NamedTuple):
    """Room for the backward pass of one image of bfloat16, whose places are taken two and two.

    Attributes:
        deltas: [height x width + 1, pitch], of which the last row is zeros.
        delta_pairs: [height, half, pitch] uint32, where half are the pairs of places side by side.
        window_pairs: [lines of an image, half, numbers of a window's line padded] uint32.
    """

    deltas: Floats
    delta_pairs: NDArray[np.uint32]
    window_pairs: NDArray[np.uint32]
