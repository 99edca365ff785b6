"""Who listens: OTLP by the standard variables `OTEL_…`, Prometheus where an address is set; else nothing runs.

Source: OpenTelemetry specification, "Environment Variable Specification"; the SDK itself reads samplers, queues,
endpoints, headers and resource attributes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import metrics as api_metrics
from opentelemetry import trace as api_trace

from hndsr_gateway.errors import StartupError
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.recorded import set_model_tracer

logger = logging.getLogger(__name__)

SERVICE, MODELS = "hndsr-gateway", "hndsr-triton"
UNNAMED = "unknown_service"
"""What the SDK calls a service that nobody has named."""
OTLP: Final = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
"""Packages by what OTEL_EXPORTER_OTLP_PROTOCOL may say."""
OTLP_OF: Final = {"traces": ".trace_exporter.OTLPSpanExporter", "metrics": ".metric_exporter.OTLPMetricExporter"}
CONSOLE: Final = {
    "traces": "opentelemetry.sdk.trace.export.ConsoleSpanExporter",
    "metrics": "opentelemetry.sdk.metrics.export.ConsoleMetricExporter",
}
FLUSH_S = 5.0
"""How long the last spans and numbers may take to leave."""


class TelemetryError(StartupError):
    """A variable asks for what there is not."""

    def __init__(self, *, variable: str, value: str, accepted: str) -> None:
        super().__init__(f"{variable} is {value!r}, accepted is {accepted}")


class MetricsListenError(StartupError):
    """The address of the metrics cannot be bound."""

    def __init__(self, *, address: str) -> None:
        super().__init__(f"cannot serve metrics on {address}: it is in use; set HNDSR_METRICS_LISTEN to a free one")


def exporter_of(signal: str, environment: Mapping[str, str]) -> str:
    """Where a signal goes, `traces` or `metrics`: `otlp`, `console`, or `none` unless a variable asks for more.

    Raises:
        TelemetryError: for an exporter that there is not.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return "none"
    name = signal.upper()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")
    default = "otlp" if any(environment.get(endpoint) for endpoint in endpoints) else "none"
    variable = f"OTEL_{name}_EXPORTER"
    chosen = environment.get(variable) or default
    if chosen not in {"otlp", "console", "none"}:
        raise TelemetryError(variable=variable, value=chosen, accepted="otlp, console or none")
    return chosen


@contextlib.contextmanager
def telemetry(metrics_listen: str, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Set up what somebody listens to, once in a process; at the end what is left is sent.

    Args:
        metrics_listen: address at which Prometheus reads metrics; empty: none.
        environment: the variables.

    Raises:
        StartupError: if a variable asks for what there is not, or the address is taken.
    """
    closing: list[Callable[[], Any]] = []
    try:
        traces, numbers = exporter_of("traces", environment), exporter_of("metrics", environment)
        if traces != "none":
            closing.append(_trace(traces, environment))
        if numbers != "none" or metrics_listen:
            closing.append(_count(numbers, metrics_listen, environment))
        yield
    finally:
        _close(closing)


def _trace(exporter: str, environment: Mapping[str, str]) -> Callable[[], Any]:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only where somebody listens
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    processor = BatchSpanProcessor(_exporter("traces", exporter, environment))
    gateway, models = (TracerProvider(resource=_resource(name), shutdown_on_exit=False) for name in (SERVICE, MODELS))
    for provider in (gateway, models):
        provider.add_span_processor(processor)
    api_trace.set_tracer_provider(gateway)
    set_model_tracer(models.get_tracer("hndsr_ensemble"))
    return gateway.shutdown


def _count(exporter: str, listen: str, environment: Mapping[str, str]) -> Callable[[], Any]:
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: PLC0415

    from hndsr_gateway.telemetry.exposition import PrometheusEndpoint  # noqa: PLC0415

    readers: list[MetricReader] = []
    closing = contextlib.ExitStack()
    if exporter != "none":
        readers.append(PeriodicExportingMetricReader(_exporter("metrics", exporter, environment)))
    if listen:
        try:
            endpoint = closing.enter_context(PrometheusEndpoint(listen))
        except OSError as error:
            raise MetricsListenError(address=listen) from error
        readers.append(endpoint.reader)
        logger.info("metrics at http://%s/metrics", endpoint.address)
    provider = MeterProvider(metric_readers=readers, resource=_resource(SERVICE), shutdown_on_exit=False)
    api_metrics.set_meter_provider(provider)
    metrics.build_info.set(1, {"version": version("hndsr"), "python": platform.python_version()})
    closing.callback(provider.shutdown)
    return closing.close


def _exporter(signal: str, name: str, environment: Mapping[str, str]) -> Any:
    if name == "console":
        return _made(CONSOLE[signal])
    variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    protocol = own or environment.get(variable) or "grpc"
    if protocol not in OTLP:
        raise TelemetryError(variable=variable, value=protocol, accepted=" or ".join(OTLP))
    return _made(OTLP[protocol] + OTLP_OF[signal])


def _made(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)()


def _resource(name: str) -> Any:
    """Who tells: the models' service is named after the gateway's own name, if that was given one."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415

    given = str(Resource.create().attributes[SERVICE_NAME])
    if not given.startswith(UNNAMED):
        name = given if name == SERVICE else f"{given}-triton"
    return Resource.create({SERVICE_NAME: name, SERVICE_VERSION: version("hndsr")})


def _close(closing: list[Callable[[], Any]]) -> None:
    """Send what is left, but do not wait long for a collector that does not answer."""
    threads = [threading.Thread(target=close, daemon=True) for close in closing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(FLUSH_S)
