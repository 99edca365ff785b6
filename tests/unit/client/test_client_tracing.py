"""Spans of both kinds of client: their tree, how they end, and the context that travels."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from rasters import rgb
from unit.client.traces import Traces, facts, kept_spans

from hndsr_client import ArgumentError, AsyncClient, Client, ServiceError
from hndsr_client.batch import async_upscale_files, upscale_files
from hndsr_client.connection import Retry
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

IMAGE = np.zeros((5, 7, 3), np.uint8)
SCENE = np.random.default_rng(7).integers(0, 256, (60, 140, 3), np.uint8)
TILES: dict[str, Any] = {"scale": 4, "cores_per_tile": 1}
"""With these the scene has three tiles."""
QUICK = Retry(initial_delay_s=0.001, max_delay_s=0.002)
CANCELLED = ("UNSET", "CANCELLED", 1)


@pytest.fixture
def traces() -> Iterator[Traces]:
    with kept_spans() as traces:
        yield traces


@pytest.fixture
def client(server: FakeServer, client_type: Callable[..., Client]) -> Iterator[Client]:
    with client_type(server.target, timeout_s=30, retry=QUICK) as client:
        yield client


def sent_contexts(server: FakeServer) -> list[Any]:
    """What came as `traceparent` with each request."""
    return [request.metadata.get("traceparent") for request in server.requests]


def traceparent(traces: Traces, method: str) -> list[str]:
    """The contexts of a method's spans as they travel."""
    contexts = [span.get_span_context() for span in traces.named(method)]
    return [f"00-{one.trace_id:032x}-{one.span_id:016x}-{one.trace_flags:02x}" for one in contexts]


def current_span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


CALLS: dict[str, tuple[str, Callable[[Client], object]]] = {
    "info": ("GetModelInfo", lambda client: client.info()),
    "plan": ("PlanUpscale", lambda client: client.plan(5, 7)),
    "upscale": ("Upscale", lambda client: client.upscale(IMAGE)),
    "upscale encoded": ("Upscale", lambda client: client.upscale_encoded(IMAGE)),
    "compare": ("Compare", lambda client: client.compare(SCENE, SCENE)),
    "upscale array": ("UpscaleStream", lambda client: client.upscale_array(IMAGE)),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_a_span_below_its_operation(client: Client, traces: Traces, name: str) -> None:
    method, call = CALLS[name]
    call(client)
    assert traces.tree == [(name, None), (method, name)]


def test_file_is_an_operation_of_its_own(client: Client, traces: Traces, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.png")
    assert traces.tree == [("upscale file", None), ("Upscale", "upscale file")]


def test_operation_lies_below_the_span_of_its_caller(client: Client, traces: Traces) -> None:
    with trace.get_tracer("test").start_as_current_span("mine"):
        client.upscale(IMAGE)
    assert traces.tree[:2] == [("mine", None), ("upscale", "mine")]


@pytest.mark.parametrize("name", CALLS)
def test_context_of_a_call_arrives_with_it(client: Client, server: FakeServer, traces: Traces, name: str) -> None:
    method, call = CALLS[name]
    call(client)
    assert sent_contexts(server) == traceparent(traces, method)


def test_operation_says_what_was_asked_and_answered(client: Client, server: FakeServer, traces: Traces) -> None:
    client.upscale(IMAGE, scale="3.5", steps=2)
    host, _, port = server.target.rpartition(":")
    assert facts(traces.one("upscale")) == {
        "server.address": host,
        "server.port": int(port),
        "hndsr.model": "nearest",
        "hndsr.scale": "7/2",
        "hndsr.steps": 2,
        "hndsr.revision": server.revision,
    }


def test_call_says_what_it_was(client: Client, server: FakeServer, traces: Traces) -> None:
    client.upscale(IMAGE, scale=2)
    span = traces.one("Upscale")
    expected = {
        "rpc.system": "grpc",
        "rpc.service": "hndsr.v1.UpscaleService",
        "rpc.method": "Upscale",
        "rpc.grpc.status_code": 0,
        "hndsr.attempt": 1,
        "hndsr.bytes.sent": IMAGE.nbytes,
        "hndsr.bytes.received": 4 * IMAGE.nbytes,
    }
    assert (span.kind, expected.items() <= facts(span).items()) == (trace.SpanKind.CLIENT, True)


def test_stream_says_what_it_carried(client: Client, traces: Traces) -> None:
    client.upscale_array(SCENE, **TILES)
    carried = facts(traces.one("UpscaleStream"))
    assert (carried["hndsr.tiles"], carried["hndsr.bytes.received"]) == (3, 16 * SCENE.nbytes)


def test_streamed_operation_says_how_the_image_was_cut(client: Client, traces: Traces) -> None:
    client.upscale_array(SCENE, **TILES)
    operation = facts(traces.one("upscale array"))
    names = "hndsr.model", "hndsr.scale", "hndsr.tiles"
    assert [operation[name] for name in names] == ["nearest", "4", 3]


def test_every_attempt_is_a_span(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE", times=2)
    client.upscale(IMAGE)
    assert traces.tree == [("upscale", None), *[("Upscale", "upscale")] * 3]


def test_attempts_end_as_each_did(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE")
    client.upscale(IMAGE)
    assert traces.ends("Upscale") == [("ERROR", "BACKEND_UNAVAILABLE", 14), ("UNSET", None, 0)]


def test_attempts_are_counted(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE")
    client.upscale(IMAGE)
    assert [facts(span)["hndsr.attempt"] for span in traces.named("Upscale")] == [1, 2]


def test_operation_that_succeeds_in_the_end_is_no_error(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE")
    client.upscale(IMAGE)
    assert traces.ends("upscale") == [("UNSET", None, None)]


def test_error_ends_both_spans_with_its_reason(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="INVALID_ARGUMENT", reason="IMAGE_DAMAGED")
    with pytest.raises(ServiceError):
        client.upscale(IMAGE)
    ended = [traces.ends("upscale"), traces.ends("Upscale")]
    assert ended == [[("ERROR", "IMAGE_DAMAGED", None)], [("ERROR", "IMAGE_DAMAGED", 3)]]


def test_argument_that_is_refused_ends_the_operation_without_a_call(client: Client, traces: Traces) -> None:
    with pytest.raises(ArgumentError):
        client.upscale(IMAGE[..., :2])
    assert (traces.tree, traces.ends("upscale")) == ([("upscale", None)], [("ERROR", "ArgumentError", None)])


def test_error_text_of_a_file_is_in_no_span(client: Client, traces: Traces, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="secret"):
        client.upscale(tmp_path / "secret.png")
    assert "secret" not in str([span.to_json() for span in traces.spans])


def test_every_reconnection_is_a_span(client: Client, server: FakeServer, traces: Traces) -> None:
    server.drop_streams(after_tiles=1)
    client.upscale_array(SCENE, **TILES)
    streams = [one for one in traces.tree if one[0] == "UpscaleStream"]
    assert (streams, traces.ends("upscale array")) == (
        [("UpscaleStream", "upscale array")] * len(streams),
        [("UNSET", None, None)],
    )


def test_stream_that_broke_ends_as_it_did(client: Client, server: FakeServer, traces: Traces) -> None:
    server.drop_streams(after_tiles=1)
    client.upscale_array(SCENE, **TILES)
    first, *_, last = traces.ends("UpscaleStream")
    assert (first[0], last) == ("ERROR", ("UNSET", None, 0))


def test_refused_stream_ends_both_spans_with_the_reason(client: Client, server: FakeServer, traces: Traces) -> None:
    server.fail_next(code="INVALID_ARGUMENT", reason="SCALE_OUT_OF_RANGE")
    with pytest.raises(ServiceError):
        client.upscale_array(SCENE, **TILES)
    ended = [traces.ends("upscale array"), traces.ends("UpscaleStream")]
    assert ended == [[("ERROR", "SCALE_OUT_OF_RANGE", None)], [("ERROR", "SCALE_OUT_OF_RANGE", 3)]]


def test_client_that_is_closed_ends_its_calls_as_failed(
    client: Client, service: NearestServicer, traces: Traces
) -> None:
    service.release = threading.Event()
    closing = threading.Thread(target=lambda: (service.received.wait(20), client.close()))
    closing.start()
    with pytest.raises(ServiceError):
        client.upscale(IMAGE)
    closing.join()
    assert traces.ends("Upscale") == [("ERROR", "CANCELLED", 1)]


def test_source_is_read_below_the_operation(client: Client, traces: Traces) -> None:
    class Source:
        shape, dtype = SCENE.shape, SCENE.dtype

        def __getitem__(self, window: Any) -> Any:
            with trace.get_tracer("test").start_as_current_span("read"):
                return SCENE[window]

    client.upscale_array(Source(), **TILES)
    assert {one for one in traces.tree if one[0] == "read"} == {("read", "upscale array")}


def test_metadata_is_asked_for_below_the_operation(
    server: FakeServer, client_type: Callable[..., Client], traces: Traces
) -> None:
    def metadata() -> dict[str, str]:
        with trace.get_tracer("test").start_as_current_span("token"):
            return {"authorization": "Bearer secret"}

    with client_type(server.target, metadata=metadata) as client:
        client.upscale(IMAGE)
    assert ("token", "upscale") in traces.tree


def test_no_span_holds_metadata(server: FakeServer, client_type: Callable[..., Client], traces: Traces) -> None:
    with client_type(server.target, metadata={"authorization": "Bearer secret"}) as client:
        client.upscale(IMAGE)
    assert "secret" not in str([span.to_json() for span in traces.spans])


@pytest.mark.parametrize("name", CALLS)
def test_no_context_travels_without_an_sdk(client: Client, server: FakeServer, name: str) -> None:
    CALLS[name][1](client)
    assert sent_contexts(server) == [None]


def test_context_of_what_is_not_sampled_says_so(client: Client, server: FakeServer) -> None:
    with kept_spans(ALWAYS_OFF) as traces:
        client.upscale(IMAGE)
    sampled = [int(one[-2:], 16) & 1 for one in sent_contexts(server)]
    assert (sampled, traces.spans) == ([0], [])


def test_context_that_is_sent_by_the_caller_stays(
    server: FakeServer, client_type: Callable[..., Client], traces: Traces
) -> None:
    mine = f"00-{7:032x}-{7:016x}-01"
    with client_type(server.target, metadata={"traceparent": mine}) as client:
        client.upscale(IMAGE)
    assert sent_contexts(server) == [mine]


def test_stream_left_by_break_ends_its_spans_as_cancelled(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client, client.stream_tiles(SCENE, **TILES) as tiles:
        for _ in tiles:
            break
    assert (traces.ends("UpscaleStream"), traces.ends("stream tiles")) == (
        [CANCELLED],
        [("UNSET", "CANCELLED", None)],
    )


def test_stream_taken_to_the_end_ends_its_spans_well(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client, client.stream_tiles(SCENE, **TILES) as tiles:
        list(tiles)
    assert (traces.ends("UpscaleStream"), traces.ends("stream tiles")) == (
        [("UNSET", None, 0)],
        [("UNSET", None, None)],
    )


def test_stream_that_is_forgotten_ends_its_spans(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client:
        tiles = client.stream_tiles(SCENE, **TILES)
        next(tiles)
        del tiles
        gc.collect()
    assert (traces.ends("UpscaleStream"), traces.tree) == (
        [CANCELLED],
        [("stream tiles", None), ("UpscaleStream", "stream tiles")],
    )


def test_stream_that_is_never_begun_is_no_span(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client:
        client.stream_tiles(SCENE, **TILES).close()
    assert traces.spans == []


def test_stream_lies_below_the_span_in_which_it_was_asked_for(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client:
        with trace.get_tracer("test").start_as_current_span("mine"):
            tiles = client.stream_tiles(SCENE, **TILES)
        with tiles:
            list(tiles)
    assert ("stream tiles", "mine") in traces.tree


def test_current_span_between_tiles_is_that_of_the_caller(server: FakeServer, traces: Traces) -> None:
    with Client(server.target) as client, trace.get_tracer("test").start_as_current_span("mine"):
        mine = current_span_id()
        with client.stream_tiles(SCENE, **TILES) as tiles:
            seen = {current_span_id() for _ in tiles}
    assert seen == {mine}


def test_current_span_between_tiles_is_that_of_the_task(server: FakeServer, traces: Traces) -> None:
    async def seen() -> set[int]:
        async with AsyncClient(server.target) as client, client.stream_tiles(SCENE, **TILES) as tiles:
            return {current_span_id() async for _ in tiles}

    assert asyncio.run(seen()) == {0}


def test_async_stream_left_by_break_ends_its_spans_as_cancelled(server: FakeServer, traces: Traces) -> None:
    async def leave() -> None:
        async with AsyncClient(server.target) as client, client.stream_tiles(SCENE, **TILES) as tiles:
            async for _ in tiles:
                break

    asyncio.run(leave())
    assert (traces.ends("UpscaleStream"), traces.tree) == (
        [CANCELLED],
        [("stream tiles", None), ("UpscaleStream", "stream tiles")],
    )


def test_async_source_is_read_below_the_stream(server: FakeServer, traces: Traces) -> None:
    class Source:
        shape, dtype = SCENE.shape, SCENE.dtype

        def __getitem__(self, window: Any) -> Any:
            with trace.get_tracer("test").start_as_current_span("read"):
                return SCENE[window]

    async def read() -> None:
        async with AsyncClient(server.target) as client, client.stream_tiles(Source(), **TILES) as tiles:
            async for _ in tiles:
                pass

    asyncio.run(read())
    assert {one for one in traces.tree if one[0] == "read"} == {("read", "stream tiles")}


@pytest.mark.parametrize("name", ["upscale", "upscale array"])
def test_task_that_is_cancelled_ends_its_spans_as_cancelled(
    server: FakeServer, service: NearestServicer, traces: Traces, name: str
) -> None:
    async def cancel() -> None:
        async with AsyncClient(server.target) as client:
            call = client.upscale(IMAGE) if name == "upscale" else client.upscale_array(IMAGE)
            task = asyncio.ensure_future(call)
            await asyncio.to_thread(service.received.wait, 20)
            task.cancel()
            await asyncio.wait([task])

    service.release = threading.Event()
    asyncio.run(cancel())
    ends = traces.ends(CALLS[name][0])
    assert (ends, traces.ends(name)) == ([CANCELLED], [("UNSET", "CANCELLED", None)])


def test_files_of_a_batch_lie_below_it(server: FakeServer, traces: Traces, source: Path, folder: Path) -> None:
    with Client(server.target) as client:
        list(upscale_files(client, [source], folder))
    assert traces.tree == [
        ("upscale files", None),
        ("upscale file", "upscale files"),
        ("Upscale", "upscale file"),
    ]


def test_files_of_an_async_batch_lie_below_it(server: FakeServer, traces: Traces, source: Path, folder: Path) -> None:
    async def upscale() -> None:
        async with AsyncClient(server.target) as client:
            async for _ in async_upscale_files(client, [source], folder):
                pass

    asyncio.run(upscale())
    assert traces.tree == [
        ("upscale files", None),
        ("upscale file", "upscale files"),
        ("Upscale", "upscale file"),
    ]


def test_raster_is_one_operation(client: Client, traces: Traces, tmp_path: Path) -> None:
    client.upscale_raster(rgb(tmp_path), tmp_path / "made.tif", scale=4)
    assert set(traces.tree) == {("upscale raster", None), ("UpscaleStream", "upscale raster")}
