"""`hndsr probe`: one verdict, or one after the other with metrics about them."""

from __future__ import annotations

import argparse
import contextvars
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from types import FrameType

from hndsr_client._console import put_now, remote
from hndsr_client._core.checks import MAX_PORT
from hndsr_client._core.tracing import Operation
from hndsr_client._exit_codes import OK
from hndsr_client._probe import Verdict, probe
from hndsr_client.errors import ArgumentError

MISSING = "--listen needs the extra probe; install it with: pip install 'hndsr-client[probe]'"
LABELS = "target", "model"
INTERVAL_S = 30.0


class _StoppedError(BaseException):
    """SIGTERM came."""


def run(arguments: argparse.Namespace) -> int:
    """Probe once, or until SIGTERM, and answer the exit code."""
    if arguments.service is not None and arguments.target is not None:
        raise ArgumentError("TARGET and --target are the same; give one of them")
    arguments.target = arguments.service or arguments.target or arguments.default_target
    if not arguments.timeout > 0:
        raise ArgumentError(f"--timeout is {arguments.timeout:g}, accepted is a number above 0")
    connect = partial(remote, arguments, retry=None)
    once = partial(probe, connect, target=arguments.target, model=arguments.model, timeout_s=arguments.timeout)
    if arguments.listen is not None:
        return _serve(arguments, once)
    if arguments.interval is not None:
        raise ArgumentError("--interval goes with --listen")
    verdict = once()
    _tell(verdict, as_json=arguments.json)
    return verdict.exit_code


def _tell(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        put_now(json.dumps(asdict(verdict) | {"healthy": verdict.is_healthy}))
    else:
        put_now(f"{verdict.outcome.replace('_', ' ')}: {verdict.target}: {verdict.message}")


def _serve(arguments: argparse.Namespace, once: Callable[[], Verdict]) -> int:
    interval_s = INTERVAL_S if arguments.interval is None else arguments.interval
    if not interval_s > 0:
        raise ArgumentError(f"--interval is {interval_s:g}, accepted is a number above 0")
    metrics = _Metrics(arguments.listen, target=arguments.target, model=arguments.model)
    kept = signal.signal(signal.SIGTERM, _stop)
    try:
        sys.stderr.write(f"hndsr: metrics at {metrics.url}\n")
        while True:
            began_s = time.monotonic()
            # In a context of its own each probe is a trace of its own.
            verdict = contextvars.Context().run(_traced, once)
            metrics.count(verdict)
            _tell(verdict, as_json=arguments.json)
            time.sleep(max(0.0, interval_s - (time.monotonic() - began_s)))
    except _StoppedError:
        return OK
    finally:
        signal.signal(signal.SIGTERM, kept)
        metrics.close()


def _traced(once: Callable[[], Verdict]) -> Verdict:
    with Operation("probe").current():
        return once()


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  signal's own
    raise _StoppedError


class _Metrics:
    """The metrics of one target, and the server that tells of them."""

    def __init__(self, listen: str, **labels: str) -> None:
        """Listen.

        Raises:
            ArgumentError: The extra is missing, or the address cannot be listened on.
        """
        try:
            import prometheus_client as prometheus  # noqa: PLC0415  an extra
        except ImportError as error:
            raise ArgumentError(MISSING) from error
        registry = prometheus.CollectorRegistry()
        gauge = partial(prometheus.Gauge, labelnames=LABELS, registry=registry)
        self._labels = labels
        self._success = gauge("hndsr_probe_success", "1 if the last probe found all well, else 0.")
        self._duration = gauge("hndsr_probe_duration_seconds", "How long the last probe took.")
        self._last = gauge("hndsr_probe_last_success_timestamp_seconds", "When a probe last found all well.")
        self._attempts = prometheus.Counter(
            "hndsr_probe_attempts", "Probes, by what came of them.", (*LABELS, "outcome"), registry=registry
        )
        host, port = _host_and_port(listen)
        try:
            self._server, self._thread = prometheus.start_http_server(port, host, registry)
        except OSError as error:
            raise ArgumentError(f"--listen: cannot listen on {listen}: {error.strerror or error}") from error
        self.url = f"http://{listen.rpartition(':')[0]}:{self._server.server_port}/metrics"

    def count(self, verdict: Verdict) -> None:
        """Take a verdict; before the first nothing is told."""
        self._success.labels(**self._labels).set(verdict.is_healthy)
        self._duration.labels(**self._labels).set(verdict.duration_s)
        self._attempts.labels(**self._labels, outcome=verdict.outcome).inc()
        if verdict.is_healthy:
            self._last.labels(**self._labels).set_to_current_time()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > MAX_PORT:
        raise ArgumentError(f"--listen is {listen!r}, accepted is HOST:PORT")
    return host.strip("[]"), int(port)
