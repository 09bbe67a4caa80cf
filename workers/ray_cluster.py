"""Joining a ray cluster or starting one here, with errors in one line."""

from __future__ import annotations

import logging
import os
import socket
import sys

import grpc
import ray
from ray._private import services
from ray._private.grpc_utils import init_grpc_channel

from pathnet_rl.config import RunConfig
from pathnet_rl.cpus import usable_cpus
from pathnet_rl.errors import UserError
from pathnet_rl.handlers import handlers_kept
from workers.ray_here import REACH_SECONDS, start_here
from workers.ray_nodes import alive, room_for_workers
from workers.signals import ENDING


def connect(config: RunConfig) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one here.

    Raises:
        UserError: there is none, or it has not what the configuration asks for.
    """
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # Control codes are no good to a log.
    address = os.environ.get("RAY_ADDRESS")
    if address and address != "local":
        join(address)
    else:
        # More workers than CPUs is the user's choice; ray is told of as many.
        start_here(max(usable_cpus(), config.workers or 0), log_to_driver=True)
    room = [room_for_workers(node, config.device) for node in alive().values()]
    on_cuda = config.device == "cuda"
    if on_cuda and not any(gpus for _, gpus in room):
        raise UserError("the cluster has no GPU for --device cuda; use --device cpu")
    available = sum(cpus for cpus, _ in room)
    if (config.workers or 1) > available:
        raise UserError(
            f"{config.workers or 1} workers need as many CPUs and"
            f" {'the nodes that have a GPU have' if on_cuda else 'the cluster has'} {available};"
            " lower --workers or let nodes join"
        )


def join(address: str) -> None:
    """Join the cluster at an address.

    Raises:
        UserError: there is none, or it is no address of a cluster's head.
    """
    _reach(address)
    try:
        with handlers_kept(ENDING):
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
    if address == "auto":
        found = services.canonicalize_bootstrap_address(address)
        if found is None:
            raise UserError(
                "there is no ray cluster on this machine for RAY_ADDRESS=auto; unset it to use this machine"
                " alone"
            )
    else:
        host, _, port = address.rpartition(":")
        if "://" in address or not host or not port.isdigit():
            raise UserError(
                f"RAY_ADDRESS={address} is not the host:port of a ray head; set it so (or to auto) on a node"
                " of the cluster, or unset it to use this machine alone"
            )
        found = f"{services.resolve_ip_for_localhost(host)}:{port}"
    host, _, port = found.rpartition(":")
    nobody = f"there is no ray cluster at RAY_ADDRESS={address}"
    alone = "unset it to use this machine alone"
    try:
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"{nobody}: {error}; {alone}") from error
    channel = init_grpc_channel(found)
    try:
        grpc.channel_ready_future(channel).result(timeout=REACH_SECONDS)
    except grpc.FutureTimeoutError as error:
        raise UserError(
            f"{nobody}: somebody listens there and gave no answer in {REACH_SECONDS:.0f} seconds, so it is no"
            f" head, or one that hangs; {alone}"
        ) from error
    finally:
        channel.close()
