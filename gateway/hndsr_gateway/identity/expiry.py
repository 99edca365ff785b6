"""When a certificate expires: the library says so of authorities alone, so its few bytes are read here.

Source: RFC 5280, 4.1 (`tbsCertificate.validity.notAfter`), in the DER of ITU-T X.690.
"""

from __future__ import annotations

import logging
import re
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.following import read_bytes

logger = logging.getLogger(__name__)

SOON = timedelta(days=7)
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
VERSION, UTC_TIME = 0xA0, 0x17
VALIDITY = 3
"""Its place behind the version, which not all certificates have."""


def warn_of_expiry(path: Path) -> None:
    """Log if a certificate is over (ERROR) or soon will be (WARNING); one that cannot be read is told of elsewhere."""
    try:
        expires = not_after(read_bytes(path).decode("latin-1"))
    except (UnusableFileError, ValueError, IndexError):
        return
    left = expires - datetime.now(timezone.utc)
    if left <= timedelta(0):
        logger.error("the certificate in %s expired at %s; put a new one in its place", path, expires.isoformat())
    elif left <= SOON:
        logger.warning("the certificate in %s expires at %s; put a new one in its place", path, expires.isoformat())


def not_after(pem: str) -> datetime:
    """The last moment of the first certificate of a file.

    Raises:
        ValueError, IndexError: if there is none.
    """
    found = CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("no certificate")
    _, certificate = _elements(ssl.PEM_cert_to_DER_cert(found[0]))[0]
    _, to_be_signed = _elements(certificate)[0]
    fields = [content for tag, content in _elements(to_be_signed) if tag != VERSION]
    _, (tag, content) = _elements(fields[VALIDITY])
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = f"{'19' if text >= '50' else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _elements(content: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element."""
    elements, at = [], 0
    while at < len(content):
        tag, length = content[at], content[at + 1]
        at += 2
        if length & 0x80:  # so many bytes have the length
            after = at + (length & 0x7F)
            length, at = int.from_bytes(content[at:after], "big"), after
        elements.append((tag, content[at : at + length]))
        at += length
    return elements
