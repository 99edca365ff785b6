"""The server's command line and environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hndsr_gateway.triton.addresses import Addresses
from hndsr_gateway.triton.command import ServerCommand, control_headers, server_environment
from hndsr_gateway.triton.wheel import TritonWheel
from hndsr_gateway.triton.workspace import Workspace

HERE = Path("/here")


@pytest.fixture
def arguments() -> list[str]:
    """A command line."""
    return ServerCommand(
        wheel=TritonWheel(server=HERE / "tritonserver", backend=HERE, stub=HERE, libraries=HERE),
        workspace=Workspace(HERE / "hndsr_name"),
        addresses=Addresses(HERE / "sockets", metrics_port=2),
        secret="word",  # noqa: S106 - of no server
        exit_timeout_s=3,
    ).arguments()


def environment(**inherited: str) -> dict[str, str]:
    return server_environment(inherited, libraries=[HERE], python_path=[HERE, HERE / "two"], extra={"MINE": "1"})


@pytest.mark.parametrize(
    "option",
    [
        "--allow-http=false",
        "--grpc-address=unix:/here/sockets/grpc",
        "--metrics-address=127.0.0.1",
        "--model-control-mode=none",
        "--exit-timeout-secs=3",
        "--backend-config=python,shm-region-prefix-name=hndsr_name_",
        "--grpc-restricted-protocol=model-repository,shared-memory,logging,trace:hndsr=word",
    ],
)
def test_arguments_close_what_nobody_needs(arguments: list[str], option: str) -> None:
    assert option in arguments


def test_control_headers_carry_the_secret_under_the_name_that_the_server_expects() -> None:
    assert control_headers("word") == {"triton-grpc-protocol-hndsr": "word"}


def test_environment_puts_this_python_first_and_keeps_the_systems_programs() -> None:
    first, *_, last = environment(PATH="/usr/games")["PATH"].split(":")
    assert (first, last) == (str(Path(sys.executable).parent), "/usr/bin")


@pytest.mark.parametrize(("inherited", "expected"), [({}, "/here"), ({"LD_LIBRARY_PATH": "/cuda"}, "/here:/cuda")])
def test_environment_keeps_inherited_libraries_behind_its_own(inherited: dict[str, str], expected: str) -> None:
    assert environment(**inherited)["LD_LIBRARY_PATH"] == expected


def test_environment_tells_models_where_packages_are() -> None:
    assert environment()["HNDSR_SITE_PACKAGES"] == "/here:/here/two"


def test_environment_drops_what_would_lead_python_astray() -> None:
    assert "PYTHONHOME" not in environment(PYTHONHOME="/elsewhere")


def test_environment_adds_the_callers_variables_above_the_inherited() -> None:
    assert environment(MINE="0")["MINE"] == "1"
