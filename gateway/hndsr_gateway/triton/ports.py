"""Ports on the loopback address, kept from other programs until the server listens on them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where the server listens."""

    grpc: int
    metrics: int


@contextlib.contextmanager
def reserved_ports() -> Iterator[Ports]:
    """Two free ports, bound here for as long as the context lasts.

    The server binds its ports only after it has loaded all models. A bound socket that does not listen keeps them from
    being handed out again, yet lets the server bind them too, since both sides set SO_REUSEADDR.
    """
    with contextlib.ExitStack() as stack:
        numbers = [stack.enter_context(_bound_socket()).getsockname()[1] for _ in range(2)]
        yield Ports(grpc=numbers[0], metrics=numbers[1])


def _bound_socket() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, 0))
    return bound
