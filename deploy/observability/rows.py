"""The dashboard's rows, from what callers notice down to what it costs."""  # noqa: INP001 - beside a script

from __future__ import annotations

from typing import Any

from panels import Query, graph, labels, number

GATEWAY = 'job=~"$job", instance=~"$instance"'
JOB = 'job=~"$job"'
MODEL = f'{GATEWAY}, model=~"$model"'
TRITON = f'{JOB}, model=~"$model"'
RATE = "[$__rate_interval]"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MEGA = 1e6
BUDGETS = {
    "calls": ("job:hndsr_faults:ratio_rate", 0.005),
    "answers": ("job:hndsr_slow:ratio_rate", 0.01),
    "probes": ("target:hndsr_probe_failures:ratio_", 0.001),
}
"""What docs/slo.md allows: the recorded share of what is bad, less its window, and how much of it may be."""
GOOD_IS_HIGH = [(None, "red"), (1, "green")]


def glance() -> list[Any]:
    """Whether all is well."""
    left = f"min(1 - {BUDGETS['calls'][0]}30d{{{JOB}}} / {BUDGETS['calls'][1]})"
    alerts = 'count(ALERTS{service="hndsr", alertstate="firing"}) or vector(0)'
    throughput = f"sum(rate(hndsr_target_pixels_total{{{GATEWAY}}}[5m])) / {MEGA:g}"
    calls = f'sum(rate(hndsr_requests_total{{{GATEWAY}, method!="other"}}[5m]))'
    plain = [(None, "blue")]
    return [
        number("Alerts", "none", Query(alerts), steps=[(None, "green"), (1, "red")]),
        number("Gateways ready", "percentunit", Query(f"avg(hndsr_ready{{{GATEWAY}}})"), steps=GOOD_IS_HIGH),
        number("Probe", "percentunit", Query(f"min(hndsr_probe_success{{{JOB}}})"), steps=GOOD_IS_HIGH),
        number("Budget left", "percentunit", Query(left), steps=[(None, "red"), (0, "orange"), (0.5, "green")]),
        number("Calls", "reqps", Query(calls), steps=plain),
        number("Target Mpx/s", "none", Query(throughput), steps=plain),
    ]


def requests() -> list[Any]:
    """Rate, errors and duration of each method."""
    counted = f"hndsr_requests_total{{{GATEWAY}}}"
    failed = f'hndsr_requests_total{{{GATEWAY}, code!="OK"}}'
    duration = f'hndsr_request_duration_seconds_bucket{{{GATEWAY}, code="OK"}}'
    first = f"hndsr_time_to_first_tile_seconds_bucket{{{MODEL}}}"
    in_flight = f"sum by (method) (hndsr_requests_in_flight{{{GATEWAY}}})"
    return [
        graph("Calls", "reqps", Query(f"sum by (method) (rate({counted}{RATE}))", "{{method}}")),
        graph(
            "Calls that did not succeed, by reason", "reqps", Query(_by("code, reason", failed), "{{code}} {{reason}}")
        ),
        graph(
            "Share that failed by the service's fault",
            "percentunit",
            Query(f"job:hndsr_faults:ratio_rate5m{{{JOB}}}", "{{job}}: failed"),
            Query(f"job:hndsr_refusals:ratio_rate5m{{{JOB}}}", "{{job}}: refused"),
            limit=0.05,
        ),
        *(_quantile_graph(f"Duration, {name}", duration, name, "method") for name in QUANTILES),
        graph("Time to the first tile", "s", *_quantiles(first, "model", ["p50", "p95", "p99"])),
        graph("Calls under way", "none", Query(in_flight, "{{method}}")),
        graph("Bytes of messages", "Bps", *(_bytes(way) for way in ("received", "sent"))),
    ]


def tiles() -> list[Any]:
    """What is made, and how fast."""
    duration = f"hndsr_tile_duration_seconds_bucket{{{MODEL}}}"
    pixels = f"sum by (model) (rate(hndsr_target_pixels_total{{{MODEL}}}{RATE})) / {MEGA:g}"
    windows = f"hndsr_windows_total{{{MODEL}}}"
    moved = f"sum by (instance) (rate(hndsr_tiles_moved_total{{{GATEWAY}}}{RATE}))"
    return [
        graph("Throughput, target megapixels a second", "none", Query(pixels, "{{model}}")),
        graph("Windows a second", "none", Query(_by("source", windows), "{{source}}")),
        graph("Tile duration, in Triton and on the way", "s", *_quantiles(duration, "model", list(QUANTILES))),
        graph("Tiles a second", "none", Query(_by("outcome", f"hndsr_tiles_total{{{MODEL}}}"), "{{outcome}}")),
        graph(
            "Share of tiles that failed",
            "percentunit",
            Query(f"job:hndsr_tile_failures:ratio_rate5m{{{JOB}}}", "{{job}}"),
            limit=0.01,
        ),
        graph("Tiles that another Triton had to take", "none", Query(moved, "{{instance}}")),
    ]


def saturation() -> list[Any]:
    """How much room is left."""
    wait = f"hndsr_queue_wait_seconds_bucket{{{GATEWAY}}}"
    depth = f"sum by (queue) (hndsr_queue_depth{{{GATEWAY}}})"
    ratios = {"request": "requests", "tile": "tiles, those of one stream among them"}
    processors = f"rate(process_cpu_seconds_total{{{GATEWAY}}}{RATE})"
    resident = f"max by (instance) (hndsr_memory_used_bytes{{{GATEWAY}}})"
    limit = f"max by (instance) (hndsr_memory_limit_bytes{{{GATEWAY}}})"
    opened, most = (f"sum by (instance) ({name}{{{GATEWAY}}})" for name in ("process_open_fds", "process_max_fds"))
    return [
        graph("Queue depth", "none", Query(depth, "{{queue}}")),
        graph("Wait, p95 and p99", "s", *_quantiles(wait, "queue", ["p95", "p99"])),
        graph(
            "Queue : compute",
            "none",
            *(Query(f"job:hndsr_{queue}_queue_compute:ratio_rate5m{{{JOB}}}", name) for queue, name in ratios.items()),
            about="How many wait for each tile that is worked on. Tiles of a stream always wait for each other.",
            limit=1,
        ),
        graph(
            "Tiles in Triton", "none", Query(f"sum by (instance) (hndsr_tiles_in_flight{{{GATEWAY}}})", "{{instance}}")
        ),
        graph("Tritons", "none", Query(f"sum by (state) (hndsr_endpoints{{{GATEWAY}}})", "{{state}}")),
        graph("Processor, cores of the gateway", "none", Query(f"sum by (instance) ({processors})", "{{instance}}")),
        graph(
            "Memory of the gateway",
            "bytes",
            Query(resident, "{{instance}}"),
            Query(limit, "{{instance}} limit"),
            width=12,
        ),
        graph(
            "Open files of the gateway",
            "none",
            Query(opened, "{{instance}}"),
            Query(most, "{{instance}} limit"),
            width=12,
        ),
    ]


def triton() -> list[Any]:
    """What Triton itself says, by model."""
    done, bad = (_by("model", f"nv_inference_request_{end}{{{TRITON}}}") for end in ("success", "failure"))
    parts = {"queue": "queue_duration", "compute": "compute_infer_duration", "all": "request_duration"}
    return [
        graph("Requests in Triton", "reqps", Query(done, "{{model}} done"), Query(bad, "{{model}} failed")),
        graph("Time of a request in Triton", "µs", *(_per_request(part, name) for name, part in parts.items())),
        graph(
            "Queue : compute in Triton",
            "none",
            Query(f"job_model:nv_inference_queue_compute:ratio_rate5m{{{TRITON}}}", "{{model}}"),
            limit=1,
        ),
        graph(
            "Processor of Triton's machine",
            "percentunit",
            Query(f"nv_cpu_utilization{{{JOB}}}", "{{instance}}"),
            width=12,
        ),
        graph(
            "Memory of Triton's machine", "bytes", Query(f"nv_cpu_memory_used_bytes{{{JOB}}}", "{{instance}}"), width=12
        ),
    ]


def gpus() -> list[Any]:
    """Empty where there is none."""
    name = "{{instance}} {{gpu_uuid}}"
    return [
        graph("GPU, share of the time busy", "percentunit", Query(f"nv_gpu_utilization{{{JOB}}}", name)),
        graph("GPU memory", "bytes", Query(f"nv_gpu_memory_used_bytes{{{JOB}}}", name)),
        graph(
            "GPU memory, share", "percentunit", Query(f"instance_gpu:nv_gpu_memory:ratio{{{JOB}}}", name), limit=0.95
        ),
    ]


def cost() -> list[Any]:
    """What a target megapixel takes, and at `$price` an hour costs."""
    window = "[$__range]"
    megapixels = f"(sum(rate(hndsr_target_pixels_total{{{GATEWAY}}}{window})) / {MEGA:g})"
    tile = f"sum(rate(hndsr_tile_duration_seconds_sum{{{GATEWAY}}}{window}))"
    processor = f"sum(rate(process_cpu_seconds_total{{{GATEWAY}}}{window}))"
    gpu = f"sum(avg_over_time(nv_gpu_utilization{{{JOB}}}{window}))"
    gateways = f"count(hndsr_build_info{{{GATEWAY}}})"
    plain = [(None, "blue")]
    return [
        number("Tile seconds a Mpx", "s", Query(f"{tile} / {megapixels}"), steps=plain),
        number("GPU seconds a Mpx", "s", Query(f"{gpu} / {megapixels}"), steps=plain),
        number("Gateway's processor seconds a Mpx", "s", Query(f"{processor} / {megapixels}"), steps=plain),
        number("Price of a Mpx", "none", Query(f"{gateways} / {megapixels} * $price / 3600"), steps=plain, width=12),
    ]


def objectives() -> list[Any]:
    """Probe and error budgets; at a burn rate of 1 a budget lasts for exactly its 30 days."""
    name = "{{model}} at {{target}}"
    success, duration = (f"hndsr_probe_{what}{{{JOB}}}" for what in ("success", "duration_seconds"))
    age = f"time() - hndsr_probe_last_success_timestamp_seconds{{{JOB}}}"
    attempts = _by("outcome", f"hndsr_probe_attempts_total{{{JOB}}}")
    return [
        graph("Probe succeeded", "none", Query(success, name), width=6),
        graph("Probe duration", "s", Query(duration, name), width=6),
        graph("Since the last success of the probe", "s", Query(age, name), limit=300, width=6),
        graph("Probes, by outcome", "none", Query(attempts, "{{outcome}}"), width=6),
        *(_burn_graph(what) for what in BUDGETS),
        *(_left(what) for what in BUDGETS),
    ]


def versions() -> list[Any]:
    """What runs."""
    scraped = ["job", "service", "telemetry_sdk_language", "telemetry_sdk_name", "telemetry_sdk_version"]
    return [
        labels("Gateways", Query(f"hndsr_build_info{{{GATEWAY}}}"), hidden=scraped),
        labels("Models", Query(f"hndsr_model_info{{{GATEWAY}}} == 1"), hidden=scraped),
    ]


ROWS = {
    "At a glance": glance,
    "Requests": requests,
    "Tiles": tiles,
    "Saturation": saturation,
    "Triton": triton,
    "GPU": gpus,
    "Cost, over the time that is shown": cost,
    "Probe and objectives": objectives,
    "Versions": versions,
}


def _by(grouping: str, series: str) -> str:
    return f"sum by ({grouping}) (rate({series}{RATE}))"


def _quantiles(buckets: str, label: str, names: list[str]) -> list[Query]:
    """One query for each quantile, with the calls behind it."""
    return [Query(_quantile(buckets, name, label), f"{{{{{label}}}}} {name}", exemplars=True) for name in names]


def _quantile(buckets: str, name: str, label: str) -> str:
    return f"histogram_quantile({QUANTILES[name]:g}, sum by ({label}, le) (rate({buckets}{RATE})))"


def _quantile_graph(title: str, buckets: str, name: str, label: str) -> Any:
    return graph(title, "s", Query(_quantile(buckets, name, label), f"{{{{{label}}}}}", exemplars=True))


def _bytes(way: str) -> Query:
    return Query(f"sum(rate(hndsr_{way}_bytes_total{{{GATEWAY}}}{RATE}))", way)


def _per_request(part: str, name: str) -> Query:
    spent = _by("model", f"nv_inference_{part}_us{{{TRITON}}}")
    count = _by("model", f"nv_inference_request_success{{{TRITON}}}")
    return Query(f"{spent} / {count}", f"{{{{model}}}} {name}")


def _burn_graph(what: str) -> Any:
    series, budget = BUDGETS[what]
    windows = ["5m", "1h", "6h", "3d"]
    queries = [Query(f"max({series}{window}{{{JOB}}}) / {budget}", window) for window in windows]
    return graph(f"Burn rate of the budget of {what}", "none", *queries, limit=6)


def _left(what: str) -> Any:
    series, budget = BUDGETS[what]
    left = Query(f"min(1 - {series}30d{{{JOB}}} / {budget})")
    steps = [(None, "red"), (0, "orange"), (0.5, "green")]
    return number(f"Left of 30 days' budget of {what}", "percentunit", left, steps=steps, width=8)
