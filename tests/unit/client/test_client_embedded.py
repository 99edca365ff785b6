"""A gateway on this machine starts, serves, and ends with its client, however the client ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hndsr_client import Client, EmbeddedGatewayError, EmbeddedNotInstalledError, UnavailableError
from hndsr_client.embedded import EmbeddedGateway

SCRIPT = str(Path(__file__).with_name("fake_gateway.py"))
PARENT = """
import sys, time
from hndsr_client.embedded import EmbeddedGateway
gateway = EmbeddedGateway(command=sys.argv[1:])
print("started", flush=True)
time.sleep(60)
"""


def fake(behaviour: str, *arguments: object) -> list[str]:
    return [sys.executable, SCRIPT, behaviour, *map(str, arguments)]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def test_embedded_serves() -> None:
    with Client.embedded(_command=fake("serve"), timeout_s=30) as client:
        assert client.upscale(np.zeros((5, 7, 3), np.uint8), scale=2).image.shape == (10, 14, 3)


def test_embedded_takes_the_announced_address(marker: Path) -> None:
    with EmbeddedGateway(command=fake("wait", marker)) as gateway:
        assert gateway.address == "127.0.0.1:1"


@pytest.mark.parametrize(
    "stranger",
    [
        "HNDSR_TLS_CERTIFICATE",
        "HNDSR_INSECURE",
        "HNDSR_API_KEYS",
        "HNDSR_JWT_ISSUER",
        "HNDSR_JWT_AUDIENCE",
        "HNDSR_JWT_KEYS",
        "HNDSR_REDIS_URL",
        "HNDSR_REQUESTS_PER_MINUTE",
        "HNDSR_ADDRESS_REQUESTS_PER_MINUTE",
        "HNDSR_TARGET_PX_PER_HOUR",
        "HNDSR_CALLS_PER_CALLER",
        "HNDSR_STREAMS_PER_CALLER",
    ],
)
def test_embedded_is_not_told_what_is_there_for_other_callers(
    monkeypatch: pytest.MonkeyPatch, marker: Path, stranger: str
) -> None:
    monkeypatch.setenv(stranger, "1")
    monkeypatch.setenv("HNDSR_DEFAULT_STEPS", "0")
    show = "import os, sys; open(sys.argv[1], 'w').write(' '.join(sorted(n for n in os.environ if n in sys.argv)))"
    with pytest.raises(EmbeddedGatewayError):
        EmbeddedGateway(command=[sys.executable, "-c", show, str(marker), stranger, "HNDSR_DEFAULT_STEPS"])
    assert marker.read_text() == "HNDSR_DEFAULT_STEPS"


def test_embedded_stops_by_closing_the_standard_input(marker: Path) -> None:
    with EmbeddedGateway(command=fake("wait", marker)):
        pass
    assert marker.exists()


def test_embedded_stops_with_its_client(marker: Path) -> None:
    Client.embedded(_command=fake("wait", marker)).close()
    assert marker.exists()


def test_embedded_stops_when_the_client_cannot_be_made(marker: Path) -> None:
    with pytest.raises(ValueError, match="the target is ''"):
        Client.embedded(_command=fake("wait", marker, ""))
    assert marker.exists()


def test_embedded_refuses_a_timeout_before_it_starts_anything(marker: Path) -> None:
    with pytest.raises(ValueError, match="timeout_s is -1"):
        Client.embedded(_command=["touch", str(marker)], timeout_s=-1)
    assert not marker.exists()


def test_embedded_stops_when_its_parent_is_killed(marker: Path) -> None:
    command = [sys.executable, "-c", PARENT, *fake("wait", marker)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        parent.kill()
    wait_for(marker)


def test_embedded_runs_in_a_session_of_its_own(marker: Path) -> None:
    with EmbeddedGateway(command=fake("wait", marker)) as gateway:
        assert os.getsid(gateway._process.pid) != os.getsid(0)


def test_embedded_may_be_closed_twice(marker: Path) -> None:
    gateway = EmbeddedGateway(command=fake("wait", marker))
    gateway.close()
    gateway.close()


def test_embedded_finds_the_address_among_other_output(marker: Path) -> None:
    with EmbeddedGateway(command=fake("noisy", marker)) as gateway:
        assert gateway.address == "127.0.0.1:1"


def test_embedded_never_blocks_a_gateway_that_writes(marker: Path) -> None:
    with EmbeddedGateway(command=fake("noisy", marker)):
        wait_for(marker)


def test_embedded_asks_a_gateway_to_end_that_minds_nothing_else(marker: Path) -> None:
    gateway = EmbeddedGateway(command=fake("terminable"))
    gateway.close(grace_s=0.1)
    assert gateway._process.returncode == 3


def test_embedded_kills_a_gateway_that_minds_nothing(marker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hndsr_client.embedded.TERMINATION_S", 0.1)
    gateway = EmbeddedGateway(command=fake("stubborn"))
    gateway.close(grace_s=0.1)
    assert gateway._process.returncode == -signal.SIGKILL


def test_embedded_quotes_the_log_of_a_gateway_that_ends_early() -> None:
    with pytest.raises(EmbeddedGatewayError, match=r"ended, with exit status 7.*\n  line 80\n(.*\n)*  line 99$"):
        EmbeddedGateway(command=fake("fail"))


def test_embedded_does_not_wait_for_children_of_a_gateway_that_ends_early() -> None:
    with pytest.raises(EmbeddedGatewayError, match="ended, with exit status 7"):
        EmbeddedGateway(command=fake("orphan"), startup_timeout_s=2.5)


def test_embedded_quotes_the_log_of_a_gateway_that_is_late() -> None:
    with pytest.raises(EmbeddedGatewayError, match=r"was not ready within 0.5 s; .*\n  still loading$"):
        EmbeddedGateway(command=fake("silent"), startup_timeout_s=0.5)


def test_embedded_names_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedGatewayError, match=r"cannot be started: .*missing"):
        EmbeddedGateway(command=[str(tmp_path / "missing")])


def test_embedded_says_why_a_call_failed_when_the_gateway_ended() -> None:
    with Client.embedded(_command=fake("serve")) as client:
        os.kill(client._gateway._process.pid, signal.SIGKILL)
        with pytest.raises(EmbeddedGatewayError, match="ended, killed by signal 9"):
            client.info()


def test_embedded_passes_the_log_through(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, pytest.raises(EmbeddedGatewayError):
        EmbeddedGateway(command=fake("fail"), log=log)
    assert (tmp_path / "log").read_text().startswith("line 0\n")


def test_embedded_leaves_no_log_even_when_its_parent_is_killed(marker: Path, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-c", PARENT, *fake("wait", marker)]
    environment = os.environ | {"TMPDIR": str(folder)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        parent.stdout.readline()
        parent.kill()
    wait_for(marker)
    assert list(folder.iterdir()) == []


def test_embedded_quotes_the_end_of_a_long_log() -> None:
    with pytest.raises(EmbeddedGatewayError, match=r"log:\n  x+\n  the end$"):
        EmbeddedGateway(command=[sys.executable, "-c", "raise SystemExit('x' * 100_000 + '\\nthe end')"])


def test_embedded_leaves_the_log_where_the_gateway_writes_it() -> None:
    with EmbeddedGateway(command=fake("logging")) as gateway:
        for number in range(3):
            gateway._process.stdin.write(b"%d\n" % number)
            gateway._process.stdin.flush()
            gateway._announced.get(timeout=20)
            gateway._log_lines()
        assert gateway._log_lines() == ["0", "1", "2"]


def test_embedded_closed_by_another_thread_is_no_news() -> None:
    client = Client.embedded(_command=fake("held"))
    with ThreadPoolExecutor() as threads:
        call = threads.submit(client.info)
        client._gateway._announced.get(timeout=20)
        client.close()
        assert isinstance(call.exception(), UnavailableError)


def test_embedded_names_the_extra_when_the_gateway_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hndsr_gateway", None)
    with pytest.raises(EmbeddedNotInstalledError, match=r"pip install 'hndsr-client\[embedded\]'"):
        Client.embedded()
