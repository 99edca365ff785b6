"""Where the server is to listen: a socket for this user, a port that is kept for it."""

from __future__ import annotations

import socket
import stat
import tempfile
from pathlib import Path

import pytest

from hndsr_gateway.triton.addresses import LONGEST_SOCKET_BYTES, LOOPBACK, reserved_addresses
from hndsr_gateway.triton.errors import MetricsPortError, SocketPathError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def deep_folder(folder: Path, length: int) -> Path:
    """A folder in another one whose path has so many characters."""
    while (missing := length - len(str(folder)) - 1) > 0:
        folder /= "x" * (missing if missing < 20 else 10)
    folder.mkdir(parents=True)
    return folder


def socket_path(address: str) -> str:
    return address.removeprefix("unix:")


def test_reserved_addresses_have_a_socket_in_a_folder_of_this_user() -> None:
    with reserved_addresses() as addresses:
        folder = Path(socket_path(addresses.grpc)).parent
        assert (folder, stat.S_IMODE(folder.stat().st_mode)) == (addresses.sockets, 0o700)


def test_reserved_addresses_leave_nothing(temporary: Path) -> None:
    with reserved_addresses() as addresses, socket.socket(socket.AF_UNIX) as server:
        server.bind(socket_path(addresses.grpc))
    assert list(temporary.iterdir()) == []


def test_reserved_addresses_leave_nothing_when_the_port_is_taken(temporary: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MetricsPortError, match=f"port {port} is taken"), reserved_addresses(metrics_port=port):
            pass
    assert list(temporary.iterdir()) == []


def longest_folder(temporary: Path) -> int:
    """How long the path of the folder for temporary files may be."""
    with reserved_addresses() as addresses:
        return LONGEST_SOCKET_BYTES - len(socket_path(addresses.grpc)) + len(str(temporary))


def test_reserved_addresses_have_a_path_that_can_be_bound_when_it_is_as_long_as_may_be(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = deep_folder(temporary, longest_folder(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with reserved_addresses() as addresses, socket.socket(socket.AF_UNIX) as server:
        server.bind(socket_path(addresses.grpc))


def test_reserved_addresses_are_refused_when_the_folder_for_temporary_files_is_too_deep(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = longest_folder(temporary)
    folder = deep_folder(temporary, limit + 1)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(SocketPathError, match=f"may have {limit} bytes; set TMPDIR"), reserved_addresses():
        pass
    assert list(folder.iterdir()) == []


def test_reserved_port_stays_open_to_a_server_that_reuses_addresses() -> None:
    with reserved_addresses() as addresses, socket.create_server((LOOPBACK, addresses.metrics_port)) as server:
        assert server.getsockname()[1] == addresses.metrics_port


def test_reserved_port_is_closed_to_others() -> None:
    with reserved_addresses() as addresses, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, addresses.metrics_port))
