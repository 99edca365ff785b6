"""The command exports its spans where variables say, whatever ends it, and never waits for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from otlp_receiver import OtlpReceiver

from hndsr_client import _otel
from hndsr_client._otel import is_wanted
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer

COMMAND = [sys.executable, "-m", "hndsr_client.cli"]
UNTRACED = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
NOWHERE = "http://127.0.0.1:1"
HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
# As on a machine without the extra.
WITHOUT_SDK = """
import sys
sys.modules["opentelemetry.sdk"] = None
from hndsr_client.cli import main
sys.exit(main())
"""


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


def info(target: str, variables: Mapping[str, str], command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    """What came of `hndsr info`."""
    return subprocess.run(
        [*command, "info", "--target", target], env=UNTRACED | variables, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_command_exports_its_spans(target: str, receiver: OtlpReceiver, protocol: str) -> None:
    endpoint = receiver.endpoint if protocol == "grpc" else receiver.http_endpoint
    info(target, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
    (command,) = receiver.named("hndsr info")
    (operation,) = receiver.children(command)
    (call,) = receiver.children(operation)
    assert (operation.name, call.name) == ("info", "hndsr.v1.UpscaleService/GetModelInfo")


@pytest.mark.parametrize(
    ("variables", "service"),
    [
        ({}, "hndsr-cli"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "team=maps, service.name=mine"}, "mine"),
    ],
)
def test_command_is_a_service_of_this_name(
    target: str, receiver: OtlpReceiver, variables: dict[str, str], service: str
) -> None:
    info(target, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, **variables})
    assert {span.service for span in receiver.spans} == {service}


def test_spans_of_a_command_that_fails_are_exported(server: FakeServer, receiver: OtlpReceiver) -> None:
    server.fail_next(code="INVALID_ARGUMENT", reason="SCALE_OUT_OF_RANGE")
    ended = info(server.target, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})
    (command,) = receiver.named("hndsr info")
    facts = ended.returncode, command.status, command.attributes["error.type"]
    assert facts == (3, "ERROR", "SCALE_OUT_OF_RANGE")


def test_spans_of_a_command_that_is_interrupted_are_exported(
    target: str, service: NearestServicer, receiver: OtlpReceiver, source: Path, folder: Path
) -> None:
    service.release = threading.Event()
    arguments = ["upscale", str(source), str(folder / "made.png"), "--target", target]
    variables = UNTRACED | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    with subprocess.Popen([*COMMAND, *arguments], env=variables, stderr=subprocess.PIPE) as command:
        assert service.received.wait(20)
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=20)
    (span,) = receiver.named("hndsr.v1.UpscaleService/Upscale")
    facts = command.returncode, error, span.attributes["error.type"]
    assert facts == (130, b"hndsr: error: interrupted\n", "CANCELLED")


@pytest.mark.parametrize("variables", [{}, HTTP], ids=["grpc", "http"])
def test_command_does_not_wait_long_for_a_receiver_that_is_not_there(target: str, variables: dict[str, str]) -> None:
    began_s = time.monotonic()
    ended = info(target, {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, **variables})
    told = ended.returncode, ended.stderr[:50], ended.stderr.count("\n")
    assert told == (0, "hndsr: warning: not all traces were delivered: Tra", 1)
    assert time.monotonic() - began_s < 4 * _otel.FLUSH_S


def test_command_warns_when_the_extra_is_missing(target: str) -> None:
    command = [sys.executable, "-c", WITHOUT_SDK]
    ended = info(target, {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, command)
    assert (ended.returncode, ended.stderr) == (0, f"hndsr: warning: {_otel.MISSING}\n")


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE, "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
    ],
)
def test_command_warns_of_what_it_cannot_do(target: str, variables: dict[str, str]) -> None:
    ended = info(target, variables)
    told = ended.returncode, ended.stderr[:37], ended.stderr.count("\n")
    assert told == (0, "hndsr: warning: there are no traces: ", 1)


def test_command_writes_spans_to_the_standard_error(target: str) -> None:
    ended = info(target, {"OTEL_TRACES_EXPORTER": "console"})
    assert ('"name": "hndsr info"' in ended.stderr, "trace_id" in ended.stdout) == (True, False)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": NOWHERE}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": NOWHERE}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": NOWHERE}, False),
        ({"OTEL_SERVICE_NAME": "mine"}, False),
    ],
)
def test_traces_are_wanted_where_variables_say_so(variables: dict[str, str], wanted: bool) -> None:  # noqa: FBT001
    assert is_wanted(variables) is wanted


def test_sdk_is_not_imported_when_nobody_asks_for_it(target: str) -> None:
    program = (
        "import sys\nfrom hndsr_client.cli import main\nmain(['info', '--target', sys.argv[1]])\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    answer = subprocess.check_output([sys.executable, "-c", program, target], env=UNTRACED, text=True)
    assert answer.splitlines()[-1] == "[]"
