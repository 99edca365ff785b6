"""What a model's process recorded of a tile, as spans: it has neither an exporter nor our clock, and needs none."""

from __future__ import annotations

import json
import logging
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, SpanKind, Tracer

logger = logging.getLogger(__name__)

_tracers: list[Tracer] = [NoOpTracer()]


def set_model_tracer(tracer: Tracer) -> None:
    """Have recorded spans made by a tracer, whose service is Triton."""
    _tracers[0] = tracer


def add_recorded(recorded: bytes, *, begun_ns: int, ended_ns: int) -> None:
    """Make spans of records, below the current one and within the time that their call took.

    Their offsets count from the request's begin in the model. What the call took longer than that is shared evenly
    between the way there and the way back.

    Args:
        recorded: the tensor `TRACE`: JSON as model_repository/README.md describes it.
        begun_ns: when the call went out, in nanoseconds since 1970.
        ended_ns: when the answer was there.
    """
    try:
        spans = json.loads(recorded)["spans"]
        took_ns = max(record["end_ns"] for record in spans)
        origin_ns = begun_ns + max(0, ended_ns - begun_ns - took_ns) // 2
        _add(spans, origin_ns)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        logger.warning("Triton recorded a tile in another way, it may be of another version of hndsr: %r", error)


def _add(records: list[dict[str, Any]], origin_ns: int) -> None:
    contexts: list[Context | None] = []
    for record in records:
        parent, attributes = record["parent"], record["attributes"]
        span = _tracers[0].start_span(
            record["name"],
            context=contexts[parent] if parent >= 0 else None,
            kind=SpanKind.SERVER if parent < 0 else SpanKind.INTERNAL,
            attributes=attributes,
            start_time=origin_ns + record["start_ns"],
        )
        for event in record["events"]:
            span.add_event(event["name"], event["attributes"], timestamp=origin_ns + event["at_ns"])
        span.end(origin_ns + record["end_ns"])
        contexts.append(trace.set_span_in_context(span))
