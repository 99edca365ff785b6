"""Who makes a call: by key, token or certificate, or by address where nobody need say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hndsr_gateway.addresses import network_of
from hndsr_gateway.caller import Caller
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.errors import TokensNotInstalledError
from hndsr_gateway.identity.keys import PREFIX, UNKNOWN, ApiKeys
from hndsr_gateway.identity.names import shown
from hndsr_gateway.identity.tls import NAMES, certificate_names
from hndsr_gateway.settings import Settings

if TYPE_CHECKING:
    from hndsr_gateway.identity.tokens import Tokens

SCHEME = "bearer"
KINDS: Final[Mapping[str, str]] = {
    "peer_uri": "uri",
    "peer_dns": "dns",
    "peer_email": "email",
    "x509_common_name": "cn",
    "x509_subject": "subject",
}
"""What the kinds of names in certificates are called in callers' ids."""


class Identity:
    """Tells who calls.

    With keys or tokens each call has to bring one, whatever certificate its connection has. Else the certificate says
    who it is, and may do everything; without any of them nobody need say who he is.

    Args:
        keys: whose keys are whose.
        tokens: whose tokens are whose.
    """

    def __init__(self, *, keys: ApiKeys | None = None, tokens: Tokens | None = None) -> None:
        self._keys, self._tokens = keys, tokens

    @classmethod
    def of(cls, settings: Settings) -> Identity:
        """As the settings say.

        Raises:
            StartupError: a file of theirs cannot be used, or what checks tokens is not installed.
        """
        keys = ApiKeys(Path(settings.api_keys)) if settings.api_keys else None
        return cls(keys=keys, tokens=tokens_of(settings) if settings.jwt_issuer else None)

    async def warm_up(self) -> None:
        """Ask others now for what the first call would wait for."""
        if self._tokens is not None:
            await self._tokens.warm_up()

    async def identify(
        self, metadata: Iterable[tuple[str, str | bytes]], auth_context: Mapping[str, Iterable[bytes]], peer: str
    ) -> Caller:
        """Who makes a call.

        Args:
            metadata: of the call.
            auth_context: of its connection, as gRPC tells it.
            peer: its address, as gRPC writes it.

        Raises:
            UnauthenticatedError: it does not say, or not so that it counts here.
            UnavailableError: it cannot be told now.
        """
        if self._keys is not None or self._tokens is not None:
            return await self._bearer(credentials(metadata))
        return _certificate_caller(auth_context) or Caller(f"address:{network_of(peer)}")

    async def _bearer(self, text: str) -> Caller:
        if text.startswith(PREFIX) and self._keys is not None:
            return self._keys.caller_of(text)
        if not text.startswith(PREFIX) and self._tokens is not None:
            return await self._tokens.caller_of(text)
        raise UnauthenticatedError(UNKNOWN)


def _certificate_caller(auth_context: Mapping[str, Iterable[bytes]]) -> Caller | None:
    """Who a certificate says it is, by the name that tells most.

    The same text may be a name of another kind in somebody else's, so its kind is part of who that is.
    """
    for kind in NAMES:
        for name in certificate_names({kind: auth_context.get(kind, ())}):
            return Caller(f"certificate:{KINDS[kind]}:{name}", shown(name))
    return None


def credentials(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """What stands behind `Bearer` in a call's only `authorization`.

    Source: RFC 6750, 2.1.

    Raises:
        UnauthenticatedError: there is none, more than one, or another scheme.
    """
    found = [value for key, value in metadata if key == "authorization"]
    if not found:
        raise UnauthenticatedError("the call does not say who makes it")
    if len(found) > 1:
        raise UnauthenticatedError("the call has more than one 'authorization'")
    scheme, _, text = str(found[0]).partition(" ")
    if scheme.lower() != SCHEME or not text.strip():
        raise UnauthenticatedError("the call's 'authorization' is not of the form 'Bearer KEY'")
    return text.strip()


def tokens_of(settings: Settings) -> Tokens:
    """What checks tokens; of an issuer that is asked over the network nothing is asked yet.

    Raises:
        StartupError: a file cannot be used, or the extra is not installed.
    """
    try:
        from hndsr_gateway.identity.issuer import FileKeys, RemoteKeys, discovered_keys, fetch_keys  # noqa: PLC0415
        from hndsr_gateway.identity.tokens import Tokens  # noqa: PLC0415
    except ImportError as error:
        raise TokensNotInstalledError from error
    issuer, where = settings.jwt_issuer, settings.jwt_keys
    if not where:
        keys = RemoteKeys(lambda: discovered_keys(issuer))
    elif "://" in where:
        keys = RemoteKeys(lambda: fetch_keys(where))
    else:
        return Tokens(issuer=issuer, audience=settings.jwt_audience, keys=FileKeys(Path(where)))
    return Tokens(issuer=issuer, audience=settings.jwt_audience, keys=keys)
