"""The command `hndsr-gateway`: what it refuses to start with, and how it says so."""

from __future__ import annotations

import socket
from importlib.metadata import version

import pytest
from pydantic import ValidationError

from hndsr_gateway.__main__ import EXIT_CONFIGURATION, EXIT_STARTUP, main
from hndsr_gateway.settings import Settings

NOBODY = "127.0.0.1:1"
"""An address where no Triton listens."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Its arguments and environment; what it should refuse and does not, it cannot start with either."""
    monkeypatch.setattr("sys.argv", ["hndsr-gateway"])
    for name, value in {"TRITON_ENDPOINTS": NOBODY, "LISTEN": "127.0.0.1:0", "STARTUP_TIMEOUT_S": "0.2"}.items():
        monkeypatch.setenv(f"HNDSR_{name}", value)
    return monkeypatch


def exit_code() -> object:
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_main_refuses_a_misspelt_setting_by_name(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.setenv("HNDSR_LISTN", "127.0.0.1:0")
    assert (exit_code(), "HNDSR_LISTN" in capsys.readouterr().err) == (EXIT_CONFIGURATION, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HNDSR_MAX_SOURCE_PX", "many"),
        ("HNDSR_MAX_SOURCE_PX", "0"),
        ("HNDSR_TILE_TIME_S", "0"),
        ("HNDSR_MAX_MESSAGE_BYTES", str(2**31)),
        ("HNDSR_LOG_LEVEL", "LOUD"),
        ("HNDSR_TILE_TIME_S", "inf"),
    ],
)
def test_main_refuses_a_wrong_setting_by_name(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    command.setenv(name, value)
    assert (exit_code(), name in capsys.readouterr().err) == (EXIT_CONFIGURATION, True)


def test_main_names_all_wrong_settings(command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("HNDSR_MAX_SOURCE_PX", "HNDSR_TILE_TIME_S"):
        command.setenv(name, "-1")
    exit_code()
    error = capsys.readouterr().err
    assert ("HNDSR_MAX_SOURCE_PX" in error, "HNDSR_TILE_TIME_S" in error) == (True, True)


def test_main_says_all_that_is_wrong_a_line_each(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"LISTN": "", "MAX_SOURCE_PX": "-1", "TLS_KEY": "key.pem"}.items():
        command.setenv(f"HNDSR_{name}", value)
    exit_code()
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("hndsr-gateway: error: ") for line in lines] == [True] * 3


def test_main_says_that_it_cannot_start_when_no_triton_answers(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (exit_code(), "HNDSR_STARTUP_TIMEOUT_S" in capsys.readouterr().err) == (EXIT_STARTUP, True)


def test_main_says_that_it_cannot_start_when_its_address_is_none(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.setattr("sys.argv", ["hndsr-gateway", "--listen", "no.such.host.invalid:1"])
    command.setenv("HNDSR_INSECURE", "plaintext,anonymous")
    assert (exit_code(), "HNDSR_LISTEN" in capsys.readouterr().err) == (EXIT_STARTUP, True)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HNDSR_LISTEN", "abc", "is 'abc': it should be HOST:PORT\n"),
        ("HNDSR_TRITON_ENDPOINTS", "a:1,b", "is 'a:1,b': it should be HOST:PORT, dns:HOST:PORT or unix:PATH, or"),
        ("HNDSR_IMAGE_WORKERS", "100000", "equal to 64"),
    ],
)
def test_main_says_what_a_setting_should_be(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    command.setenv(name, value)
    assert (exit_code(), said in capsys.readouterr().err) == (EXIT_CONFIGURATION, True)


@pytest.mark.parametrize(
    "written",
    [
        *("abc", "a", "a:", ":1", "a:x", "a:65536", "a:1,", ",a:1", "a:1,,b:1", "a:1 b:1", "dns:a", "dns:a:b:1"),
        *("unix:a", "unix:/", "unix:/a b", "unix:/a%20b", "dns:unix:/a", f"unix:/{'a' * 107}"),
    ],
)
def test_triton_endpoints_are_refused_when_one_is_no_address(written: str) -> None:
    with pytest.raises(ValidationError, match="triton_endpoints"):
        Settings(triton_endpoints=written)


@pytest.mark.parametrize(
    ("written", "addresses"),
    [
        ("", ()),
        ("triton:8001", ("triton:8001",)),
        ("10.0.0.1:8001, [::1]:8001 ,b:1", ("10.0.0.1:8001", "[::1]:8001", "b:1")),
        ("dns:triton.ml.svc:8001,c:1", ("dns:triton.ml.svc:8001", "c:1")),
        ("unix:/run/triton/grpc:8001, c:1", ("unix:/run/triton/grpc:8001", "c:1")),
    ],
)
def test_triton_endpoints_are_a_list(written: str, addresses: tuple[str, ...]) -> None:
    assert Settings(triton_endpoints=written).triton_addresses == addresses


def test_main_says_that_its_address_is_in_use_before_it_asks_for_the_models(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        command.setenv("HNDSR_LISTEN", f"127.0.0.1:{bound.getsockname()[1]}")
        assert (exit_code(), "in use" in capsys.readouterr().err) == (EXIT_STARTUP, True)


def test_main_help_lists_every_setting(command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command.setattr("sys.argv", ["hndsr-gateway", "--help"])
    exit_code()
    shown = capsys.readouterr().out
    assert [name for name in Settings.model_fields if f"HNDSR_{name.upper()}=" not in shown] == []


def test_main_says_its_version(command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command.setattr("sys.argv", ["hndsr-gateway", "--version"])
    exit_code()
    assert capsys.readouterr().out.strip() == version("hndsr")
