"""Where the spans of a command go: set up by OpenTelemetry's own variables, with the extra `otel`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOLS = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"
MISSING = "OTEL_* ask for traces, which need the extra otel; install it with: pip install 'hndsr-client[otel]'"
FLUSH_S = 5.0
"""Longest that a process which is about to end waits for its spans to be delivered."""


@contextlib.contextmanager
def exporting(service_name: str, warn: Callable[[str], object]) -> Iterator[None]:
    """Export the spans that end meanwhile, if variables ask for it; one that is set up already is left alone.

    Args:
        service_name: What the service is called unless variables say otherwise.
        warn: Is told, once, why spans go nowhere.
    """
    provider = _provider(service_name, warn) if is_wanted(os.environ) else None
    if provider is None:
        yield
        return
    with _troubles() as troubles:
        try:
            yield
        finally:
            if not _ends_within(provider.shutdown, FLUSH_S) or troubles:
                reason = troubles[-1] if troubles else f"no answer within {FLUSH_S:g} s"
                warn(f"not all traces were delivered: {reason}")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether variables ask for traces."""
    chosen = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or chosen == "none":
        return False
    return bool(chosen) or any(environment.get(name) for name in ENDPOINTS)


def _provider(service_name: str, warn: Callable[[str], object]) -> TracerProvider | None:
    try:
        from opentelemetry import trace  # noqa: PLC0415  an extra that takes long to import, as all here
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        chosen = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
        exporters = [_exporter(name.strip()) for name in chosen.split(",")]
    except ImportError:
        warn(MISSING)
        return None
    except ValueError as error:
        warn(f"there are no traces: {error}")
        return None
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    resource = Resource.create({} if _is_named(os.environ) else {SERVICE_NAME: service_name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _exporter(name: str) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

        return ConsoleSpanExporter(out=sys.stderr)  # what commands print is for programs
    if name != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER is {name!r}, accepted are otlp, console and none")
    protocol = next((os.environ[variable] for variable in PROTOCOLS if os.environ.get(variable)), "grpc")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as by_grpc  # noqa: PLC0415

        return by_grpc.OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as by_http  # noqa: PLC0415

        return by_http.OTLPSpanExporter()
    raise ValueError(f"{PROTOCOLS[1]} is {protocol!r}, accepted are grpc and http/protobuf")


def _is_named(environment: Mapping[str, str]) -> bool:
    given = environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    return bool(environment.get("OTEL_SERVICE_NAME")) or any(one.strip().startswith("service.name=") for one in given)


class _Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages[:] = record.getMessage().splitlines()[:1]


@contextlib.contextmanager
def _troubles() -> Iterator[list[str]]:
    """The last thing that exporters complain of; each attempt told on the spot would tear a command's lines."""
    kept, logger = _Kept(), logging.getLogger("opentelemetry")
    logger.addHandler(kept)
    logger.propagate = False
    try:
        yield kept.messages
    finally:
        logger.propagate = True
        logger.removeHandler(kept)


def _ends_within(function: Callable[[], object], limit_s: float) -> bool:
    """Call what may take long in a thread that nobody waits for after that; Ctrl-C ends the wait as well."""
    thread = threading.Thread(target=function, name="hndsr-otel-flush", daemon=True)
    thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        thread.join(limit_s)
    return not thread.is_alive()
