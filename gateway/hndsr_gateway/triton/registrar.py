"""One Triton that is asked to map regions of shared memory, by its protocol's extension for that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tritonclient.utils import InferenceServerException

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton import guard
from hndsr_gateway.triton.regions import RegionRefusedError
from hndsr_gateway.triton.workspace import is_region_name

OLDEST_SAFE = (2, 50)
"""Older servers unmap a region that a request still uses, and die of it.

Source: github.com/triton-inference-server/server, pull request 7567.
"""

ANSWER_S = 5.0
"""How long a Triton may take to map or unmap a region, in seconds."""

_RESTRICTED = "protocol is restricted"


class TritonRegistrar:
    """A `Registrar` that asks over gRPC.

    Args:
        client: of the Triton; closed by whoever opened it, once this was closed.
        headers: metadata that Triton wants with these calls.
    """

    def __init__(self, client: Any, headers: Mapping[str, str]) -> None:
        self._client = client
        self._options: dict[str, Any] = {"headers": dict(headers), "client_timeout": ANSWER_S}
        self._closed = False

    def close(self) -> None:
        """Ask it no more: whatever it maps, nobody hears of it."""
        self._closed = True

    async def register(self, name: str, size_bytes: int) -> None:
        """Have it map a region, which it finds in /dev/shm by its name: on another host there is none of that name.

        Raises:
            RegionRefusedError: if the server cannot open it, does not let this gateway ask, or is too old to be asked.
            UnavailableError: if it does not answer.
        """
        try:
            await self._check_version()
            await self._client.register_system_shared_memory(name, f"/{name}", size_bytes, **self._options)
        except InferenceServerException as error:
            if error.status() == "StatusCode.ALREADY_EXISTS":  # an earlier answer was lost; names are never used twice
                return
            if _is_away(error):
                raise UnavailableError from error
            raise RegionRefusedError(error.message()) from error

    async def _check_version(self) -> None:
        version = (await self._client.get_server_metadata(**self._options)).version
        match = re.match(r"(\d+)\.(\d+)", version)
        if match is None or (int(match[1]), int(match[2])) < OLDEST_SAFE:
            oldest = ".".join(map(str, OLDEST_SAFE))
            raise RegionRefusedError(f"it is of version {version}, shared memory is safe from {oldest} on")

    async def unregister(self, name: str) -> bool:
        """Have it unmap a region; whether it has none of that name any more, or is gone itself.

        While a request uses the region some versions refuse and others keep it listed, so the list has the last word.
        """
        if self._closed:
            return True
        try:
            await self._client.unregister_system_shared_memory(name, **self._options)
            await self._client.get_system_shared_memory_status(name, **self._options)
        except InferenceServerException as error:
            gone = error.status() in {"StatusCode.NOT_FOUND", "StatusCode.UNAVAILABLE"}
            return gone and _RESTRICTED not in error.message()
        return False

    async def clear(self) -> None:
        """Have it unmap what gateways left in it that were killed: regions whose file is gone.

        Raises:
            UnavailableError: if it does not answer.
        """
        try:
            status = await self._client.get_system_shared_memory_status(**self._options)
        except InferenceServerException as error:
            raise UnavailableError from error
        for name in filter(is_region_name, status.regions):
            if not (guard.SHARED_MEMORY / name).exists():
                await self.unregister(name)


def _is_away(error: InferenceServerException) -> bool:
    """Tell a Triton that does not answer from one that does not let the caller ask; both have the same status."""
    silent = error.status() in {"StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED"}
    return silent and _RESTRICTED not in error.message()
