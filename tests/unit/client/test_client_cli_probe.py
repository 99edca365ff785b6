"""`hndsr probe` tells a service that answers the right bytes from every other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any
from urllib.request import urlopen

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from in_process import served
from otlp_receiver import OtlpReceiver
from unit.client.traces import kept_spans

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import add_UpscaleServiceServicer_to_server
from hndsr_client import AsyncClient
from hndsr_client._probe import golden, pattern
from hndsr_client.cli import main
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer
from hndsr_gateway.settings import Settings

GATEWAY = Settings(listen="127.0.0.1:0", drain_grace_s=0)
NEAREST = ["--model", "nearest"]


@pytest.fixture
def listening(target: str) -> Iterator[subprocess.Popen[str]]:
    """A probe that goes on until it is stopped, of a model that is well."""
    command = [sys.executable, "-m", "hndsr_client.cli", "probe", target, *NEAREST]
    command += ["--listen", "127.0.0.1:0", "--interval", "0.05", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def gateway_probe(*arguments: str) -> int:
    """The exit code of a probe of a gateway whose bicubic model is the real one."""

    async def probed() -> int:
        async with served(FakeBackend(), GATEWAY) as address:
            return await asyncio.to_thread(main, ["probe", address, *arguments])

    return asyncio.run(probed())


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a probe says to programs."""
    main(["probe", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.mark.parametrize("model", ["bicubic", "hndsr"])
def test_probe_finds_a_gateway_well(model: str) -> None:
    assert gateway_probe("--model", model) == 0


def test_golden_bytes_are_those_of_the_bicubic_model() -> None:
    async def upscaled() -> np.ndarray:
        async with served(FakeBackend(), GATEWAY) as address, AsyncClient(address) as client:
            return (await client.upscale(pattern(), model="bicubic", scale=2)).image

    assert np.array_equal(asyncio.run(upscaled()), golden())


def test_probe_says_in_one_line_that_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    gateway_probe()
    said = capsys.readouterr().out
    assert re.fullmatch(r"healthy: 127\.0\.0\.1:\d+: bicubic revision-1 answered the right bytes in \d\.\d\d s\n", said)


def test_probe_finds_wrong_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeServer(models=["bicubic"]) as server:
        code = main(["probe", server.target])
    assert (code, capsys.readouterr().out) == (
        7,
        f"wrong answer: {server.target}: 2,268 of 3,072 samples are not what bicubic must answer, by up to 83\n",
    )


class LyingServicer(NearestServicer):
    """Changes a sample of what is answered in one message, and describes another revision so many times."""

    def __init__(self, *, changed: int = 0, described: int = 0) -> None:
        super().__init__()
        self._changed, self._described = changed, described

    def Upscale(  # noqa: N802  the contract's name
        self, request: pb.UpscaleRequest, context: grpc.ServicerContext
    ) -> pb.UpscaleResponse:
        """Nearly the nearest neighbours."""
        answer = super().Upscale(request, context)
        answer.raw.pixels = bytes([answer.raw.pixels[0] ^ self._changed]) + answer.raw.pixels[1:]
        return answer

    def GetModelInfo(  # noqa: N802  the contract's name
        self, request: pb.GetModelInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetModelInfoResponse:
        """The models, some of the time."""
        answer = super().GetModelInfo(request, context)
        if self._described > 0:
            answer.models[0].revision = "another"
        self._described -= 1
        return answer


@contextlib.contextmanager
def lying(**lies: int) -> Iterator[str]:
    """The address of a server that lies."""
    server = grpc.server(ThreadPoolExecutor(4))
    add_UpscaleServiceServicer_to_server(LyingServicer(**lies), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_probe_finds_a_stream_that_says_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    with lying(changed=1) as target:
        said = verdict(capsys, target, *NEAREST)
    expected = "1 of 3,072 samples are not what nearest answers to a single call, by up to 1"
    assert (said["exit_code"], said["message"]) == (7, expected)


def test_probe_finds_a_revision_that_is_not_the_one_described(capsys: pytest.CaptureFixture[str]) -> None:
    with lying(described=2) as target:
        said = verdict(capsys, target, *NEAREST)
    assert (said["outcome"], "described another" in said["message"]) == ("wrong_answer", True)


def test_probe_looks_again_when_revisions_differ_as_in_a_rollout(capsys: pytest.CaptureFixture[str]) -> None:
    with lying(described=1) as target:
        said = verdict(capsys, target, *NEAREST)
    assert said["outcome"] == "healthy"


FAILURES = [
    ({"code": "RESOURCE_EXHAUSTED", "reason": "OVERLOADED", "retry_delay_s": 0.1}, "overloaded", 4),
    ({"code": "UNAVAILABLE", "reason": "BACKEND_UNAVAILABLE", "retry_delay_s": 0.1}, "unavailable", 4),
    ({"reason": "QUOTA_EXCEEDED"}, "over_quota", 4),
    ({"code": "UNAUTHENTICATED"}, "refused", 3),
    ({"code": "INTERNAL", "reason": "INTERNAL"}, "failed", 1),
]


@pytest.mark.parametrize(("failure", "outcome", "code"), FAILURES)
def test_probe_says_why_there_was_no_answer(
    server: FakeServer, capsys: pytest.CaptureFixture[str], failure: dict[str, Any], outcome: str, code: int
) -> None:
    server.fail_next(**failure)
    said = verdict(capsys, server.target, *NEAREST)
    assert (said["outcome"], said["exit_code"], said["healthy"]) == (outcome, code, False)


def test_probe_does_not_try_again(server: FakeServer) -> None:
    server.fail_next(code="UNAVAILABLE", reason="BACKEND_UNAVAILABLE")
    main(["probe", server.target, *NEAREST])
    assert len(server.requests) == 1


def test_probe_finds_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        said = verdict(capsys, f"127.0.0.1:{free.getsockname()[1]}")
    assert (said["outcome"], said["exit_code"]) == ("unavailable", 4)


def test_probe_ends_in_time(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.delay_next(30)
    said = verdict(capsys, server.target, *NEAREST, "--timeout", "0.2")
    assert (said["outcome"], said["exit_code"], said["duration_s"] < 10) == ("timeout", 5, True)


def test_probe_finds_a_gateway_that_is_about_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    async def probed() -> None:
        backend = FakeBackend()
        backend.hold()
        stopping = served(backend, GATEWAY.model_copy(update={"drain_grace_s": 30}))
        address = await stopping.__aenter__()
        async with AsyncClient(address) as client:
            call = asyncio.create_task(client.upscale(np.zeros((9, 9, 3), np.uint8), model="bicubic"))
            await backend.started(1)
            stopped = asyncio.create_task(stopping.__aexit__(None, None, None))
            await asyncio.to_thread(main, ["probe", address, "--json"])
            backend.release()
            await asyncio.gather(call, stopped)

    asyncio.run(probed())
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], "about to stop" in said["message"]) == ("unavailable", True)


def test_probe_takes_the_target_as_an_option(target: str) -> None:
    assert main(["probe", "--target", target, *NEAREST]) == 0


def test_probe_takes_the_target_from_the_environment(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_TARGET", target)
    assert main(["probe", *NEAREST]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["a:1", "--target", "b:1"],
        ["--timeout", "0"],
        ["--interval", "5"],
        ["--listen", "9465"],
        ["--listen", "127.0.0.1:99999"],
        ["--listen", "127.0.0.1:0", "--interval", "0"],
    ],
)
def test_probe_refuses_arguments_that_mean_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["probe", *arguments])
    assert (code, capsys.readouterr().err.startswith("hndsr: error: ")) == (2, True)


def test_probe_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    code = main(["probe", "--listen", "127.0.0.1:0"])
    assert (code, "pip install 'hndsr-client[probe]'" in capsys.readouterr().err) == (2, True)


def test_probe_refuses_to_listen_where_somebody_does(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = main(["probe", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"])
    assert (code, "cannot listen on" in capsys.readouterr().err) == (2, True)


def test_listening_probe_serves_its_metrics(listening: subprocess.Popen[str], target: str) -> None:
    url = line(listening.stderr).split()[-1]
    line(listening.stdout)
    with urlopen(url) as answer:  # noqa: S310  an address of ours
        metrics = answer.read().decode()
    labels = f'model="nearest",target="{target}"'
    assert f"hndsr_probe_success{{{labels}}} 1.0" in metrics
    assert re.search(rf'hndsr_probe_attempts_total{{model="nearest",outcome="healthy",target="{target}"}} \d', metrics)
    assert re.search(rf"hndsr_probe_last_success_timestamp_seconds{{{labels}}} 1\.\d+e\+09", metrics)
    assert f"hndsr_probe_duration_seconds{{{labels}}} 0." in metrics


def test_listening_probe_goes_on_when_the_service_is_gone(listening: subprocess.Popen[str], server: FakeServer) -> None:
    line(listening.stdout)
    server.close()
    assert any(json.loads(line(listening.stdout))["outcome"] == "unavailable" for _ in range(200))


def test_listening_probe_ends_well_by_sigterm(listening: subprocess.Popen[str]) -> None:
    line(listening.stdout)
    listening.send_signal(signal.SIGTERM)
    assert listening.wait(20) == 0


def test_probe_is_an_operation_below_the_command(target: str) -> None:
    with kept_spans() as traces:
        main(["probe", target, *NEAREST])
    assert traces.tree[:2] == [("hndsr probe", None), ("upscale", "hndsr probe")]


def test_listening_probe_makes_a_trace_of_each_probe(target: str) -> None:
    command = [sys.executable, "-m", "hndsr_client.cli", "probe", target, *NEAREST]
    command += ["--listen", "127.0.0.1:0", "--interval", "0.01"]
    with OtlpReceiver() as receiver:
        variables = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            receiver.wait(lambda spans: sum(span.name == "probe" for span in spans) >= 2)
            process.terminate()
        probes = receiver.named("probe")
    assert {span.parent_id for span in probes} == {""}
