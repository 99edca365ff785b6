"""Spans of what a client does, by the OpenTelemetry API: without an SDK they cost next to nothing and go nowhere.

An operation is what the SDK's user asks for; below it lies a span for each attempt, unary or a stream, whose context
travels in the call's metadata. Parents are handed on, since generators and gRPC's threads run in contexts of others.

Source: OpenTelemetry semantic conventions for RPC spans; W3C Trace Context.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.errors import ServiceError
from hndsr_client.results import Plan

SERVICE = "hndsr.v1.UpscaleService"
CANCELLED = "CANCELLED"
_BYTES = {pb.SAMPLE_TYPE_UINT8: 3, pb.SAMPLE_TYPE_UINT16: 6}

AnswerT = TypeVar("AnswerT")
Metadata = tuple[tuple[str, str], ...]


class Operation:
    """What the user asks for with one call, from `lasting` or `current` to its end."""

    def __init__(self, name: str, target: str | None = None) -> None:
        """Have it lie below the span that is the caller's now.

        Args:
            name: For instance "upscale file".
            target: The address that is called; None: its parts say so.
        """
        self._name, self._server = name, {} if target is None else _server(target)
        self._parent = self._context = context.get_current()
        self._span: Span = trace.INVALID_SPAN
        self._tiles = 0

    @contextlib.contextmanager
    def lasting(self) -> Iterator[Operation]:
        """Begin it, and end it however it is left. It becomes nobody's current span, so a generator may hold it."""
        self._span = _tracer().start_span(self._name, self._parent, attributes=self._server)
        self._context = trace.set_span_in_context(self._span, self._parent)
        with _ended(self._span):
            yield self

    @contextlib.contextmanager
    def current(self) -> Iterator[Operation]:
        """The same as the current span, for functions and coroutines, which nobody else's code runs between."""
        with self.lasting(), _attached(self._context):
            yield self

    def run(self, function: Callable[..., AnswerT], *arguments: Any) -> AnswerT:
        """Call a function below this span, in whatever thread."""
        with _attached(self._context):
            return function(*arguments)

    @contextlib.contextmanager
    def attempt(self, method: str, number: int, facts: Callable[[], Mapping[str, int]] = dict) -> Iterator[Attempt]:
        """The span of one attempt, ended however it is left.

        Args:
            method: Of the contract's service, for instance "Upscale".
            number: Which attempt it is, from 1.
            facts: What is known in the end.
        """
        attributes: dict[str, str | int] = {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method}
        attributes |= {"hndsr.attempt": number, **self._server}
        span = _tracer().start_span(f"{SERVICE}/{method}", self._context, kind=SpanKind.CLIENT, attributes=attributes)
        with _ended(span, is_call=True):
            try:
                yield Attempt(span, trace.set_span_in_context(span, self._context))
            finally:
                if span.is_recording():
                    span.set_attributes(facts())

    def asked(self, request: Any) -> None:
        """Say what is asked for; what is left to the server is said by what it answers."""
        parameters = getattr(request, "parameters", None)
        if self._span.is_recording() and parameters is not None:
            self._describe(parameters.model, parameters.scale, parameters.options)

    def answered(self, response: Any) -> None:
        """Say what was answered to a unary call."""
        made = getattr(response, "metadata", None) or getattr(response, "plan", None)
        if self._span.is_recording() and made is not None:
            self._describe(made.model, _scale(made.scale_numerator, made.scale_denominator), made.options)
            self._span.set_attribute("hndsr.revision", made.revision)

    def planned(self, plan: Plan) -> None:
        """Say how an image that is streamed is cut; there may be several of them."""
        self._tiles += len(plan.row_spans) * len(plan.column_spans)
        if self._span.is_recording():
            scale, steps = _scale(plan.scale.numerator, plan.scale.denominator), plan.options.steps
            self._span.set_attributes({"hndsr.model": plan.model, "hndsr.revision": plan.revision})
            self._span.set_attributes({"hndsr.scale": scale, "hndsr.tiles": self._tiles})
            if steps is not None:
                self._span.set_attribute("hndsr.steps", steps)

    def _describe(self, model: str, scale: str, options: pb.UpscaleOptions) -> None:
        facts = {"hndsr.model": model, "hndsr.scale": scale}
        self._span.set_attributes({name: value for name, value in facts.items() if value})
        if options.HasField("steps"):
            self._span.set_attribute("hndsr.steps", options.steps)


@dataclass(frozen=True)
class Attempt:
    """One call that goes out."""

    span: Span
    context: Context

    def injected(self, metadata: Metadata) -> Metadata:
        """The metadata with this span's context beside it; a context that the user sends himself stays."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier, self.context)
        added = {name.lower(): value for name, value in carrier.items()}
        given = {name for name, _ in metadata}
        return metadata if given & added.keys() else metadata + tuple(added.items())

    def sent(self, request: Any) -> None:
        """Say how large the images of a request are."""
        if self.span.is_recording():
            images = [request, *(getattr(request, name, None) for name in ("image", "reference"))]
            self.span.set_attribute("hndsr.bytes.sent", sum(map(_image_bytes, images)))

    def received(self, response: Any) -> None:
        """Say how large the image of an answer is."""
        if self.span.is_recording():
            self.span.set_attribute("hndsr.bytes.received", _image_bytes(response))


def _tracer() -> trace.Tracer:
    # Asked for anew, since the provider may be set after this module is imported, and for a time only.
    return trace.get_tracer("hndsr_client")


@contextlib.contextmanager
def _ended(span: Span, *, is_call: bool = False) -> Iterator[None]:
    code = "OK"
    try:
        yield
    except Exception as error:
        failure = error if isinstance(error, ServiceError) else None
        code = "" if failure is None else failure.code
        span.set_attribute("error.type", type(error).__qualname__ if failure is None else failure.reason)
        # What else is raised may name files.
        span.set_status(Status(StatusCode.ERROR, None if failure is None else failure.message))
        raise
    except BaseException:  # the caller leaves: a task that is cancelled, a generator that is closed, Ctrl-C
        code = CANCELLED
        span.set_attribute("error.type", CANCELLED)
        raise
    finally:
        if is_call and code in grpc.StatusCode.__members__:
            span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
        span.end()


@contextlib.contextmanager
def _attached(wanted: Context) -> Iterator[None]:
    token = context.attach(wanted)
    try:
        yield
    finally:
        # A coroutine that is collected as garbage ends in the context of whoever collects.
        if context.get_current() is wanted:
            context.detach(token)


def _server(target: str) -> dict[str, str | int]:
    address = target.rpartition("/")[2] if "://" in target else target
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return {"server.address": target}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def _scale(numerator: int, denominator: int) -> str:
    return str(numerator) if denominator == 1 else f"{numerator}/{denominator}"


def _image_bytes(message: Any) -> int:
    """The samples of an image that is raw, without copying them, or the size of the file."""
    raw = getattr(message, "raw", None)
    if raw is None:
        return 0
    return raw.height_px * raw.width_px * _BYTES.get(raw.sample_type, 0) or len(message.encoded)
