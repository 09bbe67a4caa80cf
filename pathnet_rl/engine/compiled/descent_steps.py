"""The steps of gradient descent on one pathway of linear modules: what is done with one minibatch.

Axes: T minibatches of B images; L layers of n active modules with k units; C classes.
Vocabulary: layer_arrays.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathnet_rl.engine.compiled.elementwise import rectify
from pathnet_rl.engine.compiled.registers import LANE
from pathnet_rl.engine.compiled.tiles import GRADIENT_POSITIONS, Rows, Vectors, Words, multiply
from pathnet_rl.engine.compiler import part

Floats = NDArray[np.float32]


class Minibatches(NamedTuple):
    """What is learned from: images [images, inputs], labels [images], and the order [T, B] they come in."""

    images: Floats
    labels: NDArray[np.int64]
    order: NDArray[np.int64]


class Pathway(NamedTuple):
    """What is learned. A module has k columns of the weights; those that are trained come first.

    Attributes:
        first: [padded inputs, pitch], weights of the first layer. deeper: [L - 1, padded k, pitch].
        biases: [L, pitch]. head: [C, k + 1], biases last.
        active, learned: [L], modules that are used and, the first of them, trained.
        last_scale: of the last layer's outputs.
    """

    first: Floats
    deeper: Floats
    biases: Floats
    head: Floats
    active: NDArray[np.int64]
    learned: NDArray[np.int64]
    last_scale: np.float32


class DescentRoom(NamedTuple):
    """Room for one minibatch. All deltas and gradients are times -rate: what is added to the numbers.

    Attributes:
        drawn: [B, padded inputs], zeros beside the images.
        responses: [B, pitch]. positive: [L, B, pitch] bytes. outputs: [L B k + LANE].
        errors: [B, C]. upstream: [B, k], the gradient of a layer's outputs. deltas: [B, pitch], of its
            responses. totals: [pitch], of its biases.
        by_unit: [pitch + 1, padded k], a layer's weights the other way round, and a row of zeros.
        below: [B, padded k], the gradient of its inputs.
    """

    drawn: Floats
    responses: Floats
    positive: NDArray[np.uint8]
    outputs: Floats
    errors: Floats
    upstream: Floats
    deltas: Floats
    totals: Floats
    by_unit: Floats
    below: Floats


class Place(NamedTuple):
    """Where one layer's numbers lie. Passed on instead of whole arrays, each of which would cost a count.

    Attributes:
        inputs, pitch, fan_in: address of the first image's, from image to image, how many. weights, bias,
            positive, outputs: addresses. active, trained: units of the modules.
    """

    inputs: int
    pitch: int
    fan_in: int
    weights: int
    bias: int
    positive: int
    outputs: int
    active: int
    trained: int


@part
def place_of(layer: int, pathway: Pathway, room: DescentRoom, inputs: int, units: int) -> Place:
    """The place of a layer, counted from 0; the first has so many inputs."""
    size = len(room.drawn) * units
    outputs = room.outputs.ctypes.data + 4 * layer * size
    begin, pitch, fan_in, weights = outputs - 4 * size, units, units, pathway.first.ctypes.data
    if layer == 0:
        begin, pitch, fan_in = room.drawn.ctypes.data, room.drawn.shape[1], inputs
    else:
        weights = pathway.deeper[layer - 1].ctypes.data
    bias, positive = pathway.biases[layer].ctypes.data, room.positive[layer].ctypes.data
    active, trained = pathway.active[layer] * units, pathway.learned[layer] * units
    return Place(begin, pitch, fan_in, weights, bias, positive, outputs, active, trained)


@part
def draw(images: Any, order: Any, drawn: Any) -> None:
    """Copy a minibatch's images side by side."""
    for b in range(len(order)):
        image = images[order[b]]
        for i in range(len(image)):
            drawn[b, i] = image[i]


@part
def respond(layer: Place, responses: Rows, batch: int, positions: int, units: int) -> None:
    """A layer's outputs, on tiles of so many images."""
    lanes = -(-layer.active // LANE) * LANE
    right = Vectors(layer.weights, responses.pitch)
    for tile in range(-(-batch // positions)):
        b = min(tile * positions, batch - positions)
        left = Words(layer.inputs + 4 * b * layer.pitch, layer.pitch, 1)
        multiply(responses, Rows(layer.bias, 0), left, right, layer.fan_in, lanes, positions, False)
        positive, outputs = layer.positive + b * responses.pitch, layer.outputs + 4 * b * units
        rectify(responses, positive, outputs, positions, layer.active // units, units)


@part
def judge(
    features: Any, head: Any, labels: Any, order: Any, last_scale: Any, rate: Any, errors: Any, upstream: Any
) -> int:  # fmt: skip
    """Fill the errors of a minibatch and the gradient of the last outputs; how many images were told right.

    Args:
        features: [B, k], the last outputs, scaled.
    """
    correct, (batch, units) = 0, features.shape
    for b in range(batch):
        error, label = errors[b], labels[order[b]]
        guess, most = _tell(features[b], head, error)
        correct += guess == label
        _become_errors(error, most, label, rate)
        for i in range(units):
            upstream[b, i] = 0.0
        for c in range(len(head)):
            for i in range(units):
                upstream[b, i] += error[c] * last_scale * head[c, i]
    return correct


@part
def _tell(features: Any, head: Any, logits: Any) -> tuple[int, Any]:
    """Fill the logits [C] of one image; which class it is told to be, and the largest logit."""
    most, guess = np.float32(-np.inf), 0
    units = len(features)
    for c in range(len(head)):
        logit = head[c, units]
        for i in range(units):
            logit += head[c, i] * features[i]
        logits[c] = logit
        if logit > most:
            most, guess = logit, c
    return guess, most


@part
def _become_errors(logits: Any, most: Any, label: int, rate: Any) -> None:
    """Make of logits [C] the gradient of the cross-entropy with respect to them, times -rate."""
    total = np.float32(0.0)
    for c in range(len(logits)):
        logits[c] = np.exp(logits[c] - most)
        total += logits[c]
    for c in range(len(logits)):
        logits[c] /= total
    logits[label] -= np.float32(1.0)
    for c in range(len(logits)):
        logits[c] *= -rate


@part
def learn_head(head: Any, errors: Any, features: Any) -> None:
    """One step of the head."""
    batch, units = features.shape
    for b in range(batch):
        for c in range(len(head)):
            for i in range(units):
                head[c, i] += errors[b, c] * features[b, i]
            head[c, units] += errors[b, c]


@part
def hand_down(
    layer: Place,
    weights: Any,
    deltas: Rows,
    by_unit: Any,
    below: Any,
    upstream: Any,
    positions: int,
) -> None:
    """Fill `upstream` with the gradient of a layer's inputs, which are the outputs of the one below."""
    batch, lanes = below.shape
    for i in range(layer.fan_in):
        for unit in range(layer.active):
            by_unit[unit, i] = weights[i, unit]
    zeros, right = Rows(by_unit[deltas.pitch].ctypes.data, 0), Vectors(by_unit.ctypes.data, lanes)
    for tile in range(-(-batch // positions)):
        b = min(tile * positions, batch - positions)
        out = Rows(below[b].ctypes.data, lanes)
        left = Words(deltas.address + 4 * b * deltas.pitch, deltas.pitch, 1)
        multiply(out, zeros, left, right, layer.active, lanes, positions, False)
    for b in range(batch):
        for i in range(layer.fan_in):
            upstream[b, i] = below[b, i]


@part
def learn(layer: Place, deltas: Any, biases: Any, totals: Any) -> None:
    """One step of a layer's modules that are trained."""
    batch, pitch = deltas.shape
    lanes = -(-layer.trained // LANE) * LANE
    for b in range(batch):
        for unit in range(layer.trained, lanes):
            deltas[b, unit] = 0.0  # Of a module that is used and not trained.
    right = Vectors(deltas.ctypes.data, pitch)
    for i in range(0, layer.fan_in if layer.trained else 0, GRADIENT_POSITIONS):
        # Rows of padding take up whatever lies beside the inputs; nothing reads them.
        out = Rows(layer.weights + 4 * i * pitch, pitch)
        left = Words(layer.inputs + 4 * i, 1, layer.pitch)
        multiply(out, out, left, right, batch, lanes, GRADIENT_POSITIONS, False)
    for unit in range(layer.trained):
        biases[unit] += totals[unit]
