"""What is known of the call that is worked on: counted, logged, and written into its span when it ends."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry.trace import Span, Status, StatusCode

from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.tracing import call_span

access = logging.getLogger("hndsr_gateway.access")

OK, CANCELLED = "OK", "CANCELLED"
CODES = (
    *(OK, CANCELLED, "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"),
    *("INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""Names of gRPC's status codes by their numbers."""
SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that make a server's span one of an error, by the semantic conventions for gRPC."""
OTHER = "other"
"""Stands for all methods that are not of the contract: health, reflection, and what does not exist."""
BLANK = re.compile(r"\s")


@dataclass(slots=True)
class CallRecord:
    """One call; `caller`, `model`, `tiles` and `target_px` are known as it goes on."""

    method: str
    peer: str
    arrival_s: float = field(default_factory=time.monotonic)
    code: str = OK
    reason: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0
    caller: str = ""
    """The name of who makes it. No metric has it: there may be any number of them."""
    model: str = ""
    tiles: int = 0
    target_px: int = 0
    first_tile_s: float | None = None
    degraded: str = ""
    """The reason for which its answer is lesser than was asked for."""

    def fail(self, code: str, reason: str) -> None:
        """Say how it ends."""
        self.code, self.reason = code, reason

    def answer(self) -> None:
        """Say that samples of its target are on their way, the first time."""
        if self.first_tile_s is None:
            self.first_tile_s = time.monotonic() - self.arrival_s
            metrics.first_tile.record(self.first_tile_s, {"method": self.method, "model": self.model})


_current: ContextVar[CallRecord | None] = ContextVar("call", default=None)


def current_call() -> CallRecord:
    """The call that is worked on; where there is none, one that nobody sees."""
    return _current.get() or CallRecord("", "")


@contextmanager
def observed_call(record: CallRecord, *, service: str, name: str, metadata: dict[str, str]) -> Iterator[None]:
    """Count a call, and have it traced and logged, from its arrival to whatever ends it."""
    attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
    _current.set(record)
    metrics.requests_in_flight.add(1, {"method": record.method})
    with call_span(f"{service}/{name}", attributes, metadata) as span:
        try:
            yield
        finally:
            duration_s = time.monotonic() - record.arrival_s
            metrics.requests_in_flight.add(-1, {"method": record.method})
            _count(record, duration_s)
            _describe(record, span)
            _log(record, duration_s)


def _count(record: CallRecord, duration_s: float) -> None:
    ended = {"method": record.method, "code": record.code}
    metrics.requests.add(1, {**ended, "reason": record.reason})
    metrics.request_duration.record(duration_s, ended)
    metrics.received.add(record.received_bytes, {"method": record.method})
    metrics.sent.add(record.sent_bytes, {"method": record.method})


def _describe(record: CallRecord, span: Span) -> None:
    if not span.is_recording():
        return
    span.set_attribute("rpc.grpc.status_code", CODES.index(record.code))
    span.set_attribute("hndsr.bytes.received", record.received_bytes)
    span.set_attribute("hndsr.bytes.sent", record.sent_bytes)
    if record.caller:
        span.set_attribute("hndsr.caller", record.caller)
    if record.model:
        span.set_attribute("hndsr.model", record.model)
        span.set_attribute("hndsr.tiles", record.tiles)
    if record.degraded:
        span.set_attribute("hndsr.degraded", record.degraded)
    if record.code != OK:
        span.set_attribute("error.type", record.reason or record.code)
    if record.code in SERVER_FAULTS:
        span.set_status(Status(StatusCode.ERROR))


def _log(record: CallRecord, duration_s: float) -> None:
    """One line for each call; those that are not of the contract, as health checks, at DEBUG."""
    level = logging.DEBUG if record.method == OTHER else logging.INFO
    if not access.isEnabledFor(level):
        return
    facts = {
        "method": record.method,
        "code": record.code,
        "reason": record.reason,
        "duration_ms": round(1000 * duration_s, 1),
        "peer": record.peer,
        "caller": record.caller,
        "bytes_in": record.received_bytes,
        "bytes_out": record.sent_bytes,
        "model": record.model,
        "tiles": record.tiles,
        "target_px": record.target_px,
        "degraded": record.degraded,
    }
    # A caller's name, which others may have chosen, must not look like further facts.
    told = " ".join(f"{name}={BLANK.sub('?', str(value))}" for name, value in facts.items() if value not in {"", 0})
    access.log(level, "%s", told, extra=facts)
