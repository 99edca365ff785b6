"""Streams that break, stall or lie: what is gone on with, what is raised, and when."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
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
    scene,
)
from unit.client.test_client_embedded import fake

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import (
    AnswerError,
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
from hndsr_client._core.status import DETAILS_KEY
from hndsr_client._stream import blocking, tasks

__all__ = ["gateway", "relay", "relayed"]

SOURCE = scene((120, 100))
LARGE = scene((400, 400))
MODEL = {"model": "bicubic", "scale": 4}
Responses = Iterable[pb.UpscaleStreamResponse]
OnResponse = Callable[[pb.UpscaleStreamResponse, Any], Responses]


@pytest.fixture(scope="module")
def target(gateway: StreamGateway) -> np.ndarray:
    with Client(gateway.address) as client:
        return client.upscale(SOURCE, **MODEL).image


def aborting(context: Any, code: grpc.StatusCode, reason: str, delay_s: float | None = None) -> None:
    """End the call as the gateway does."""
    status = status_pb2.Status(code=code.value[0], message="said so")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="hndsr"))
    if delay_s is not None:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=duration(delay_s)))
    context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(code, "said so")


def duration(seconds: float) -> Duration:
    return Duration(nanos=round(seconds * 1e9))


def tile_error(tile: pb.TargetStrip, reason: str, delay_s: float | None) -> pb.UpscaleStreamResponse:
    error = pb.TileError(row=tile.row, column=tile.column, reason=reason, message="said so")
    if delay_s is not None:
        error.retry_delay.CopyFrom(duration(delay_s))
    return pb.UpscaleStreamResponse(tile_error=error)


def at_strips(which: Callable[[int], bool], change: OnResponse) -> OnResponse:
    """Change the strips of some numbers, counted over all streams from 0."""
    count = itertools.count()

    def on_response(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        if response.WhichOneof("message") == "strip" and which(next(count)):
            return change(response, context)
        return [response]

    return on_response


def first(number: int) -> bool:
    return number == 0


def third(number: int) -> bool:
    return number == 2


def always(_: int) -> bool:
    return True


def changed(**fields: Any) -> OnResponse:
    """Other fields in a strip, its checksum left alone."""

    def change(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        for name, value in fields.items():
            setattr(response.strip, name, value(getattr(response.strip, name)))
        return [response]

    return change


BROKEN_STRIPS = {
    "pixels": changed(pixels=lambda pixels: bytes([pixels[0] ^ 1]) + pixels[1:]),
    "fewer_pixels": changed(pixels=lambda pixels: pixels[:-1]),
    "mask": changed(mask=lambda _: b"\x01"),
    "row": changed(row=lambda row: row + 1),
    "unknown_row": changed(row=lambda row: row + 1000),
    "y": changed(y_px=lambda y_px: y_px + 1),
    "last": changed(last=lambda last: not last),
    "checksum": changed(checksum=lambda checksum: checksum ^ 1),
}


@pytest.mark.parametrize("broken", BROKEN_STRIPS.values(), ids=BROKEN_STRIPS)
def test_stream_goes_on_after_a_strip_that_was_changed(
    relay: Relay, relayed: Client, target: np.ndarray, broken: OnResponse
) -> None:
    relay.on_response = at_strips(third, broken)
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def resealed(**fields: Any) -> OnResponse:
    """Other fields in a strip, with the checksum that goes with them: a server that is wrong."""

    def change(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it makes wrong

        changed(**fields)(response, context)
        response.strip.checksum = checksum(response.strip)
        return [response]

    return change


WRONG_STRIPS = {
    "no_such_tile": (resealed(row=lambda _: 1000), "which the plan does not have"),
    "tile_not_sent": (resealed(row=lambda _: 6, column=lambda _: 6), "which was not sent"),
    "from_the_middle": (resealed(y_px=lambda y_px: y_px + 1), "which cannot be"),
    "part_of_a_row": (resealed(pixels=lambda pixels: pixels[:-1]), "which cannot be"),
    "too_many_rows": (resealed(pixels=lambda pixels: pixels * 2), "which cannot be"),
    "no_rows": (resealed(pixels=lambda _: b""), "which cannot be"),
    "not_the_last": (resealed(last=lambda _: False), "another number of rows"),
    "short_mask": (resealed(mask=lambda _: b"\x01"), "a mask of 1 bytes"),
}


@pytest.mark.parametrize(("wrong", "told"), WRONG_STRIPS.values(), ids=WRONG_STRIPS)
def test_stream_gives_up_on_a_server_that_is_always_wrong(
    relay: Relay, relayed: Client, wrong: OnResponse, told: str
) -> None:
    relay.on_response = at_strips(always, wrong)
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(LARGE, patience_s=0.2, **MODEL)
    assert relay.streams > 1


def test_stream_refuses_strips_of_two_tiles_at_a_time(relay: Relay, relayed: Client) -> None:
    halves: list[pb.UpscaleStreamResponse] = []

    def halved(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it makes wrong

        strip = response.strip
        half = pb.TargetStrip(row=strip.row, column=strip.column, pixels=strip.pixels[: len(strip.pixels) // 2])
        half.checksum = checksum(half)
        halves.append(pb.UpscaleStreamResponse(strip=half))
        return [halves[-1]]

    relay.on_response = at_strips(always, halved)
    with pytest.raises(AnswerError, match="between strips of another"):
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)


def test_stream_puts_strips_together(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    def cut(response: pb.UpscaleStreamResponse, _: Any) -> Iterator[pb.UpscaleStreamResponse]:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it cuts

        whole = response.strip
        height_px = {0: 224, 1: 256}[whole.row]
        row_bytes = len(whole.pixels) // height_px
        for y_px in range(0, height_px, 100):
            strip = pb.TargetStrip(row=whole.row, column=whole.column, y_px=y_px, last=y_px + 100 >= height_px)
            strip.pixels = whole.pixels[y_px * row_bytes : (y_px + 100) * row_bytes]
            strip.checksum = checksum(strip)
            yield pb.UpscaleStreamResponse(strip=strip)

    relay.on_response = at_strips(always, cut)
    assert np.array_equal(relayed.upscale_array(SOURCE, **MODEL).image, target)


def test_stream_takes_a_tile_once(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    relay.on_response = at_strips(always, lambda response, _: [response, response])
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 0
    assert np.array_equal(result.image, target)


@pytest.mark.parametrize("kind", ["progress", "none"])
def test_stream_passes_over_what_says_nothing_new(relay: Relay, relayed: Client, kind: str) -> None:
    more = pb.UpscaleStreamResponse(progress=pb.StreamProgress() if kind == "progress" else None)
    relay.on_response = lambda response, _: [more, response] if response.HasField("strip") else [response]
    assert relayed.upscale_array(SOURCE, **MODEL).tiles == 4


@pytest.mark.parametrize("kind", ["second plan", "strip before the plan"])
def test_stream_refuses_messages_out_of_turn(relay: Relay, relayed: Client, kind: str) -> None:
    strip = pb.UpscaleStreamResponse(strip=pb.TargetStrip())

    def on_response(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        if not response.HasField("plan"):
            return [response]
        return [response, response] if kind == "second plan" else [strip, response]

    relay.on_response = on_response
    with pytest.raises(AnswerError, match="the server answered a"):
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)


def plan_changed(change: Callable[[pb.Plan], object]) -> OnResponse:
    def on_response(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        if response.HasField("plan"):
            change(response.plan.plan)
        return [response]

    return on_response


CHANGED_PLANS = {
    "digest": (lambda plan: setattr(plan, "digest", "0" * 64), "another digest"),
    "span": (lambda plan: setattr(plan.row_spans[0], "source_stop_px", 1), "another digest"),
    "revision": (lambda plan: setattr(plan, "revision", "other"), "another digest"),
    "seed": (lambda plan: setattr(plan.options, "seed", 5), "another digest"),
    "model": (lambda plan: setattr(plan, "model", "other"), "the model other, asked for was bicubic"),
    "size": (lambda plan: setattr(plan, "source_width_px", 5), "the source size"),
    "scale": (lambda plan: setattr(plan, "scale_numerator", 5), "the scale 5/1, asked for was 4/1"),
}


@pytest.mark.parametrize(("change", "told"), CHANGED_PLANS.values(), ids=CHANGED_PLANS)
def test_stream_refuses_a_plan_that_was_changed(
    relay: Relay, relayed: Client, change: Callable[[pb.Plan], object], told: str
) -> None:
    relay.on_response = plan_changed(change)
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(SOURCE, **MODEL)
    assert relay.streams == 3


CHANGED_STARTS = {
    "scale": (lambda start: setattr(start.parameters, "scale", "3"), "the scale"),
    "steps": (lambda start: setattr(start.parameters.options, "steps", 7), "the steps 7, asked for was 5"),
    "texture": (lambda start: setattr(start.parameters.options, "texture", 0.5), "the texture"),
    "seed": (lambda start: setattr(start.parameters.options, "seed", 7), "the seed 7, asked for was 5"),
    "range": (lambda start: setattr(start.parameters.value_ranges[0], "minimum", 1), "another digest"),
    "sample type": (lambda start: setattr(start, "sample_type", pb.SAMPLE_TYPE_UINT16), "another digest"),
    "cores": (lambda start: setattr(start, "cores_per_tile", 3), "the cores_per_tile 3, asked for was 2"),
}


@pytest.mark.parametrize(("change", "told"), CHANGED_STARTS.values(), ids=CHANGED_STARTS)
def test_stream_notices_that_its_start_was_changed(
    relay: Relay, relayed: Client, change: Callable[[pb.StreamStart], object], told: str
) -> None:
    def on_request(request: pb.UpscaleStreamRequest) -> pb.UpscaleStreamRequest:
        if request.HasField("start"):
            change(request.start)
        return request

    relay.on_request = on_request
    chosen = {"scale": 4, "steps": 5, "texture": 1.0, "seed": 5, "value_ranges": [(0, 200)] * 3}
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(SOURCE, cores_per_tile=2, **chosen)


def test_stream_takes_a_plan_that_was_changed_once(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    relay.on_response = plan_changed(lambda plan: relay.streams == 1 and setattr(plan, "digest", "0" * 64))
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def test_stream_ignores_options_of_a_model_that_takes_none(relay: Relay, relayed: Client) -> None:
    assert relayed.upscale_array(SOURCE, steps=5, seed=3, **MODEL).plan.options.steps == 0


def test_stream_goes_on_with_the_plan_it_had(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(
        third, lambda _, context: aborting(context, grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")
    )
    plan = relayed.upscale_array(SOURCE, scale=4).plan
    start = [request.start for request in relay.requests if request.HasField("start")][1]
    assert (start.required_digest, start.parameters.required_revision) == (plan.digest, plan.revision)
    assert (start.cores_per_tile, start.parameters.model, start.parameters.scale) == (1, "hndsr", "4/1")
    assert start.parameters.options.steps == plan.options.steps


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
    relay.on_response = at_strips(third, lambda _, context: aborting(context, code, reason))
    with pytest.raises(kind) as caught:
        relayed.upscale_array(SOURCE, **MODEL)
    assert (caught.value.reason, relay.streams) == (reason, 1)


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
        first, lambda _, context: aborting(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 0.9)
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
