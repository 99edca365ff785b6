"""Waits until a server answers that it and its models are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from hndsr_gateway.triton.guarded import GuardedServer

_POLL_S = 0.05
_CALL_S = 5.0


async def wait_until_ready(server: GuardedServer, *, address: str, models: Sequence[str]) -> None:
    """Return when the server, which is to listen at `address`, and all `models` are ready.

    Raises:
        EmbeddedTritonError: the server ended, or will not become ready.
    """
    while not server.log.listening:  # its own word: whoever answers at the address could be another program
        await server.check()
        await asyncio.sleep(_POLL_S)
    async with InferenceServerClient(address) as client:
        while not await _is_ready(client, models):
            await server.check()
            await asyncio.sleep(_POLL_S)


async def _is_ready(client: InferenceServerClient, models: Sequence[str]) -> bool:
    try:
        ready = [await client.is_server_ready(client_timeout=_CALL_S)]
        ready += [await client.is_model_ready(model, client_timeout=_CALL_S) for model in models]
    except InferenceServerException:
        return False
    return all(ready)
