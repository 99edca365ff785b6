"""Metrics as Prometheus reads them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hndsr_gateway.telemetry.exposition import PrometheusEndpoint

Meter = tuple[PrometheusEndpoint, MeterProvider]


@pytest.fixture
def meter() -> Iterator[Meter]:
    with PrometheusEndpoint("127.0.0.1:0") as endpoint:
        provider = MeterProvider(metric_readers=[endpoint.reader], shutdown_on_exit=False)
        yield endpoint, provider
        provider.shutdown()


def scraped(endpoint: PrometheusEndpoint) -> dict[str, list[Sample]]:
    """What is served, read by Prometheus's own parser of OpenMetrics."""
    request = urllib.request.Request(
        f"http://{endpoint.address}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310
        text = response.read().decode()
    samples: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def test_counter_is_a_total_with_its_labels(meter: Meter) -> None:
    endpoint, provider = meter
    counter = provider.get_meter("m").create_counter("hndsr.requests", "{request}", "Calls.")
    counter.add(2, {"method": "Upscale", "code": "OK"})
    counter.add(1, {"method": "Compare", "code": "OK"})
    found = {sample.labels["method"]: sample.value for sample in scraped(endpoint)["hndsr_requests_total"]}
    assert found == {"Upscale": 2, "Compare": 1}


def test_unit_ends_a_name(meter: Meter) -> None:
    endpoint, provider = meter
    provider.get_meter("m").create_counter("hndsr.sent", "By").add(5)
    assert scraped(endpoint)["hndsr_sent_bytes_total"][0].value == 5


def test_up_down_counter_is_a_gauge(meter: Meter) -> None:
    endpoint, provider = meter
    depth = provider.get_meter("m").create_up_down_counter("hndsr.queue.depth", "{place}")
    depth.add(3, {"queue": "tile"})
    depth.add(-1, {"queue": "tile"})
    assert scraped(endpoint)["hndsr_queue_depth"][0].value == 2


def test_histogram_counts_up_to_each_bound(meter: Meter) -> None:
    endpoint, provider = meter
    histogram = provider.get_meter("m").create_histogram("d", "s", explicit_bucket_boundaries_advisory=(0.1, 1))
    for value in (0.05, 0.5, 0.6, 5):
        histogram.record(value)
    samples = scraped(endpoint)
    assert {sample.labels["le"]: sample.value for sample in samples["d_seconds_bucket"]} == {
        "0.1": 1,
        "1.0": 3,
        "+Inf": 4,
    }
    assert samples["d_seconds_sum"][0].value == pytest.approx(6.15)


def test_histogram_has_the_trace_of_a_sampled_value(meter: Meter) -> None:
    endpoint, provider = meter
    histogram = provider.get_meter("m").create_histogram("d", "s", explicit_bucket_boundaries_advisory=(0.1, 1))
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    with trace.use_span(span, end_on_exit=True):
        histogram.record(0.5)
    exemplars = {sample.labels["le"]: sample.exemplar for sample in scraped(endpoint)["d_seconds_bucket"]}
    assert exemplars["0.1"] is None
    assert exemplars["1.0"] is not None
    assert exemplars["1.0"].labels["trace_id"] == f"{span.get_span_context().trace_id:032x}"


def test_process_and_memory_are_told(meter: Meter) -> None:
    samples = scraped(meter[0])
    assert samples["process_resident_memory_bytes"][0].value > 2**20
    assert 0 < samples["hndsr_memory_used_bytes"][0].value < samples["hndsr_memory_limit_bytes"][0].value
