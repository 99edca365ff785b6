"""Ports on the loopback address, kept from other programs until the server listens on them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from hndsr_gateway.triton.errors import MetricsPortError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    grpc: int
    metrics: int


@contextlib.contextmanager
def reserved_ports(*, metrics: int = 0) -> Iterator[Ports]:
    """Two free ports, that of the metrics a given one unless it is 0, bound here for as long as the context lasts.

    The server binds its ports only after it has loaded all models. A bound socket that does not listen keeps them from
    being handed out again, yet lets the server bind them too, since both sides set SO_REUSEADDR.

    Raises:
        MetricsPortError: the given one is taken.
    """
    with contextlib.ExitStack() as stack:
        numbers = [stack.enter_context(_bound_socket(port)).getsockname()[1] for port in (0, metrics)]
        yield Ports(grpc=numbers[0], metrics=numbers[1])


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise MetricsPortError(port=port) from error
    return bound
