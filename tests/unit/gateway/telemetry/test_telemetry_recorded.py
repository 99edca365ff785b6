"""Records of a model's process as spans."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer

from hndsr_gateway.telemetry.recorded import add_recorded, set_model_tracer

MS = 1_000_000


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    set_model_tracer(provider.get_tracer("t"))
    yield exporter
    set_model_tracer(NoOpTracer())


def record(name: str, parent: int, start_ms: int, end_ms: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "parent": parent,
        "start_ns": start_ms * MS,
        "end_ns": end_ms * MS,
        "attributes": {},
        "events": [],
        **more,
    }


def text(*records: dict[str, Any]) -> bytes:
    return json.dumps({"spans": records, "dropped": 0}).encode()


def spans(exported: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exported.get_finished_spans()}


def test_records_lie_in_the_middle_of_their_call(exported: InMemorySpanExporter) -> None:
    add_recorded(text(record("tile", -1, 0, 60)), begun_ns=1000 * MS, ended_ns=1100 * MS)
    tile = spans(exported)["tile"]
    assert (tile.start_time, tile.end_time) == (1020 * MS, 1080 * MS)


def test_records_keep_their_order(exported: InMemorySpanExporter) -> None:
    add_recorded(
        text(record("tile", -1, 0, 60), record("windows", 0, 10, 50), record("fno", 1, 10, 20)),
        begun_ns=0,
        ended_ns=60 * MS,
    )
    found = spans(exported)
    assert found["tile"].parent is None
    assert found["windows"].parent == found["tile"].context
    assert found["fno"].parent == found["windows"].context
    assert (found["fno"].start_time, found["fno"].end_time) == (10 * MS, 20 * MS)


def test_records_keep_attributes_and_events(exported: InMemorySpanExporter) -> None:
    event = {"name": "step", "at_ns": 5 * MS, "attributes": {"hndsr.step": 0}}
    add_recorded(
        text(record("tile", -1, 0, 10, attributes={"hndsr.windows": 4}, events=[event])), begun_ns=0, ended_ns=10 * MS
    )
    tile = spans(exported)["tile"]
    assert dict(tile.attributes or {}) == {"hndsr.windows": 4}
    assert [(one.name, one.timestamp) for one in tile.events] == [("step", 5 * MS)]


@pytest.mark.parametrize("odd", [b"", b"{}", b'{"spans":[]}', b'{"spans":[{"name":1}]}', b'{"spans":7}'])
def test_odd_records_are_told_of_and_nothing_else(
    odd: bytes, exported: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        add_recorded(odd, begun_ns=0, ended_ns=1)
    assert "another version" in caplog.text
    assert not exported.get_finished_spans()
