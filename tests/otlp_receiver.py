"""A receiver of OTLP on this machine, by gRPC and by HTTP, which keeps spans as plain objects for tests to read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent import futures
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
WAIT_S = 30.0
"""Longest that a test waits for spans."""
KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
STATUSES = ("UNSET", "OK", "ERROR")


@dataclass(frozen=True)
class ReceivedEvent:
    """An event of a span."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; ids are hexadecimal, the parent's empty for the root of a trace."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    status: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    events: tuple[ReceivedEvent, ...]
    service: str
    """The resource's service.name."""
    resource: dict[str, Any]


class OtlpReceiver(AbstractContextManager["OtlpReceiver"]):
    """Listens on free ports of the loopback from `with` on.

    Attributes:
        endpoint: For OTEL_EXPORTER_OTLP_ENDPOINT with OTEL_EXPORTER_OTLP_PROTOCOL=grpc.
        http_endpoint: The same with http/protobuf.
        metrics: Names of the metrics that came.
    """

    def __init__(self) -> None:
        self.metrics: set[str] = set()
        self._spans: list[ReceivedSpan] = []
        self._changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(2, thread_name_prefix="otlp-receiver"))
        self._server.add_generic_rpc_handlers((_Handler(self._export),))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _http_handler(self._export))
        self._http.daemon_threads = True
        self.http_endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self._http_thread = threading.Thread(target=self._http.serve_forever, name="otlp-receiver-http", daemon=True)

    def __enter__(self) -> OtlpReceiver:  # noqa: PYI034  Self is newer than Python 3.10
        self._server.start()
        self._http_thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()
        self._http.shutdown()
        self._http_thread.join()
        self._http.server_close()

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All spans that came, in the order in which they did."""
        with self._changed:
            return list(self._spans)

    def named(self, name: str) -> list[ReceivedSpan]:
        """Those of a name."""
        return [span for span in self.spans if span.name == name]

    def children(self, parent: ReceivedSpan) -> list[ReceivedSpan]:
        """Those right below a span, by the time at which they began."""
        below = [s for s in self.spans if s.trace_id == parent.trace_id and s.parent_id == parent.span_id]
        return sorted(below, key=lambda span: span.start_ns)

    def wait(self, is_enough: Callable[[list[ReceivedSpan]], bool], timeout_s: float = WAIT_S) -> list[ReceivedSpan]:
        """All spans, as soon as they are enough.

        Raises:
            AssertionError: They were not in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: is_enough(list(self._spans)), timeout_s):
                raise AssertionError(f"after {timeout_s} s these spans have come: {[s.name for s in self._spans]}")
            return list(self._spans)

    def wait_metrics(self, names: Iterable[str], timeout_s: float = WAIT_S) -> None:
        """Wait until metrics of these names have come.

        Raises:
            AssertionError: They have not in time.
        """
        wanted = set(names)
        with self._changed:
            if not self._changed.wait_for(lambda: wanted <= self.metrics, timeout_s):
                raise AssertionError(f"after {timeout_s} s these metrics are missing: {sorted(wanted - self.metrics)}")

    def clear(self) -> None:
        """Forget what has come."""
        with self._changed:
            self._spans.clear()
            self.metrics.clear()

    def _export(self, path: str, content: bytes) -> bytes:
        """Take a message; what is answered."""
        with self._changed:
            if path in {TRACES, "/v1/traces"}:
                self._spans += _spans(trace_pb.ExportTraceServiceRequest.FromString(content))
            else:
                self.metrics |= _metrics(metrics_pb.ExportMetricsServiceRequest.FromString(content))
            self._changed.notify_all()
        return b""  # the empty message of either kind


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, export: Callable[[str, bytes], bytes]) -> None:
        self._export = export

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        path = handler_call_details.method
        if path not in {TRACES, METRICS}:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda content, _: self._export(path, content))


def _http_handler(export: Callable[[str, bytes], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path not in {"/v1/traces", "/v1/metrics"}:
                self.send_error(404)
                return
            answer = export(self.path, content)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's own
            """Keep quiet."""

    return Handler


def _spans(request: trace_pb.ExportTraceServiceRequest) -> list[ReceivedSpan]:
    return [
        _span(span, _plain(one.resource.attributes))
        for one in request.resource_spans
        for scope in one.scope_spans
        for span in scope.spans
    ]


def _span(span: Any, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=KINDS[span.kind],
        status=STATUSES[span.status.code],
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        events=tuple(ReceivedEvent(e.name, e.time_unix_nano, _plain(e.attributes)) for e in span.events),
        service=resource.get("service.name", ""),
        resource=resource,
    )


def _metrics(request: metrics_pb.ExportMetricsServiceRequest) -> set[str]:
    return {m.name for one in request.resource_metrics for scope in one.scope_metrics for m in scope.metrics}


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
