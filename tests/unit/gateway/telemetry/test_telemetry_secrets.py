"""What callers send as metadata shows up nowhere: neither in spans nor in logs, whatever becomes of the call."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator

import grpc
import pytest
from fakes import FakeBackend
from grpc_health.v1 import health_pb2
from in_process import Client, raw, request, run, running, scene
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hndsr_gateway.telemetry import logs, tracing

SECRET = "Zx9-not-to-be-seen"  # noqa: S105 - looked for in what is told
METADATA = (
    ("authorization", f"Bearer {SECRET}"),
    ("x-api-key", SECRET),
    ("cookie", f"session={SECRET}"),
    ("secret-bin", SECRET.encode()),
    ("baggage", f"key={SECRET}"),
    ("user-agent", SECRET),
)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("t"))
    yield exporter
    provider.shutdown()


async def served(client: Client) -> None:
    """A call that is answered, and one that is about health."""
    await client.upscale.Upscale(request(raw(scene((9, 9)))), metadata=METADATA)
    await client.health.Check(health_pb2.HealthCheckRequest(), metadata=METADATA)


async def refused(client: Client) -> None:
    """A call whose caller is at fault."""
    with pytest.raises(grpc.aio.AioRpcError):
        await client.upscale.Upscale(request(raw(scene((9, 9))), scale="99"), metadata=METADATA)


async def failed(client: Client) -> None:
    """A call that meets a defect, whose traceback is logged."""
    with pytest.raises(grpc.aio.AioRpcError):
        await client.upscale.Upscale(request(raw(scene((9, 9)))), metadata=METADATA)


def told(records: list[logging.LogRecord]) -> str:
    """The lines of a log, as text and as JSON."""
    formatters = [logs._text(with_process=True), logs._json(with_process=True)]
    traced = logs._Traced()
    return "\n".join(form.format(record) for record in records if traced.filter(record) for form in formatters)


@pytest.mark.parametrize("calls", [served, refused, failed])
def test_metadata_is_neither_traced_nor_logged(
    calls: Callable[[Client], Awaitable[None]],
    exported: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    backend = FakeBackend()
    if calls is failed:
        backend.tile_errors[0] = KeyError("unforeseen")

    async def test() -> None:
        async with running(backend) as client:
            await calls(client)

    with caplog.at_level(logging.DEBUG):
        run(test())
    spans = "\n".join(span.to_json() for span in exported.get_finished_spans())
    assert "hndsr.v1.UpscaleService/Upscale" in spans
    assert "hndsr_gateway.access" in told(caplog.records)
    assert SECRET not in spans + told(caplog.records) + "".join(capfd.readouterr())


def test_tracestate_of_a_caller_is_all_that_spans_keep_of_metadata(exported: InMemorySpanExporter) -> None:
    parent = f"00-{7:032x}-{9:016x}-01"

    async def test() -> None:
        async with running(FakeBackend()) as client:
            metadata = (*METADATA, ("traceparent", parent), ("tracestate", "vendor=value"))
            await client.upscale.Upscale(request(raw(scene((9, 9)))), metadata=metadata)

    run(test())
    (call,) = (span for span in exported.get_finished_spans() if span.name.endswith("/Upscale"))
    assert call.parent is not None
    assert (call.parent.span_id, call.context.trace_state.to_header()) == (9, "vendor=value")


def test_trace_context_is_all_that_is_handed_on(exported: InMemorySpanExporter) -> None:
    came = {"traceparent": f"00-{7:032x}-{9:016x}-01", "tracestate": "vendor=value", "baggage": f"key={SECRET}"}
    token = context.attach(baggage.set_baggage("key", SECRET))
    with tracing.call_span("call", {}, came):
        handed_on = tracing.outgoing_headers()
    context.detach(token)

    (call,) = exported.get_finished_spans()
    parent = f"00-{7:032x}-{call.context.span_id:016x}-01"
    assert handed_on == {"traceparent": parent, "tracestate": "vendor=value"}
