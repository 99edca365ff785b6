"""Waits until a server answers that it and its models are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from hndsr_gateway.triton.addresses import LOOPBACK, Addresses
from hndsr_gateway.triton.guarded import GuardedServer

_POLL_S = 0.05
_CALL_S = 5.0
_METRICS_S = 1.0


async def wait_until_ready(server: GuardedServer, *, addresses: Addresses, models: Sequence[str]) -> None:
    """Return when the server, which is to listen at `addresses`, and all `models` are ready and closed to other users.

    Raises:
        EmbeddedTritonError: the server ended, or will not become ready.
    """
    while not server.log.listening:  # a channel that was refused would rest before it tries again
        await server.check()
        await asyncio.sleep(_POLL_S)
    async with InferenceServerClient(addresses.grpc) as client:
        while not (await _is_ready(client, models) and await _shows_metrics(addresses.metrics_port)):
            await server.check()
            await asyncio.sleep(_POLL_S)
    server.workspace.close_shared_memory()


async def _is_ready(client: InferenceServerClient, models: Sequence[str]) -> bool:
    try:
        ready = [await client.is_server_ready(client_timeout=_CALL_S)]
        ready += [await client.is_model_ready(model, client_timeout=_CALL_S) for model in models]
    except InferenceServerException:
        return False
    return all(ready)


async def _shows_metrics(port: int) -> bool:
    """Whether Triton's metrics are served: it opens that port last, and ends if another program has it."""
    try:
        return b"nv_" in await asyncio.wait_for(_page(port), _METRICS_S)
    except (OSError, asyncio.TimeoutError):
        return False


async def _page(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        return await reader.read()
    finally:
        writer.close()
