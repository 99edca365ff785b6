"""The spans of this process, kept in memory while a test asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

RPC = "hndsr.v1.UpscaleService/"


class Traces:
    """What has ended so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans, by the time at which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def tree(self) -> list[tuple[str, str | None]]:
        """The name of each span, and that of its parent; None where that is not among them."""
        names = {_id(span.context): span.name for span in self.spans}
        return [(span.name.removeprefix(RPC), names.get(_id(span.parent))) for span in self.spans]

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name, which for a call is that of its method."""
        return [span for span in self.spans if span.name.removeprefix(RPC) == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of a name."""
        (span,) = self.named(name)
        return span

    def ends(self, name: str) -> list[tuple[str, Any, Any]]:
        """How those of a name ended: status, error.type, rpc.grpc.status_code."""
        return [
            (s.status.status_code.name, facts(s).get("error.type"), facts(s).get("rpc.grpc.status_code"))
            for s in self.named(name)
        ]


def facts(span: ReadableSpan) -> dict[str, Any]:
    """The attributes of a span."""
    return dict(span.attributes or {})


@contextlib.contextmanager
def kept_spans(sampler: Sampler = ALWAYS_ON) -> Iterator[Traces]:
    """Have an SDK in this process, and afterwards what was there before: the API lets it be set once."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    before, trace._TRACER_PROVIDER = trace._TRACER_PROVIDER, provider
    try:
        yield Traces(exporter)
    finally:
        trace._TRACER_PROVIDER = before
        provider.shutdown()


def _id(context: trace.SpanContext | None) -> int:
    return 0 if context is None else context.span_id
