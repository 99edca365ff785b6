"""Spans by the OpenTelemetry API, in the context of asyncio's tasks, which their children inherit.

Source: OpenTelemetry semantic conventions for RPC spans; W3C Trace Context.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Attributes = Mapping[str, str | bool | int | float | Sequence[int]]

NOTHING: Attributes = {}

_tracer = trace.get_tracer("hndsr_gateway")
_trace_context = TraceContextTextMapPropagator()
"""What is taken from callers and handed on: `traceparent` and `tracestate`, never their `baggage`."""


@contextmanager
def span(name: str, attributes: Attributes = NOTHING, *, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span around what it encloses, which ends in every case, and says how: `error.type` is the error's reason."""
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            mark(current, error)
            raise


@contextmanager
def call_span(name: str, attributes: Attributes, metadata: Mapping[str, str]) -> Iterator[Span]:
    """The span of a call that came in, below its caller's if that sent one; who opens it says how the call ended."""
    caller = _trace_context.extract(metadata)
    current = _tracer.start_span(name, context=caller, kind=SpanKind.SERVER, attributes=attributes)
    with trace.use_span(current, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield current


def mark(current: Span, error: BaseException) -> None:
    """Say in a span what ended it."""
    if isinstance(error, asyncio.CancelledError):
        current.set_attribute("error.type", "CANCELLED")
        return
    current.set_attribute("error.type", str(getattr(error, "reason", type(error).__qualname__)))
    current.set_status(Status(StatusCode.ERROR))


def is_sampled() -> bool:
    """Whether the current span is exported."""
    return trace.get_current_span().get_span_context().trace_flags.sampled


def outgoing_headers() -> dict[str, str]:
    """The current span as metadata of a call that goes out; empty where it is not exported."""
    headers: dict[str, str] = {}
    if is_sampled():
        _trace_context.inject(headers)
    return headers
