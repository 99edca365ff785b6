"""Ports kept for the server."""

from __future__ import annotations

import socket

import pytest

from hndsr_gateway.triton.ports import LOOPBACK, reserved_ports


def test_reserved_ports_differ() -> None:
    with reserved_ports() as ports:
        assert ports.grpc != ports.metrics


def test_reserved_ports_stay_open_to_a_server_that_reuses_addresses() -> None:
    with reserved_ports() as ports, socket.create_server((LOOPBACK, ports.grpc)) as server:
        assert server.getsockname()[1] == ports.grpc


def test_reserved_ports_are_closed_to_others() -> None:
    with reserved_ports() as ports, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, ports.grpc))
