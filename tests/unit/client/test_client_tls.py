"""Encrypted connections: who is believed, and what is said of those who are not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from hndsr_client import ArgumentError, Client, Retry, Tls, UnavailableError
from hndsr_client.testing import FakeServer

NEVER_TWICE = Retry(initial_delay_s=300, max_delay_s=300)


class Pair(NamedTuple):
    """A key and the certificate that it signed for itself."""

    key: Path
    certificate: Path


@pytest.fixture(scope="module")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the command openssl, to make certificates")

    def make(names: str) -> Pair:
        folder = tmp_path_factory.mktemp("pair")
        pair = Pair(folder / "key.pem", folder / "certificate.pem")
        key = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(pair.key)
        certificate = "-x509", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}"
        subprocess.run(
            [openssl, "req", *key, *certificate, "-out", str(pair.certificate)], check=True, capture_output=True
        )
        return pair

    return make


@pytest.fixture(scope="module")
def local(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair("IP:127.0.0.1")


@pytest.fixture(scope="module")
def other(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair("DNS:hndsr.test")


def credentials(server: Pair, *, clients: Pair | None = None) -> grpc.ServerCredentials:
    roots = None if clients is None else clients.certificate.read_bytes()
    chain = [(server.key.read_bytes(), server.certificate.read_bytes())]
    return grpc.ssl_server_credentials(chain, roots, require_client_auth=clients is not None)


@pytest.fixture
def tls_server(local: Pair) -> Iterator[FakeServer]:
    with FakeServer(credentials=credentials(local)) as server:
        yield server


def default_model(client_type: Callable[..., Client], server: FakeServer, tls: object) -> str:
    with client_type(server.target, tls=tls, timeout_s=30, retry=NEVER_TWICE) as client:
        return client.info().default_model


@pytest.mark.parametrize("given", [str, Path, Path.read_bytes], ids=["text", "path", "content"])
def test_tls_takes_roots(
    client_type: Callable[..., Client], tls_server: FakeServer, local: Pair, given: Callable[[Path], object]
) -> None:
    assert default_model(client_type, tls_server, Tls(given(local.certificate))) == "nearest"


def test_tls_takes_another_name_of_the_server(client_type: Callable[..., Client], other: Pair) -> None:
    with FakeServer(credentials=credentials(other)) as server:
        assert default_model(client_type, server, Tls(other.certificate, server_name="hndsr.test")) == "nearest"


def test_tls_says_who_the_client_is(client_type: Callable[..., Client], local: Pair, other: Pair) -> None:
    with FakeServer(credentials=credentials(local, clients=other)) as server:
        tls = Tls(local.certificate, client_key=other.key, client_certificate=other.certificate)
        assert default_model(client_type, server, tls) == "nearest"


@pytest.fixture
def wrong(local: Pair, other: Pair) -> dict[str, Tls | bool]:
    """What does not go with the server's certificate, which is the local one."""
    return {
        "public_roots": True,
        "other_roots": Tls(other.certificate),
        "other_name": Tls(local.certificate, server_name="other.test"),
        "other_key": Tls(
            local.certificate,
            client_key=local.key.read_bytes(),
            client_certificate=other.certificate.read_bytes(),
        ),
    }


@pytest.mark.parametrize("what", ["public_roots", "other_roots", "other_name", "other_key"])
def test_tls_that_fails_is_named_as_such_at_once(
    client_type: Callable[..., Client], tls_server: FakeServer, wrong: dict[str, Tls | bool], what: str
) -> None:
    with pytest.raises(UnavailableError, match=f"no TLS with {tls_server.target}; check its certificate"):
        default_model(client_type, tls_server, wrong[what])


def test_tls_with_a_plain_server_is_named_as_such(
    client_type: Callable[..., Client], server: FakeServer, local: Pair
) -> None:
    with pytest.raises(UnavailableError, match="no TLS with"):
        default_model(client_type, server, Tls(local.certificate))


def test_no_tls_with_a_server_that_wants_it_is_asked_about(tls_server: FakeServer) -> None:
    with Client(tls_server.target, retry=None) as client, pytest.raises(UnavailableError, match="whether it wants TLS"):
        client.info()


@pytest.mark.parametrize("missing", ["client_key", "client_certificate"])
def test_tls_refuses_half_an_identity(missing: str) -> None:
    given = {"client_key": "key.pem", "client_certificate": "certificate.pem"}
    del given[missing]
    with pytest.raises(ArgumentError, match=f"{missing} is not given"):
        Tls(**given)


def test_client_refuses_a_certificate_that_is_not_there(client_type: Callable[..., Client], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"root_certificates: .*missing.pem: no such file or directory"):
        client_type("127.0.0.1:1", tls=Tls(tmp_path / "missing.pem"))


@pytest.mark.parametrize("content", [b"", b"\x30\x82", b"-----BEGIN PRIVATE KEY-----"])
def test_client_refuses_a_certificate_that_is_none(client_type: Callable[..., Client], content: bytes) -> None:
    with pytest.raises(ArgumentError, match="root_certificates: no certificate in PEM"):
        client_type("127.0.0.1:1", tls=Tls(content))


def test_client_refuses_an_encrypted_key(client_type: Callable[..., Client]) -> None:
    tls = Tls(client_key=b"-----BEGIN ENCRYPTED PRIVATE KEY-----", client_certificate=b"-----BEGIN CERTIFICATE-----")
    with pytest.raises(ArgumentError, match="client_key: the key is encrypted"):
        client_type("127.0.0.1:1", tls=tls)


def test_client_refuses_the_key_of_another_certificate(
    client_type: Callable[..., Client], local: Pair, other: Pair
) -> None:
    tls = Tls(local.certificate, client_key=local.key, client_certificate=other.certificate)
    with pytest.raises(ArgumentError, match=r"client_key: .* is not the key of the certificate"):
        client_type("127.0.0.1:1", tls=tls)


@pytest.mark.parametrize("tls", ["yes", 1, b"-----BEGIN CERTIFICATE-----"])
def test_client_refuses_tls_of_another_kind(client_type: Callable[..., Client], tls: object) -> None:
    with pytest.raises(ArgumentError, match="accepted are True, False and Tls"):
        client_type("127.0.0.1:1", tls=tls)


def test_tls_never_shows_its_key() -> None:
    assert "secret" not in repr(Tls(client_key=b"secret", client_certificate="certificate.pem"))
