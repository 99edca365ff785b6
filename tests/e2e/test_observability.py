"""One image seen as a whole: from the command through the gateway into Triton's models, by a real receiver of OTLP."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_process import gateway_process
from otlp_receiver import OtlpReceiver, ReceivedSpan
from queries import metrics_named

ROOT = Path(__file__).parents[2]
HNDSR = str(Path(sys.executable).parent / "hndsr")
SERVER = "hndsr.v1.UpscaleService/UpscaleStream"
UNARY = "hndsr.v1.UpscaleService/Upscale"
SIDE_PX = 112
"""Of a source whose target at ×4 has 2 × 2 cores."""
MS = 1_000_000
CLOCK_NS = 2 * MS
"""How far the clocks that two processes of one machine read may be apart."""


@dataclass(frozen=True)
class Stack:
    """A gateway with its Triton, and who listens to it."""

    address: str
    receiver: OtlpReceiver
    metrics_url: str
    triton_metrics_url: str
    log: Path

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a command that is traced."""
        return {**os.environ, **traced(self.receiver), "HNDSR_TARGET": self.address, **more}


def traced(receiver: OtlpReceiver) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    log = tmp_path_factory.mktemp("gateway") / "log"
    with OtlpReceiver() as receiver, log.open("wb") as lines:
        variables = {
            **traced(receiver),
            "HNDSR_MODELS": "",
            "HNDSR_METRICS_LISTEN": "127.0.0.1:0",
            "HNDSR_CORES_PER_TILE": "1",
            "HNDSR_STREAM_STALL_S": "2",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        with gateway_process(stderr=lines, **variables) as (_, address):
            yield Stack(
                address,
                receiver,
                metrics_url=said(log, "metrics at "),
                triton_metrics_url=f"http://{said(log, 'http_server.cc: Started Metrics Service at ')}/metrics",
                log=log,
            )


@pytest.fixture(autouse=True)
def _forgotten(stack: Stack) -> None:
    stack.receiver.clear()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.npy"
    np.save(path, np.random.default_rng(8).integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8))
    return path


def said(log: Path, begin: str) -> str:
    """What follows in a line of the log."""
    messages = (json.loads(line)["message"] for line in log.read_text(encoding="utf-8").splitlines())
    return next(message.removeprefix(begin) for message in messages if message.startswith(begin))


def upscaled(stack: Stack, source: Path, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [HNDSR, "upscale", str(source), str(source.with_name("target.npy")), *options]
    return subprocess.run(command, env=stack.variables(**more), capture_output=True, text=True, check=False)


def of(spans: list[ReceivedSpan], name: str, service: str) -> list[ReceivedSpan]:
    return [span for span in spans if (span.name, span.service) == (name, service)]


def whole(spans: list[ReceivedSpan]) -> bool:
    """Whether both ends have sent theirs: the root is the command's last span, the call's the gateway's."""
    return any(not span.parent_id for span in spans) and bool(of(spans, SERVER, "hndsr-gateway"))


def test_one_command_is_one_connected_tree(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, "--steps", "2").returncode == 0
    spans = stack.receiver.wait(whole)
    known = {span.span_id: span for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    assert [span.service for span in spans if not span.parent_id] == ["hndsr-cli"]
    assert all(span.parent_id in known for span in spans if span.parent_id)
    assert {span.service for span in spans} == {"hndsr-cli", "hndsr-gateway", "hndsr-triton"}


def test_tree_has_every_tile_down_to_the_steps(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, "--steps", "2").returncode == 0
    receiver, spans = stack.receiver, stack.receiver.wait(whole)
    (call,) = of(spans, SERVER, "hndsr-gateway")
    tiles = [span for span in receiver.children(call) if span.name == "tile"]
    assert len(tiles) == 4
    for tile in tiles:
        queue, infer = receiver.children(tile)
        assert (queue.name, infer.name) == ("queue", "triton infer")
        (inside,) = [span for span in receiver.children(infer) if span.service == "hndsr-triton"]
        assert inside.attributes["hndsr.steps"] == 2
        computed = [span for span in receiver.children(inside) if span.name == "windows"]
        assert len(computed) == inside.attributes["hndsr.windows"] - inside.attributes["hndsr.cache_hits"]
        for windows in computed:
            names = {span.name: span for span in receiver.children(windows)}
            assert {"fno", "ddim", "decoder"} <= names.keys()
            assert [event.name for event in names["ddim"].events] == ["step", "step"]


def test_children_lie_within_their_parents(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, "--steps", "1").returncode == 0
    known = {span.span_id: span for span in stack.receiver.wait(whole)}
    for span in known.values():
        parent = known.get(span.parent_id)
        if parent is None:
            continue
        assert span.start_ns >= parent.start_ns - CLOCK_NS, (span.name, parent.name)
        if span.name != SERVER:  # a server is done when its last message is on its way
            assert span.end_ns <= parent.end_ns + CLOCK_NS, (span.name, parent.name)


def test_time_of_a_tile_in_triton_is_explained(stack: Stack, source: Path) -> None:
    """What is left over is the way there and back, and what lies between windows: gathering and blending."""
    assert upscaled(stack, source, "--steps", "4", "--seed", "5").returncode == 0
    receiver, spans = stack.receiver, stack.receiver.wait(whole)
    for inside in of(spans, "tile", "hndsr-triton"):
        windows = [span for span in receiver.children(inside) if span.name == "windows"]
        if not windows:
            continue
        covered = max(span.end_ns for span in windows) - min(span.start_ns for span in windows)
        assert covered >= 0.5 * (inside.end_ns - inside.start_ns)


def test_attributes_say_what_was_done_and_no_pixels(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, "--steps", "1").returncode == 0
    spans = stack.receiver.wait(whole)
    (call,) = of(spans, SERVER, "hndsr-gateway")
    assert (call.kind, call.status, call.attributes["rpc.grpc.status_code"]) == ("SERVER", "UNSET", 0)
    assert (call.attributes["hndsr.model"], call.attributes["hndsr.tiles"]) == ("hndsr", 4)
    assert call.attributes["hndsr.bytes.received"] > SIDE_PX**2 * 3
    (infer, *_) = of(spans, "triton infer", "hndsr-gateway")
    assert (infer.kind, infer.attributes["hndsr.transfer"]) == ("CLIENT", "shared_memory")
    assert all(len(str(value)) < 300 for span in spans for value in span.attributes.values())


def test_refusal_is_told_by_its_reason(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, "--model", "nope").returncode != 0
    spans = stack.receiver.wait(lambda spans: bool(of(spans, SERVER, "hndsr-gateway")))
    (call,) = of(spans, SERVER, "hndsr-gateway")
    assert (call.status, call.attributes["error.type"]) == ("UNSET", "MODEL_NOT_FOUND")


def test_cancel_ends_every_span(stack: Stack, tmp_path: Path) -> None:
    scene = tmp_path / "scene.npy"
    np.save(scene, np.random.default_rng(9).integers(0, 256, (1500, 1500, 3), np.uint8))
    command = [HNDSR, "upscale", str(scene), str(tmp_path / "target.npy"), "--steps", "4"]
    with subprocess.Popen(command, env=stack.variables(), stderr=subprocess.DEVNULL) as process:
        stack.receiver.wait(lambda spans: bool(of(spans, "tile", "hndsr-gateway")))
        process.send_signal(signal.SIGINT)
        process.wait(30)
    spans = stack.receiver.wait(whole)
    (call,) = of(spans, SERVER, "hndsr-gateway")
    assert call.attributes["rpc.grpc.status_code"] == 1
    cancelled = [span for span in of(spans, "tile", "hndsr-gateway") if "error.type" in span.attributes]
    assert cancelled
    assert {span.attributes["error.type"] for span in cancelled} == {"CANCELLED"}


def test_kill_of_the_caller_ends_the_gateways_spans(stack: Stack, tmp_path: Path) -> None:
    scene = tmp_path / "scene.npy"
    np.save(scene, np.random.default_rng(9).integers(0, 256, (1500, 1500, 3), np.uint8))
    command = [HNDSR, "upscale", str(scene), str(tmp_path / "target.npy"), "--steps", "4"]
    with subprocess.Popen(command, env=stack.variables(), stderr=subprocess.DEVNULL) as process:
        stack.receiver.wait(lambda spans: bool(of(spans, "tile", "hndsr-gateway")))
        process.kill()
    spans = stack.receiver.wait(lambda spans: bool(of(spans, SERVER, "hndsr-gateway")))
    (call,) = of(spans, SERVER, "hndsr-gateway")
    tiles = [span for span in stack.receiver.children(call) if span.name == "tile"]
    assert call.attributes["error.type"] == "CANCELLED"
    assert all(tile.end_ns <= call.end_ns for tile in tiles)


def test_nothing_is_exported_of_what_is_not_sampled(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source, OTEL_TRACES_SAMPLER="always_off").returncode == 0
    assert upscaled(stack, source, "--overwrite").returncode == 0
    spans = stack.receiver.wait(whole)
    assert len(of(spans, SERVER, "hndsr-gateway")) == 1


def test_log_lines_of_a_call_say_its_trace(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    (call,) = of(stack.receiver.wait(whole), SERVER, "hndsr-gateway")
    lines = [json.loads(line) for line in stack.log.read_text(encoding="utf-8").splitlines()]
    (line,) = [one for one in lines if one.get("trace_id") == call.trace_id and one["logger"].endswith("access")]
    assert (line["method"], line["code"], line["tiles"]) == ("UpscaleStream", "OK", 4)
    assert line["target_px"] == (4 * SIDE_PX) ** 2


def test_metrics_go_by_otlp_too(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    stack.receiver.wait(whole)
    stack.receiver.wait_metrics({"hndsr.requests", "hndsr.tile.duration", "hndsr.queue.wait"})


def test_latency_has_the_trace_as_an_exemplar(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    (call,) = of(stack.receiver.wait(whole), SERVER, "hndsr-gateway")
    lines = scrape(stack.metrics_url).splitlines()
    buckets = [line for line in lines if line.startswith("hndsr_request_duration_seconds_bucket")]
    assert any(f'trace_id="{call.trace_id}"' in line for line in buckets)


def scrape(url: str) -> str:
    """Metrics as Prometheus gets them."""
    headers = {"Accept": "application/openmetrics-text"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:  # noqa: S310 - our own
        return response.read().decode()


def sample_names(text: str) -> set[str]:
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def test_every_metric_that_rules_and_panels_name_is_there(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    stack.receiver.wait(whole)
    found = sample_names(scrape(stack.metrics_url)) | sample_names(scrape(stack.triton_metrics_url))
    named = {name for name in metrics_named() if not name.startswith(("nv_gpu_", "hndsr_probe_"))}
    assert named - found == set()


def test_page_of_operations_lists_every_metric(stack: Stack, source: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    stack.receiver.wait(whole)
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(hndsr_[a-z_]+)`", page)) - {"hndsr_gateway", "hndsr_ensemble"}
    families = {
        re.sub("_(bucket|sum|count|created)$", "", name)
        for name in sample_names(scrape(stack.metrics_url))
        if name.startswith("hndsr_")
    }
    assert families == {name for name in listed if not name.startswith("hndsr_probe_")}


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus")
def test_prometheus_scrapes_the_gateway(stack: Stack, source: Path, tmp_path: Path) -> None:
    assert upscaled(stack, source).returncode == 0
    stack.receiver.wait(whole)
    with prometheus(stack.metrics_url, tmp_path) as url:
        query = "sum by (code) (hndsr_requests_total{method='UpscaleStream'})"
        deadline_s = time.monotonic() + 30
        while not (found := queried(url, query)) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        assert {row["metric"]["code"]: float(row["value"][1]) for row in found}["OK"] >= 1
        assert [row["value"][1] for row in queried(url, "up")] == ["1"]


@contextlib.contextmanager
def prometheus(metrics_url: str, folder: Path) -> Iterator[str]:
    """A Prometheus that scrapes the gateway twice a second, on the loopback address."""
    target = urllib.parse.urlsplit(metrics_url).netloc
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\n"
        f"scrape_configs: [{{job_name: hndsr-gateway, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://{address}"
        finally:
            process.kill()


def queried(url: str, query: str) -> list[dict[str, Any]]:
    """What Prometheus answers; nothing while it does not listen yet."""
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(address) as response:  # noqa: S310 - our own
            return json.load(response)["data"]["result"]
    except OSError:
        return []


def test_gateway_ends_soon_though_nobody_receives() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with gateway_process(**variables) as (process, address):
        command = [HNDSR, "probe", "--target", address]
        subprocess.run(command, check=True, capture_output=True)
        begun_s = time.monotonic()
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0
        assert time.monotonic() - begun_s < 50
