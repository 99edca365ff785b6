"""Metrics as Prometheus reads them: what OpenTelemetry has counted, with exemplars, and what is known of the process.

Source: OpenMetrics 1.0; OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from hndsr_gateway.telemetry.memory import memory_bytes

UNITS = {"s": "seconds", "By": "bytes"}


class PrometheusEndpoint(AbstractContextManager["PrometheusEndpoint"]):
    """Serves metrics at `/metrics` from the moment it is made.

    Attributes:
        reader: Belongs into a MeterProvider.
    """

    def __init__(self, listen: str) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """
        self.reader = InMemoryMetricReader()
        registry = CollectorRegistry()
        registry.register(_Counted(self.reader))
        ProcessCollector(registry=registry)
        host, _, port = listen.rpartition(":")
        self._server, self._thread = start_http_server(int(port), host.strip("[]"), registry)
        self.address = f"{host}:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Counted(Collector):
    """All that is counted by OpenTelemetry."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Family]:
        """One family for each instrument that has counted anything."""
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    yield _family(metric)
        memory = memory_bytes()
        for name, value, meaning in (
            ("hndsr_memory_used_bytes", memory.used, "What its control group, or the machine, uses and cannot drop."),
            ("hndsr_memory_limit_bytes", memory.limit, "What its control group may use, or the machine's memory."),
        ):
            family = GaugeMetricFamily(name, meaning)
            family.add_metric([], value)
            yield family

    def describe(self) -> Sequence[Family]:
        """Nothing is known before it is counted."""
        return ()


def _family(metric: Metric) -> Family:
    name = "_".join(filter(None, [metric.name.replace(".", "_"), UNITS.get(metric.unit or "", "")]))
    points: Any = metric.data.data_points
    labels = list(dict.fromkeys(label for point in points for label in point.attributes or {}))
    if isinstance(metric.data, Histogram):
        return _histogram(name, metric.description or "", labels, points)
    is_counter = isinstance(metric.data, Sum) and metric.data.is_monotonic
    if not isinstance(metric.data, (Sum, Gauge)):
        raise TypeError(f"{metric.name} is of a kind that is not exposed")
    family = (CounterMetricFamily if is_counter else GaugeMetricFamily)(name, metric.description or "", labels=labels)
    for point in points:
        family.add_metric(_values(point, labels), point.value)
    return family


def _histogram(name: str, meaning: str, labels: list[str], points: Sequence[HistogramDataPoint]) -> Family:
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for point in points:
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        lower, count = float("-inf"), 0
        for upper, inside in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
            count += inside
            exemplar = _exemplar(point, lower, upper)
            name_of = "+Inf" if upper == float("inf") else str(float(upper))
            buckets.append((name_of, count, exemplar) if exemplar else (name_of, count))
            lower = upper
        family.add_metric(_values(point, labels), buckets, point.sum)
    return family


def _exemplar(point: HistogramDataPoint, lower: float, upper: float) -> Exemplar | None:
    """The newest of a bucket."""
    inside = [one for one in point.exemplars if lower < one.value <= upper and one.trace_id]
    newest = max(inside, key=lambda one: one.time_unix_nano, default=None)
    if newest is None:
        return None
    identity = {"trace_id": f"{newest.trace_id:032x}", "span_id": f"{newest.span_id or 0:016x}"}
    return Exemplar(identity, newest.value, newest.time_unix_nano / 1e9)


def _values(point: NumberDataPoint | HistogramDataPoint, labels: Sequence[str]) -> list[str]:
    attributes = point.attributes or {}
    return [str(attributes.get(label, "")) for label in labels]
