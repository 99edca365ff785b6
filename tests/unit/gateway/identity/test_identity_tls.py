"""Certificates over real connections: who is let in, and what a rotation changes and leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from certificates import Authority, Certificate
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from in_process import run

from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.tls import TlsFiles, certificate_names, server_credentials

METHOD = "/test.Test/Name"
TIMEOUT_S = 20


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Certificate:
    return authority.write("server", "localhost")


@contextlib.asynccontextmanager
async def serving(files: TlsFiles) -> AsyncIterator[str]:
    """A server that answers with the first name of the caller's certificate."""

    async def name(request: bytes, context: Any) -> bytes:
        return next(iter(certificate_names(context.auth_context())), "").encode()

    handler = grpc.method_handlers_generic_handler("test.Test", {"Name": grpc.unary_unary_rpc_method_handler(name)})
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(files))
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(0)


def channel(address: str, credentials: grpc.ChannelCredentials) -> Any:
    """A connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    return grpc.aio.secure_channel(address, credentials, options=options)


async def name_of(channel: Any) -> str:
    answer: bytes = await channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S)
    return answer.decode()


async def outcome(address: str, credentials: grpc.ChannelCredentials) -> str:
    async with channel(address, credentials) as one:
        try:
            return await name_of(one)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)


def served(address: str) -> int:
    """The serial number of the certificate that a new connection gets."""
    host, _, port = address.partition(":")
    certificate = ssl.get_server_certificate((host, int(port)))
    return x509.load_pem_x509_certificate(certificate.encode()).serial_number


def serial(files: Certificate) -> int:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number


def test_tls_encrypts_and_asks_for_no_certificate(authority: Authority, server: Certificate) -> None:
    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key)) as address:
            assert await outcome(address, authority.credentials()) == ""

    run(test())


def test_tls_lets_in_only_whom_the_authority_vouches_for(
    tmp_path: Path, authority: Authority, server: Certificate
) -> None:
    callers, strangers = Authority(tmp_path, "callers"), Authority(tmp_path, "strangers")
    shown = (callers.write("known", "known.example"), strangers.write("unknown", "known.example"), None)

    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key, callers.file)) as address:
            found = [await outcome(address, authority.credentials(one)) for one in shown]
            assert found == ["known.example", "UNAVAILABLE", "UNAVAILABLE"]

    run(test())


@pytest.mark.parametrize(
    ("identities", "common_name", "told"),
    [
        (("known.example", "known@example.org"), "known", "known.example"),
        (("known@example.org",), None, "known@example.org"),
        ((), "known", "known"),
    ],
)
def test_certificate_names_tell_the_most_telling_first(
    authority: Authority, server: Certificate, identities: tuple[str, ...], common_name: str | None, told: str
) -> None:
    client = authority.write("client", *identities, common_name=common_name)

    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key, authority.file)) as address:
            assert await outcome(address, authority.credentials(client)) == told

    run(test())


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ({"x509_common_name": [b"pod"], "peer_dns": [b"pod.svc"], "peer_uri": [b"spiffe://a/pod"]}, "spiffe://a/pod"),
        ({"x509_common_name": [b""], "x509_subject": [b"O=somebody"]}, "O=somebody"),
    ],
    ids=["spiffe", "no_name"],
)
def test_certificate_names_take_what_there_is(context: dict[str, list[bytes]], name: str) -> None:
    assert certificate_names(context)[0] == name


def test_rotation_is_seen_by_new_connections_while_old_ones_go_on(authority: Authority, server: Certificate) -> None:
    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key)) as address:
            async with channel(address, authority.credentials()) as old:
                await name_of(old)
                before = await asyncio.to_thread(served, address)
                authority.write("server", "localhost")
                after = await asyncio.to_thread(served, address)
                assert (before != after, after == serial(server)) == (True, True)
                assert await name_of(old) == ""
            assert await outcome(address, authority.credentials()) == ""

    run(test())


def test_rotation_of_who_vouches_for_callers_is_seen(tmp_path: Path, authority: Authority, server: Certificate) -> None:
    callers, next_callers = Authority(tmp_path, "callers"), Authority(tmp_path, "next")
    shown = (callers.write("old", "old.example"), next_callers.write("new", "new.example"))

    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key, callers.file)) as address:
            before = [await outcome(address, authority.credentials(one)) for one in shown]
            callers.file.write_bytes(next_callers.pem)
            after = [await outcome(address, authority.credentials(one)) for one in shown]
            assert (before, after) == (["old.example", "UNAVAILABLE"], ["UNAVAILABLE", "new.example"])

    run(test())


def halfway(authority: Authority, server: Certificate) -> None:
    """The new certificate, still beside the old key."""
    server.certificate.write_bytes(authority.write("other", "localhost").certificate.read_bytes())


def cut(_: Authority, server: Certificate) -> None:
    server.certificate.write_bytes(server.certificate.read_bytes()[:100])


def vanish(_: Authority, server: Certificate) -> None:
    server.key.unlink()


@pytest.mark.parametrize("spoil", [halfway, cut, vanish])
def test_rotation_that_cannot_be_used_changes_nothing_and_is_logged_once(
    authority: Authority,
    server: Certificate,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Authority, Certificate], None],
) -> None:
    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key)) as address:
            before = await asyncio.to_thread(served, address)
            spoil(authority, server)
            after = [await asyncio.to_thread(served, address) for _ in range(2)]
            assert after == [before, before]

    run(test())
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_rotation_goes_on_when_the_other_half_has_come(authority: Authority, server: Certificate) -> None:
    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key)) as address:
            halfway(authority, server)
            await asyncio.to_thread(served, address)
            server.key.write_bytes(server.key.with_name("other-key.pem").read_bytes())
            assert await asyncio.to_thread(served, address) == serial(server)

    run(test())


def encrypted(server: Certificate) -> None:
    key = serialization.load_pem_private_key(server.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    pem = serialization.PrivateFormat.PKCS8
    server.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, secret))


def others_key(server: Certificate) -> None:
    server.key.write_bytes(Authority(server.key.parent, "another").write("another", "localhost").key.read_bytes())


def damaged_key(server: Certificate) -> None:
    server.key.write_bytes(server.key.read_bytes().replace(b"\n", b"\n!!", 1))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (encrypted, "server-key.pem is encrypted; store the key without a password"),
        (others_key, "server-key.pem is not the key of .*server.pem"),
        (lambda server: server.certificate.write_text(""), "server.pem holds no certificate in PEM"),
        (lambda server: server.key.write_text("nothing"), "server-key.pem holds no private key in PEM"),
        (damaged_key, "server-key.pem and .*server.pem cannot be used together"),
        (lambda server: server.key.unlink(), "server-key.pem cannot be read: No such file or directory"),
        (lambda server: server.key.with_name("ca.pem").write_text("nothing"), "ca.pem holds no certificate in PEM"),
    ],
    ids=["encrypted", "others_key", "empty", "no_key", "damaged_key", "missing", "no_authority"],
)
def test_tls_files_are_refused_with_what_is_wrong(
    authority: Authority, server: Certificate, spoil: Callable[[Certificate], object], said: str
) -> None:
    spoil(server)
    with pytest.raises(UnusableFileError, match=said):
        TlsFiles(server.certificate, server.key, authority.file).read()


def test_tls_files_may_have_comments_in_any_language(authority: Authority, server: Certificate) -> None:
    for path in (server.certificate, server.key, authority.file):
        path.write_bytes("Müller\n".encode() + path.read_bytes())
    assert TlsFiles(server.certificate, server.key, authority.file).faults() == {}


def test_rotation_to_a_certificate_that_soon_expires_is_logged(
    authority: Authority, server: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serving(TlsFiles(server.certificate, server.key)) as address:
            write_expiring(server, days=3)
            await asyncio.to_thread(served, address)

    run(test())
    assert [record.levelname for record in caplog.records if "expires at" in record.message] == ["WARNING"]


def write_expiring(server: Certificate, *, days: int) -> None:
    """A certificate that expires in so many days, in the place of another."""
    issued = trustme.CA().issue_cert("localhost", not_after=datetime.now(timezone.utc) + timedelta(days=days))
    server.key.write_bytes(issued.private_key_pem.bytes())
    server.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
