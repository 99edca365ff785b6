"""When certificates expire, and how loudly that is said."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme

from hndsr_gateway.identity.expiry import not_after, warn_of_expiry


def certificate(expires: datetime, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> str:
    issued = trustme.CA().issue_cert("localhost", not_after=expires, key_type=key_type)
    return issued.cert_chain_pems[0].bytes().decode()


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
@pytest.mark.parametrize("year", [2049, 2050, 2999])
def test_not_after_is_what_the_certificate_says(year: int, key_type: trustme.KeyType) -> None:
    expires = datetime(year, 2, 28, 23, 59, 58, tzinfo=timezone.utc)
    assert not_after(certificate(expires, key_type)) == expires


def test_not_after_is_of_the_first_certificate() -> None:
    first, second = (datetime(year, 1, 1, tzinfo=timezone.utc) for year in (2031, 2032))
    assert not_after(f"Müller\n{certificate(first)}{certificate(second)}") == first


@pytest.mark.parametrize(
    ("days", "levels"), [(-1, ["ERROR"]), (6, ["WARNING"]), (8, [])], ids=["expired", "soon", "later"]
)
def test_expiry_is_told_by_how_soon_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, levels: list[str]
) -> None:
    file = tmp_path / "tls.crt"
    file.write_text(certificate(datetime.now(timezone.utc) + timedelta(days=days)))
    warn_of_expiry(file)
    assert [record.levelname for record in caplog.records] == levels


@pytest.mark.parametrize(
    "content", ["", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"], ids=["empty", "no_certificate"]
)
def test_expiry_of_what_is_no_certificate_is_not_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file = tmp_path / "tls.crt"
    file.write_text(content)
    warn_of_expiry(file)
    warn_of_expiry(tmp_path / "nowhere")
    assert caplog.records == []
