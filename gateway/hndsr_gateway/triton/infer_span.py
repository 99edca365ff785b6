"""The span of a tile's call to Triton, and below it what the tiling model recorded of the tile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span, SpanKind

from hndsr_gateway.telemetry.recorded import add_recorded
from hndsr_gateway.telemetry.tracing import Attributes, is_sampled, outgoing_headers, span
from hndsr_gateway.types import TileRequest

TRACE = "TRACE"
"""The output in which the tiling model says what it did."""


class InferCall:
    """One call, or a second one where shared memory turned out to be lost.

    Attributes:
        outputs: What is asked for beside the tile.
        headers: Metadata that says where Triton's own spans belong.
    """

    def __init__(self, current: Span, *, records: bool) -> None:
        self._span, self._begun_ns = current, 0
        self.outputs: tuple[str, ...] = (TRACE,) if records and is_sampled() else ()
        self.headers: Mapping[str, str] = outgoing_headers()

    def begin(self, transfer: str) -> None:
        """Say how the pixels travel, when the call goes out."""
        self._span.set_attribute("hndsr.transfer", transfer)
        self._begun_ns = time.time_ns()

    def end(self, result: Any) -> None:
        """Take in what came back beside the tile."""
        recorded = result.as_numpy(TRACE) if self.outputs else None
        if recorded is not None and recorded.size:
            add_recorded(recorded[0], begun_ns=self._begun_ns, ended_ns=time.time_ns())


@contextmanager
def infer_span(address: str, tile: TileRequest, *, records: bool) -> Iterator[InferCall]:
    """A span around the call for a tile; `records`: whether the model can say what it does in it."""
    attributes: Attributes = {
        "server.address": address,
        "hndsr.model": tile.model,
        "hndsr.revision": tile.revision,
        "hndsr.scale": str(tile.geometry.scale),
        "hndsr.steps": tile.options.steps,
        "hndsr.source_bytes": tile.raster.pixels.nbytes,
    }
    with span("triton infer", attributes, kind=SpanKind.CLIENT) as current:
        yield InferCall(current, records=records)
