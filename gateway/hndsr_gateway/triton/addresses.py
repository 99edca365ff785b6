"""Where the server listens: gRPC on a Unix socket that only this user reaches, metrics on a loopback port."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hndsr_gateway.triton.errors import MetricsPortError, SocketPathError
from hndsr_gateway.triton.workspace import create_socket_folder

LOOPBACK = "127.0.0.1"
SOCKET_PORT = 1
"""What stands for a port where there is none: the server wants one, and puts it behind the socket's path."""
LONGEST_SOCKET_BYTES = 107
"""Longest path of a socket. Source: unix(7), `sun_path` without its last zero."""


@dataclass(frozen=True)
class Addresses:
    """Where one server listens, again after it was started again."""

    sockets: Path
    """A folder only this user can enter, for the socket of the gRPC service."""
    metrics_port: int

    @property
    def host(self) -> str:
        """What the server takes as the address of its gRPC service."""
        return f"unix:{self.sockets / 'grpc'}"

    @property
    def grpc(self) -> str:
        """The same as clients take it."""
        return f"{self.host}:{SOCKET_PORT}"

    @property
    def metrics(self) -> str:
        """Address of the metrics."""
        return f"{LOOPBACK}:{self.metrics_port}"


@contextlib.contextmanager
def reserved_addresses(*, metrics_port: int = 0) -> Iterator[Addresses]:
    """Addresses that nobody else is given for as long as the context lasts: the metrics' port a free one if it is 0.

    Raises:
        MetricsPortError: the given port is taken.
        SocketPathError: the folder for temporary files has too long a path.
        TemporaryFolderError: there is no place for the socket.
    """
    with contextlib.ExitStack() as stack:
        sockets = create_socket_folder(os.getpid())
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        bound = stack.enter_context(_bound_socket(metrics_port))
        addresses = Addresses(sockets, bound.getsockname()[1])
        _check_length(addresses)
        yield addresses


def _check_length(addresses: Addresses) -> None:
    excess = len(os.fsencode(addresses.grpc.removeprefix("unix:"))) - LONGEST_SOCKET_BYTES
    if excess > 0:
        folder = addresses.sockets.parent
        raise SocketPathError(folder=folder, limit_bytes=len(os.fsencode(folder)) - excess)


def _bound_socket(port: int) -> socket.socket:
    """A socket that does not listen: it keeps the port from others, yet lets the server bind it too, by SO_REUSEADDR.

    The server binds its ports only after it has loaded all models.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError as error:
        bound.close()
        raise MetricsPortError(port=port) from error
    return bound
