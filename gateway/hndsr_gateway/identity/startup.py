"""Whether the settings say who may call, and what is open that should be known of."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hndsr_gateway.addresses import is_loopback
from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity.errors import IdentityError, TokensNotInstalledError
from hndsr_gateway.identity.expiry import warn_of_expiry
from hndsr_gateway.identity.identity import tokens_of
from hndsr_gateway.identity.keys import KeyFile
from hndsr_gateway.identity.tls import TlsFiles
from hndsr_gateway.settings import Settings

logger = logging.getLogger(__name__)

WARN_EVERY_S = 3600.0
PLAINTEXT, ANONYMOUS = "plaintext", "anonymous"


def problems(settings: Settings) -> list[str]:
    """What keeps a gateway from starting with these settings, one line each, with the setting's name and the remedy."""
    return [*_tls(settings), *_keys(settings), *_tokens(settings), *_open(settings)]


def check_settings(settings: Settings) -> None:
    """Refuse what `problems` finds.

    Raises:
        IdentityError: naming all of them.
    """
    if found := problems(settings):
        raise IdentityError(problems=found)


async def keep_warning(settings: Settings) -> None:
    """Log what is open to strangers, and a certificate that expires soon, now and every hour, until cancelled."""
    while True:
        for warning in warnings(settings):
            logger.warning("%s", warning)
        if settings.tls_certificate:
            warn_of_expiry(Path(settings.tls_certificate))
        await asyncio.sleep(WARN_EVERY_S)


def warnings(settings: Settings) -> list[str]:
    """What the operator allowed, or overlooked, that others can make use of."""
    found = []
    if _is_exposed(settings) and not settings.tls_certificate:
        found.append(f"INSECURE: calls to {settings.listen} are not encrypted, since HNDSR_INSECURE allows plaintext")
    if _is_exposed(settings) and not _asks_who(settings):
        found.append(
            f"INSECURE: everybody who reaches {settings.listen} may call, since HNDSR_INSECURE allows anonymous"
        )
    for name in ("tls_key", "api_keys"):
        path = getattr(settings, name)
        if path and _can_be_read_by_everybody(Path(path)):
            found.append(
                f"HNDSR_{name.upper()}: {path} can be read by everybody on this machine; run: chmod o-r {path}"
            )
    return found


def _can_be_read_by_everybody(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _tls(settings: Settings) -> Iterator[str]:
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        missing = "HNDSR_TLS_KEY" if settings.tls_certificate else "HNDSR_TLS_CERTIFICATE"
        yield f"{missing} is not set; set it, or neither of HNDSR_TLS_CERTIFICATE and HNDSR_TLS_KEY"
        return
    files = TlsFiles.of(settings)
    if files is not None:
        yield from (f"{setting}: {fault}" for setting, fault in files.faults().items())
    elif settings.tls_client_ca:
        yield "HNDSR_TLS_CLIENT_CA is set, but no TLS; set HNDSR_TLS_CERTIFICATE and HNDSR_TLS_KEY, or none of them"


def _keys(settings: Settings) -> Iterator[str]:
    if settings.api_keys:
        yield from _failure("HNDSR_API_KEYS", lambda: KeyFile.read(Path(settings.api_keys)))


def _tokens(settings: Settings) -> Iterator[str]:
    if not settings.jwt_issuer:
        for name in ("jwt_audience", "jwt_keys"):
            if getattr(settings, name):
                yield f"HNDSR_{name.upper()} is set, but no issuer; set HNDSR_JWT_ISSUER, or neither"
        return
    if not settings.jwt_audience:
        yield "HNDSR_JWT_AUDIENCE is not set; set it, else tokens that are meant for other services would count here"
    name, where = (
        ("HNDSR_JWT_KEYS", settings.jwt_keys) if settings.jwt_keys else ("HNDSR_JWT_ISSUER", settings.jwt_issuer)
    )
    try:
        from hndsr_gateway.identity.issuer import is_trustworthy  # noqa: PLC0415 - needs the extra
    except ImportError:
        yield f"HNDSR_JWT_ISSUER: {TokensNotInstalledError()}"
        return
    if (not settings.jwt_keys or "://" in where) and not is_trustworthy(where):
        yield f"{name} is {where!r}; give an https address, or set HNDSR_JWT_KEYS to a JWKS file"
        return
    yield from _failure(name, lambda: tokens_of(settings))


def _open(settings: Settings) -> Iterator[str]:
    """Strangers are let in nowhere but where the operator says so."""
    if not _is_exposed(settings):
        return
    if not settings.tls_certificate and PLAINTEXT not in settings.allowed_insecure:
        yield (
            f"HNDSR_LISTEN is {settings.listen}, which others can reach, without TLS; set HNDSR_TLS_CERTIFICATE and "
            "HNDSR_TLS_KEY, or HNDSR_INSECURE=plaintext where the network sees to it"
        )
    if not _asks_who(settings) and ANONYMOUS not in settings.allowed_insecure:
        yield (
            f"HNDSR_LISTEN is {settings.listen}, which others can reach, and nobody is asked who he is; set "
            "HNDSR_API_KEYS, HNDSR_JWT_ISSUER or HNDSR_TLS_CLIENT_CA, or add anonymous to HNDSR_INSECURE"
        )


def _is_exposed(settings: Settings) -> bool:
    return not is_loopback(settings.listen.rpartition(":")[0])


def _asks_who(settings: Settings) -> bool:
    return bool(settings.api_keys or settings.jwt_issuer or settings.tls_client_ca)


def _failure(name: str, attempt: Callable[[], Any]) -> Iterator[str]:
    try:
        attempt()
    except StartupError as error:
        yield f"{name}: {error}"
