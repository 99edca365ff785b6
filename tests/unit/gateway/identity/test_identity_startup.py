"""What keeps a gateway from starting, and what it warns of."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from certificates import Authority
from fakes import FakeBackend
from in_process import run, served, settle
from issuers import ISSUER, Key, jwks

from hndsr_gateway.identity import startup
from hndsr_gateway.identity.errors import IdentityError
from hndsr_gateway.identity.startup import keep_warning, problems, warnings
from hndsr_gateway.settings import Settings

EVERYWHERE = "0.0.0.0:0"
OPEN = {"listen": EVERYWHERE, "insecure": "plaintext, anonymous"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file of each kind, and of none."""
    authority = Authority(tmp_path)
    server = authority.write("server", "localhost")
    (tmp_path / "keys.json").write_text('{"keys": []}')
    (tmp_path / "keys.json").chmod(0o600)
    server.key.chmod(0o600)
    (tmp_path / "jwks.json").write_bytes(jwks(Key()))
    (tmp_path / "none").write_text("none")
    return {
        "CERTIFICATE": str(server.certificate),
        "KEY": str(server.key),
        "OTHERS_KEY": str(authority.write("other", "localhost").key),
        "CA": str(authority.file),
        "KEYS": str(tmp_path / "keys.json"),
        "JWKS": str(tmp_path / "jwks.json"),
        "NONE": str(tmp_path / "none"),
        "NOWHERE": str(tmp_path / "nowhere"),
    }


def settings(files: Mapping[str, str], **chosen: str) -> Settings:
    return Settings(**{name: files.get(value, value) for name, value in chosen.items()})


TLS = {"tls_certificate": "CERTIFICATE", "tls_key": "KEY"}
JWT = {"jwt_issuer": ISSUER, "jwt_audience": "hndsr", "jwt_keys": "JWKS"}


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"listen": "localhost:0"},
        {"listen": "[::1]:0"},
        {**TLS, "tls_client_ca": "CA"},
        {"listen": EVERYWHERE, **TLS, "tls_client_ca": "CA"},
        {"listen": EVERYWHERE, **TLS, "api_keys": "KEYS"},
        {"listen": EVERYWHERE, **TLS, **JWT},
        {"listen": EVERYWHERE, "insecure": "plaintext", "api_keys": "KEYS"},
        {"listen": EVERYWHERE, "insecure": "anonymous", **TLS},
        OPEN,
        {"jwt_issuer": ISSUER, "jwt_audience": "hndsr"},
        {"jwt_issuer": ISSUER, "jwt_audience": "hndsr", "jwt_keys": "http://127.0.0.1:1/jwks"},
    ],
)
def test_identity_has_no_problem_with_what_is_safe_or_allowed(files: dict[str, str], chosen: dict[str, str]) -> None:
    assert problems(settings(files, **chosen)) == []


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"listen": EVERYWHERE, "api_keys": "KEYS"}, ["without TLS"]),
        ({"listen": "gateway.example:0", **TLS}, ["nobody is asked who he is"]),
        ({"listen": EVERYWHERE}, ["without TLS", "nobody is asked"]),
        ({"listen": EVERYWHERE, "insecure": "plaintext"}, ["nobody is asked"]),
        ({"listen": EVERYWHERE, "insecure": "anonymous"}, ["without TLS"]),
        ({"tls_certificate": "CERTIFICATE"}, ["HNDSR_TLS_KEY is not set"]),
        ({"tls_key": "KEY"}, ["HNDSR_TLS_CERTIFICATE is not set"]),
        ({"tls_client_ca": "CA"}, ["HNDSR_TLS_CLIENT_CA is set, but no TLS"]),
        ({**TLS, "tls_key": "NONE"}, ["HNDSR_TLS_KEY: .*none holds no private key"]),
        ({**TLS, "tls_client_ca": "NONE"}, ["HNDSR_TLS_CLIENT_CA: .*none holds no certificate"]),
        ({**TLS, "tls_key": "OTHERS_KEY"}, ["HNDSR_TLS_KEY: .* is not the key of"]),
        (
            {"tls_certificate": "NONE", "tls_key": "NOWHERE", "tls_client_ca": "KEY"},
            ["HNDSR_TLS_CERTIFICATE: .*none", "HNDSR_TLS_KEY: .*nowhere", "HNDSR_TLS_CLIENT_CA: .*-key.pem holds no"],
        ),
        ({"api_keys": "NOWHERE"}, ["No such file or directory; make one with: hndsr-gateway keys create NAME"]),
        (
            {**TLS, "tls_certificate": "NOWHERE", "api_keys": "NONE"},
            ["nowhere cannot be read", "HNDSR_API_KEYS: .*none"],
        ),
        ({"jwt_issuer": ISSUER}, ["HNDSR_JWT_AUDIENCE is not set"]),
        ({"jwt_audience": "hndsr", "jwt_keys": "JWKS"}, ["HNDSR_JWT_AUDIENCE is set", "HNDSR_JWT_KEYS is set"]),
        ({"jwt_issuer": "issuer", "jwt_audience": "hndsr"}, ["HNDSR_JWT_ISSUER is 'issuer'; give an https address"]),
        ({**JWT, "jwt_keys": "http://issuer.example/jwks"}, ["HNDSR_JWT_KEYS is 'http:.*; give an https address"]),
        ({**JWT, "jwt_keys": "NONE"}, ["HNDSR_JWT_KEYS: .*none"]),
    ],
)
def test_identity_names_every_problem_in_a_line(files: dict[str, str], chosen: dict[str, str], said: list[str]) -> None:
    found = problems(settings(files, **chosen))
    assert len(found) == len(said)
    for line, expected in zip(found, said, strict=True):
        assert "\n" not in line
        assert re.search(expected, line), line


def test_identity_names_the_extra_that_tokens_need(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("hndsr_gateway.identity.")]:
        if name.rpartition(".")[2] in {"issuer", "signing_keys", "tokens"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jwt", None)
    (line,) = problems(settings(files, **JWT))
    assert "pip install 'hndsr[jwt]'" in line


def test_gateway_does_not_start_where_strangers_could_call(files: dict[str, str]) -> None:
    async def test() -> None:
        with pytest.raises(IdentityError, match="without TLS"):
            async with served(FakeBackend(), settings(files, listen=EVERYWHERE)):
                pass

    run(test())


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, []),
        ({"insecure": "plaintext, anonymous"}, []),
        (OPEN, ["not encrypted", "everybody"]),
        ({"listen": EVERYWHERE, "insecure": "plaintext", "api_keys": "KEYS"}, ["not encrypted"]),
        ({"listen": EVERYWHERE, "insecure": "anonymous", **TLS}, ["everybody"]),
    ],
)
def test_warnings_name_what_is_open(files: dict[str, str], chosen: dict[str, str], said: list[str]) -> None:
    found = warnings(settings(files, **chosen))
    assert [expected in line for line, expected in zip(found, said, strict=True)] == [True] * len(said)


@pytest.mark.parametrize("which", ["KEY", "KEYS"])
def test_warnings_name_secrets_that_everybody_can_read(files: dict[str, str], which: str) -> None:
    Path(files[which]).chmod(0o644)
    (line,) = warnings(settings(files, **TLS, api_keys="KEYS"))
    assert f"chmod o-r {files[which]}" in line


def test_gateway_warns_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with served(FakeBackend(), Settings(**OPEN, drain_grace_s=0)):
            await asyncio.sleep(0)

    run(test())
    assert ("not encrypted" in caplog.text, "everybody" in caplog.text) == (True, True)


def test_gateway_has_nothing_to_warn_of_on_the_loopback_address() -> None:
    assert warnings(Settings()) == []


def test_gateway_warns_of_what_others_come_to_be_able_to_read(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(startup, "WARN_EVERY_S", 0.0)

    async def test() -> None:
        warning = asyncio.create_task(keep_warning(settings(files, api_keys="KEYS")))
        await settle()
        assert caplog.records == []
        await asyncio.to_thread(Path(files["KEYS"]).chmod, 0o644)
        await settle()
        warning.cancel()

    run(test())
    assert "can be read by everybody" in caplog.text


def test_gateway_warns_of_a_certificate_that_has_expired(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tls.crt"
    issued = trustme.CA().issue_cert("localhost", not_after=datetime.now(timezone.utc) - timedelta(days=1))
    file.write_bytes(issued.cert_chain_pems[0].bytes())

    async def test() -> None:
        warning = asyncio.create_task(keep_warning(Settings(tls_certificate=str(file))))
        await settle()
        warning.cancel()

    run(test())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
