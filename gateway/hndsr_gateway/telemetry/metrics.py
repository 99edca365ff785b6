"""The instruments: every number that the gateway counts, by the OpenTelemetry API.

Without a provider, which `setup` installs where somebody listens, all of them do nothing. Attributes have few values
each: methods, status codes, reasons, models. Names as Prometheus shows them are in docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Collection

from opentelemetry import metrics

_LATENCY_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
_TILE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

_meter = metrics.get_meter("hndsr_gateway")

requests = _meter.create_counter("hndsr.requests", "{request}", "Calls that ended, by method, code and reason.")
request_duration = _meter.create_histogram(
    "hndsr.request.duration",
    "s",
    "From the arrival of a call to its end.",
    explicit_bucket_boundaries_advisory=_LATENCY_S,
)
requests_in_flight = _meter.create_up_down_counter("hndsr.requests.in_flight", "{request}", "Calls under way.")
first_tile = _meter.create_histogram(
    "hndsr.time_to_first_tile",
    "s",
    "From the arrival of a call until the first samples of its target are on their way.",
    explicit_bucket_boundaries_advisory=_LATENCY_S,
)
received = _meter.create_counter("hndsr.received", "By", "Size of the messages that came in.")
sent = _meter.create_counter("hndsr.sent", "By", "Size of the messages that went out.")

tiles = _meter.create_counter("hndsr.tiles", "{tile}", "Tiles that ended, by outcome: done, failed, cancelled.")
tile_duration = _meter.create_histogram(
    "hndsr.tile.duration",
    "s",
    "Time of a tile in Triton, its transfers included.",
    explicit_bucket_boundaries_advisory=_TILE_S,
)
tiles_in_flight = _meter.create_up_down_counter("hndsr.tiles.in_flight", "{tile}", "Tiles in Triton.")
tiles_moved = _meter.create_counter("hndsr.tiles.moved", "{tile}", "Tiles that another endpoint had to take.")
target_pixels = _meter.create_counter("hndsr.target_pixels", "{pixel}", "Target pixels of the tiles that are done.")
windows = _meter.create_counter("hndsr.windows", "{window}", "Windows of them: computed, cached, or empty.")

degraded = _meter.create_counter(
    "hndsr.degraded", "{request}", "Upscale calls that got a lesser answer, by the model asked for and why."
)

queue_wait = _meter.create_histogram(
    "hndsr.queue.wait",
    "s",
    "How long requests and tiles waited for their turn.",
    explicit_bucket_boundaries_advisory=_WAIT_S,
)
queue_depth = _meter.create_up_down_counter("hndsr.queue.depth", "{place}", "Requests and tiles that wait.")
quota_refusals = _meter.create_counter(
    "hndsr.quota.refusals", "{refusal}", "Refusals because of a quota: requests, address, target_px, calls, streams."
)

triton_restarts = _meter.create_counter(
    "hndsr.triton.restarts", "{start}", "How often the embedded Triton died and was started again."
)
endpoints = _meter.create_gauge("hndsr.endpoints", "{endpoint}", "Tritons that get tiles, and those that do not.")
ready = _meter.create_gauge("hndsr.ready", "1", "Whether the models answer, as health checks are told.")
model_info = _meter.create_gauge("hndsr.model_info", "1", "1 for each model and revision that is served, else 0.")
build_info = _meter.create_gauge("hndsr.build_info", "1", "1; the gateway's version is its attribute.")

EXPECTED_ENDS = (
    ("OK", ""),
    ("INTERNAL", "INTERNAL"),
    ("UNAVAILABLE", "BACKEND_UNAVAILABLE"),
    ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    ("RESOURCE_EXHAUSTED", "OVERLOADED"),
)
"""Codes and reasons that alerts look at."""


def begin_calls(methods: Collection[str]) -> None:
    """Begin to count calls at 0: the rate of a series knows nothing of what it begins with."""
    for method in methods:
        for code, reason in EXPECTED_ENDS:
            requests.add(0, {"method": method, "code": code, "reason": reason})
    tiles_moved.add(0)
    ready.set(0)
    for state in ("serving", "away"):
        endpoints.set(0, {"state": state})


def begin_tiles(model: str) -> None:
    """Begin to count a model's tiles at 0."""
    for outcome in ("done", "failed", "cancelled"):
        tiles.add(0, {"model": model, "outcome": outcome})
    for source in ("computed", "cached", "empty"):
        windows.add(0, {"model": model, "source": source})
    target_pixels.add(0, {"model": model})
    degraded.add(0, {"model": model, "reason": "BACKEND_UNAVAILABLE"})
