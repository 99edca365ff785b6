"""Where an issuer's keys come from: a file, an address, or what the issuer's OpenID configuration names."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from hndsr_gateway.addresses import is_loopback
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.identity.errors import IssuerError, UnusableFileError
from hndsr_gateway.identity.following import Followed, read_bytes
from hndsr_gateway.identity.signing_keys import SigningKey, SigningKeys

logger = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_S = 5.0
MAX_BYTES = 2**20
REFRESH_S = 600.0
"""When keys are asked for again beside the calls, to notice those that count no more."""
LEAST_PAUSE_S, PAUSE_AFTER_FAILURE_S = 60.0, 10.0
"""How soon an issuer is asked again for a key that it did not name, or after it did not answer."""


class KeySource(Protocol):
    """Knows an issuer's keys."""

    async def find(self, key_id: str | None) -> SigningKey | None:
        """The key of that id, None where the issuer has none.

        Raises:
            UnavailableError: none of the issuer's keys could be had so far.
        """

    async def refresh(self) -> None:
        """Ask for the keys, unless that was just done."""


class FileKeys:
    """Keys from a JWKS file, which is followed.

    Raises:
        UnusableFileError: it cannot be read or used.
    """

    def __init__(self, path: Path, *, every_s: float = 1.0) -> None:
        self._keys = Followed((path,), lambda: _read(path), every_s=every_s)

    async def find(self, key_id: str | None) -> SigningKey | None:
        """The key of that id."""
        return self._keys.content().find(key_id)

    async def refresh(self) -> None:
        """Nothing: the file is followed."""


class RemoteKeys:
    """Keys from an address; those that are known go on being used while it does not answer.

    Args:
        load: asks for the keys; called in a thread.
        now_s: a clock that never goes back.
    """

    def __init__(self, load: Callable[[], SigningKeys], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._load, self._now_s = load, now_s
        self._keys: SigningKeys | None = None
        self._next_s = self._stale_s = now_s()
        self._loading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> SigningKey | None:
        """The key of that id; an unknown one is asked for, now and then.

        Raises:
            UnavailableError: no keys could be had so far.
        """
        if (found := self._find(key_id)) is None:
            await self.refresh()
            found = self._find(key_id)
        elif self._now_s() >= self._stale_s:
            self._start()
        if self._keys is None:
            raise UnavailableError("the keys that tokens are checked with cannot be had", retry_delay_s=1.0)
        return found

    async def refresh(self) -> None:
        """Wait until the issuer has been asked, unless it was just now."""
        self._start()
        if self._loading is not None:
            await asyncio.shield(self._loading)

    def _find(self, key_id: str | None) -> SigningKey | None:
        return None if self._keys is None else self._keys.find(key_id)

    def _start(self) -> None:
        if self._loading is None and self._now_s() >= self._next_s:
            self._loading = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        pause_s = PAUSE_AFTER_FAILURE_S
        try:
            self._keys = await asyncio.to_thread(self._load)
        except IssuerError as error:
            logger.error("keys of tokens cannot be asked for, those that are known stay: %s", error)  # noqa: TRY400 - its message is whole
        else:
            pause_s = LEAST_PAUSE_S
            self._stale_s = self._now_s() + REFRESH_S
        finally:
            self._next_s = self._now_s() + pause_s
            self._loading = None


def fetch_keys(address: str) -> SigningKeys:
    """The keys at an address.

    Raises:
        IssuerError: it does not answer, or with something else.
    """
    try:
        return SigningKeys(_fetch(address))
    except ValueError as error:
        raise IssuerError(address=address, problem=str(error)) from error


def discovered_keys(issuer: str) -> SigningKeys:
    """The keys that an issuer's OpenID configuration leads to.

    Source: OpenID Connect Discovery 1.0, 4.3: the configuration has to name the very issuer that was asked for.

    Raises:
        IssuerError: it does not answer, or with something else.
    """
    address = issuer.rstrip("/") + DISCOVERY
    with contextlib.suppress(ValueError):
        document = json.loads(_fetch(address))
        if (
            isinstance(document, dict)
            and document.get("issuer") == issuer
            and isinstance(document.get("jwks_uri"), str)
        ):
            return fetch_keys(document["jwks_uri"])
    raise IssuerError(address=address, problem=f"is no OpenID configuration of {issuer} that names its keys")


def is_trustworthy(address: str) -> bool:
    """Whether nobody on the way can change what comes from there: https, or this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(host)) or (parts.scheme == "http" and is_loopback(host))


def _read(path: Path) -> SigningKeys:
    try:
        return SigningKeys(read_bytes(path))
    except ValueError as error:
        raise UnusableFileError(path=path, problem=str(error)) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Go nowhere else: that might be an address that `is_trustworthy` refuses."""


def _fetch(address: str) -> bytes:
    if not is_trustworthy(address):
        raise IssuerError(address=address, problem="is not an https address")
    request = urllib.request.Request(address, headers={"Accept": "application/json"})  # noqa: S310 - see above
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(MAX_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise IssuerError(address=address, problem=f"does not answer: {error}") from error
    if len(content) > MAX_BYTES:
        raise IssuerError(address=address, problem=f"answers more than {MAX_BYTES} bytes")
    return content
