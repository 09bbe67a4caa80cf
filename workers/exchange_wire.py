"""Exchanges on the wire: frames of safetensors over a connection that begins with the run's key.

Beside ray's calls, not through them: these pass a megabyte through four processes, an object store and gRPC,
and take several times the CPU (docs/scaling.md).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pathnet_rl.exchange import Changes, News

_LENGTH = struct.Struct("<Q")
MOST_BYTES = 1 << 32
KEY_BYTES = 32

Arrays = Mapping[str, NDArray[Any]]


class BrokenWireError(ConnectionError):
    """What came is no frame."""


def send(connection: socket.socket, frame: bytes) -> None:
    """One frame."""
    connection.sendall(_LENGTH.pack(len(frame)))
    connection.sendall(frame)


def receive(connection: socket.socket, most: int = MOST_BYTES) -> bytes:
    """The next frame, of at most so many bytes.

    Raises:
        BrokenWireError: the other side is gone, or sends something else.
    """
    (size,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if size > most:
        raise BrokenWireError(f"a frame of {size} bytes was announced")
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view, done = memoryview(buffer), 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise BrokenWireError("the connection was closed")
        done += count
    return bytes(buffer)


def pack(arrays: Arrays) -> bytes:
    """Named arrays as the content of a frame."""
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack(frame: bytes) -> dict[str, NDArray[Any]]:
    """What was packed.

    Raises:
        BrokenWireError: nothing was.
    """
    try:
        return dict(load(frame))
    except (SafetensorError, ValueError, KeyError) as error:
        raise BrokenWireError(f"a frame is damaged: {error}") from error


def arrays_of(told: Changes | News) -> dict[str, NDArray[Any]]:
    """Its fields: numbers as arrays of one, pairs of arrays by `name.0` and `name.1`."""
    found: dict[str, NDArray[Any]] = {}
    for field in fields(told):
        value = getattr(told, field.name)
        if isinstance(value, tuple):
            found |= {f"{field.name}.{number}": part for number, part in enumerate(value)}
        elif isinstance(value, np.ndarray):
            found[field.name] = value
        else:
            found[field.name] = np.array([value], np.int64)
    return found


def changes_of(arrays: Arrays) -> Changes:
    """What `arrays_of` was given.

    Raises:
        BrokenWireError: it was not `Changes`.
    """
    return Changes(**_arguments(Changes, arrays))


def news_of(arrays: Arrays) -> News:
    """What `arrays_of` was given.

    Raises:
        BrokenWireError: it was not `News`.
    """
    return News(**_arguments(News, arrays))


_TYPES: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in (Changes, News)}


def _arguments(kind: type[Changes | News], arrays: Arrays) -> dict[str, Any]:
    types = _TYPES[kind]
    found: dict[str, Any] = {}
    try:
        for field in fields(kind):
            if types[field.name] in (int, bool):
                found[field.name] = types[field.name](arrays[field.name][0])
            elif get_origin(types[field.name]) is tuple:
                found[field.name] = (arrays[f"{field.name}.0"], arrays[f"{field.name}.1"])
            else:
                found[field.name] = arrays[field.name]
    except KeyError as error:
        raise BrokenWireError(f"{kind.__name__} came without {error}") from error
    return found
