"""Joining a ray cluster or starting one here, and what comes back from it, with errors in one line."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import ray
from ray.exceptions import RayTaskError

from pathnet_rl.config import RunConfig
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from workers.ray_here import start_here

REACH_SECONDS = 5.0
"""How long the head of a cluster may take to answer."""


def answer(reference: ray.ObjectRef[Any] | list[ray.ObjectRef[Any]]) -> Any:
    """What a remote call returned.

    Raises:
        UserError: as the call raised it, without ray's traceback around it.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise


def connect(config: RunConfig) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one here.

    Raises:
        UserError: there is none, or it has not what the configuration asks for.
    """
    address = os.environ.get("RAY_ADDRESS")
    if address:
        join(address)
    else:
        # More workers than CPUs is the user's choice; ray is told of as many.
        start_here(max(usable_cpus(), config.workers or 0), log_to_driver=True)
    available = int(ray.cluster_resources().get("CPU", 0))
    if config.device == "cuda" and ray.cluster_resources().get("GPU", 0) == 0:
        raise UserError("the cluster has no GPU for --device cuda; use --device cpu")
    if (config.workers or 1) > available:
        raise UserError(
            f"{config.workers or 1} workers need as many CPUs and the cluster has {available};"
            " lower --workers or let nodes join"
        )


def join(address: str) -> None:
    """Join the cluster at an address.

    Raises:
        UserError: there is none, or it is no address of a cluster's head.
    """
    _reach(address)
    try:
        ray.init(address=address, log_to_driver=True, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"there is no ray cluster at RAY_ADDRESS={address}: {error}; unset it to use this machine alone"
        ) from error


def _reach(address: str) -> None:
    """Find out in a few seconds what ray would try for minutes.

    Raises:
        UserError: nobody answers at the address, or it is one of ray's client, which maps no block.
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"RAY_ADDRESS={address} is not the host:port of a ray head; set it so (or to auto) on a node"
            " of the cluster, or unset it to use this machine alone"
        )
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"there is no ray cluster at RAY_ADDRESS={address}: {error}; unset it to use this machine alone"
        ) from error
