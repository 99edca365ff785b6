"""Streams that break or stall: what is gone on with, what is raised, and when."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from unit.client.stream_gateway import (
    QUICK,
    WAIT_S,
    After,
    Pixels,
    Proxy,
    Relay,
    StreamGateway,
    gateway,
    relay,
    relayed,
)
from unit.client.stream_relays import (
    LARGE,
    MODEL,
    SOURCE,
    Responses,
    aborting,
    always,
    at_strips,
    duration,
    first,
    target,
    third,
    tile_error,
)
from unit.client.test_client_embedded import fake

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import (
    AsyncClient,
    Client,
    EmbeddedGatewayError,
    InvalidRequestError,
    OverloadedError,
    PreconditionError,
    Retry,
    ServerError,
    ServiceError,
    UnavailableError,
)
from hndsr_client._stream import blocking, tasks

__all__ = ["gateway", "relay", "relayed", "target"]

# grpc.aio forgets what the server said where the stream ends amid a write: then the next stream is told.
STREAMS_UNTIL_TOLD = 2


def test_stream_sends_what_is_missing_and_nothing_else(relay: Relay, relayed: Client) -> None:
    source = Pixels(SOURCE)
    relay.on_response = at_strips(
        third, lambda _, context: aborting(context, grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")
    )
    result = relayed.upscale_array(source, **MODEL)
    again = list(itertools.dropwhile(lambda one: one != relay.requests[0], relay.requests[1:]))
    strips = [(request.strip.row, request.strip.column) for request in relay.requests if request.HasField("strip")]
    assert not again
    assert len(strips) <= 2 * result.tiles - 2


GOES_ON = [
    (grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED", None),
    (grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE", 0.01),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 0.01),
    (grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH", None),
]


@pytest.mark.parametrize("at", ["plan", "strip"])
@pytest.mark.parametrize("failure", GOES_ON, ids=[row[1] for row in GOES_ON])
def test_stream_goes_on_after(
    relay: Relay, relayed: Client, target: np.ndarray, failure: tuple[grpc.StatusCode, str, float | None], at: str
) -> None:
    def on_response(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        if relay.streams == 1 and response.HasField(at):
            aborting(context, *failure)
        return [response]

    relay.on_response = on_response
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


BROKEN_BY_PROXIES = [
    (grpc.StatusCode.CANCELLED, "cancelled by the proxy"),
    (grpc.StatusCode.ABORTED, "aborted by the proxy"),
    (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
    (grpc.StatusCode.UNKNOWN, "Stream removed"),
]


@pytest.mark.parametrize(("code", "told"), BROKEN_BY_PROXIES, ids=[row[0].name for row in BROKEN_BY_PROXIES])
def test_stream_goes_on_after_a_proxy_broke_it(relay: Relay, relayed: Client, code: grpc.StatusCode, told: str) -> None:
    relay.on_response = at_strips(third, lambda _, context: context.abort(code, told))
    assert relayed.upscale_array(SOURCE, **MODEL).reconnections == 1


ENDS = [
    (grpc.StatusCode.FAILED_PRECONDITION, "REVISION_CHANGED", PreconditionError),
    (grpc.StatusCode.INVALID_ARGUMENT, "PLAN_INCOMPATIBLE", InvalidRequestError),
    (grpc.StatusCode.INVALID_ARGUMENT, "TILE_MISMATCH", InvalidRequestError),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", OverloadedError),
    (grpc.StatusCode.INTERNAL, "INTERNAL", ServerError),
]


@pytest.mark.parametrize(("code", "reason", "kind"), ENDS, ids=[row[1] for row in ENDS])
def test_stream_ends_with(
    relay: Relay, relayed: Client, code: grpc.StatusCode, reason: str, kind: type[ServiceError]
) -> None:
    relay.on_response = at_strips(lambda number: number > 1, lambda _, context: aborting(context, code, reason))
    with pytest.raises(kind) as caught:
        relayed.upscale_array(SOURCE, **MODEL)
    assert caught.value.reason == reason
    assert 1 <= relay.streams <= STREAMS_UNTIL_TOLD


def test_stream_is_patient_for_so_long(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(
        always, lambda _, context: aborting(context, grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    )
    begun_s = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        relayed.upscale_array(SOURCE, patience_s=0.3, **MODEL)
    assert 0.2 < time.monotonic() - begun_s < 10
    assert caught.value.attempts == relay.streams > 2


def test_stream_without_patience_raises_at_once(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(
        first, lambda _, context: aborting(context, grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
    )
    with pytest.raises(UnavailableError):
        relayed.upscale_array(SOURCE, patience_s=0, **MODEL)
    assert relay.streams == 1


def test_stream_does_not_wait_beyond_its_patience(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(
        always, lambda _, context: aborting(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 0.9)
    )
    begun_s = time.monotonic()
    with pytest.raises(OverloadedError):
        relayed.upscale_array(SOURCE, patience_s=0.5, **MODEL)
    assert time.monotonic() - begun_s < 0.5


def test_stream_of_nobody_is_unavailable(client_type: Callable[..., Client]) -> None:
    with client_type("127.0.0.1:1", retry=QUICK) as client, pytest.raises(UnavailableError, match="no service at"):
        client.upscale_array(SOURCE, patience_s=0.1, **MODEL)


def test_tile_that_failed_is_sent_again_in_the_same_stream(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    relay.on_response = at_strips(third, lambda response, _: [tile_error(response.strip, "BACKEND_UNAVAILABLE", 0.02)])
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert (result.reconnections, relay.streams) == (0, 1)
    assert np.array_equal(result.image, target)


def test_tile_that_always_fails_ends_the_image(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(always, lambda response, _: [tile_error(response.strip, "OVERLOADED", 0.01)])
    with pytest.raises(OverloadedError, match=r"tile \d, \d: said so") as caught:
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)
    assert caught.value.reason == "OVERLOADED"


@pytest.mark.parametrize(
    ("reason", "kind"), [("REVISION_CHANGED", PreconditionError), ("INTERNAL", ServerError), ("ODD", ServerError)]
)
def test_tile_that_would_fail_again_ends_the_image(
    relay: Relay, relayed: Client, reason: str, kind: type[ServiceError]
) -> None:
    relay.on_response = at_strips(third, lambda response, _: [tile_error(response.strip, reason, None)])
    with pytest.raises(kind) as caught:
        relayed.upscale_array(SOURCE, **MODEL)
    assert (caught.value.reason, set(caught.value.metadata), relay.streams) == (reason, {"row", "column"}, 1)


def test_stream_goes_on_elsewhere_when_the_server_drains(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    draining = pb.UpscaleStreamResponse(draining=pb.Draining(resume_after=duration(0.02)))

    def on_response(response: pb.UpscaleStreamResponse, _: Any) -> Iterator[pb.UpscaleStreamResponse]:
        if relay.streams > 1 or response.HasField("plan"):
            yield response
        elif response.HasField("strip"):
            yield draining
            yield response
            raise StopDraining

    class StopDraining(Exception):  # noqa: N818  ends the relay's answers
        pass

    relay.on_response = on_response
    relay.quiet_ends = (StopDraining,)
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def test_stream_that_ends_early_is_gone_on_with(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    class EndError(Exception):
        pass

    def end(_: pb.UpscaleStreamResponse, __: Any) -> Responses:
        raise EndError

    relay.quiet_ends = (EndError,)
    relay.on_response = at_strips(third, end)
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def test_stream_without_its_summary_is_complete(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    def on_response(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        if response.HasField("summary"):
            aborting(context, grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")
        return [response]

    relay.on_response = on_response
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert (result.reconnections, result.computed_windows, result.cache_hits) == (0, 0, 0)
    assert np.array_equal(result.image, target)


@pytest.mark.parametrize("breaks_after", [[0], [3_000], [150_000], [40_000, 0, 200_000], [1_000] * 3])
def test_stream_survives_connections_that_break(
    gateway: StreamGateway, client_type: Callable[..., Client], target: np.ndarray, breaks_after: list[int]
) -> None:
    with (
        Proxy(gateway.address, breaks_after) as proxy,
        client_type(proxy.address, retry=QUICK, timeout_s=WAIT_S) as client,
    ):
        result = client.upscale_array(SOURCE, **MODEL)
    assert proxy.connections == len(breaks_after) + 1
    assert np.array_equal(result.image, target)


def test_stream_survives_the_server(client_type: Callable[..., Client]) -> None:
    servers = [StreamGateway()]
    port = servers[0].address.rsplit(":", 1)[1]

    def restart(progress: Any) -> None:
        if progress.tiles_done == 2 and len(servers) == 1:
            servers[0].stop()
            servers.append(StreamGateway(listen=f"127.0.0.1:{port}"))

    try:
        with client_type(servers[0].address, retry=QUICK, timeout_s=WAIT_S) as client:
            result = client.upscale_array(LARGE, on_progress=restart, **MODEL)
            one = client.upscale(LARGE, **MODEL)
    finally:
        servers[-1].stop()
    assert result.reconnections >= 1
    assert np.array_equal(result.image, one.image)


def test_stream_survives_a_server_that_drains(client_type: Callable[..., Client]) -> None:
    servers = [StreamGateway(drain_grace_s=10)]
    port = servers[0].address.rsplit(":", 1)[1]
    restarts: list[threading.Thread] = []

    def restart() -> None:
        servers[0].stop()
        servers.append(StreamGateway(listen=f"127.0.0.1:{port}"))

    def begin() -> None:
        restarts.append(threading.Thread(target=restart))
        restarts[0].start()

    try:
        with client_type(servers[0].address, retry=QUICK, timeout_s=WAIT_S) as client:
            result = client.upscale_array(LARGE, on_progress=After(2, begin), **MODEL)
            restarts[0].join()
            one = client.upscale(LARGE, **MODEL)
    finally:
        restarts[0].join()
        servers[-1].stop()
    assert result.reconnections >= 1
    assert np.array_equal(result.image, one.image)


def test_stream_is_patient_with_tiles_that_take_long(relay: Relay, relayed: Client) -> None:
    def late(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        time.sleep(0.4)
        aborting(context, grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")
        return [response]

    relay.on_response = at_strips(third, late)
    assert relayed.upscale_array(SOURCE, patience_s=0.3, **MODEL).reconnections == 1


def test_stream_does_not_believe_in_a_silent_server(
    relay: Relay, relayed: Client, target: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "MAX_SILENCE_S", 0.5)
    monkeypatch.setattr(tasks, "MAX_SILENCE_S", 0.5)
    relay.on_response = at_strips(lambda number: 1 < number < 20 and relay.streams == 1, lambda *_: [])
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections >= 1
    assert np.array_equal(result.image, target)


def test_stream_says_that_a_server_is_silent(relay: Relay, relayed: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "MAX_SILENCE_S", 0.3)
    monkeypatch.setattr(tasks, "MAX_SILENCE_S", 0.3)
    relay.on_response = lambda *_: []
    with pytest.raises(UnavailableError, match="no word from the server"):
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)


def test_stream_waits_as_long_as_its_caller_takes(
    relay: Relay, relayed: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocking, "MAX_SILENCE_S", 0.3)
    monkeypatch.setattr(tasks, "MAX_SILENCE_S", 0.3)
    sink = Pixels(np.zeros((480, 400, 3), np.uint8), lambda: time.sleep(0.2))
    assert relayed.upscale_array(SOURCE, sink, patience_s=0.1, **MODEL).reconnections == 0


def test_stream_that_pauses_ends_with_its_client(gateway: StreamGateway) -> None:
    async def close() -> None:
        client = AsyncClient("127.0.0.1:1", retry=Retry(initial_delay_s=20, max_delay_s=20))
        task = asyncio.create_task(client.upscale_array(SOURCE, **MODEL))
        await asyncio.sleep(0.2)
        await client.close()
        with pytest.raises(UnavailableError):
            await task

    asyncio.run(asyncio.wait_for(close(), WAIT_S))


def test_stream_says_that_its_own_gateway_has_ended(gateway: StreamGateway, tmp_path: Path, client_type: Any) -> None:
    with Proxy(gateway.address) as proxy:
        client = client_type.embedded(_command=fake("wait", tmp_path / "marker", proxy.address), retry=QUICK)

        def end() -> None:
            client._gateway._process.kill()
            client._gateway._process.wait()
            proxy.cut()

        with client, pytest.raises(EmbeddedGatewayError, match="killed by signal 9"):
            client.upscale_array(LARGE, on_progress=After(2, end), **MODEL)
