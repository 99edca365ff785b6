"""Who listens, as the variables say."""

from __future__ import annotations

import socket

import pytest

from hndsr_gateway.telemetry.setup import MetricsListenError, TelemetryError, exporter_of, telemetry


@pytest.mark.parametrize(
    ("environment", "traces", "metrics"),
    [
        ({}, "none", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, "otlp", "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_METRICS_EXPORTER": "none"}, "otlp", "none"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console", "none"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "TRUE"}, "none", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "none", "none"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, dict) else None,
)
def test_exporter_is_what_variables_ask_for(environment: dict[str, str], traces: str, metrics: str) -> None:
    assert (exporter_of("traces", environment), exporter_of("metrics", environment)) == (traces, metrics)


def test_unknown_exporter_is_refused_by_name() -> None:
    with pytest.raises(TelemetryError, match="OTEL_TRACES_EXPORTER is 'zipkin', accepted is otlp, console or none"):
        exporter_of("traces", {"OTEL_TRACES_EXPORTER": "zipkin"})


def test_unknown_protocol_is_refused_by_name() -> None:
    environment = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    with pytest.raises(TelemetryError, match="accepted is grpc or http/protobuf"), telemetry("", environment):
        pass


def test_address_of_metrics_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MetricsListenError, match=address), telemetry(address, {}):
            pass
