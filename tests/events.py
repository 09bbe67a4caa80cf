"""TensorBoard events as TensorBoard itself reads them."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

KINDS = ("scalars", "images", "histograms", "tensors")


def _read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder), size_guidance=dict.fromkeys(KINDS, 0))
    reader.Reload()
    return reader


def read_scalars(folder: Path) -> dict[str, list[float]]:
    """For every scalar's tag, its values in the order of the files."""
    reader = _read(folder)
    return {tag: [point.value for point in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def read_texts(folder: Path) -> dict[str, list[str]]:
    """For every text's tag, what it said in the order of the files."""
    reader = _read(folder)
    return {
        tag: [point.tensor_proto.string_val[0].decode() for point in reader.Tensors(tag)]
        for tag in reader.Tags()["tensors"]
    }


def read_steps(folder: Path) -> dict[str, list[int]]:
    """For every tag in a folder of events, the steps of its points in the order of the files."""
    reader = _read(folder)
    tags = reader.Tags()
    points = {
        "scalars": reader.Scalars,
        "images": reader.Images,
        "histograms": reader.Histograms,
        "tensors": reader.Tensors,
    }
    return {
        tag: [event.step for event in points[kind](tag)] for kind in KINDS for tag in tags[kind]
    }
