"""Only the edges of the gateway know a transport; `make lint` checks the direction between its layers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hndsr_gateway

PACKAGE = Path(hndsr_gateway.__file__).parent
EDGES = {
    *("__main__", "server", "servicer", "interceptors", "monitor", "convert", "convert_stream", "status"),
    *("access", "receiving", "untaken", "http2"),
}
"""Modules that speak gRPC or the contract's messages to callers; `triton` speaks them to Triton."""

INNER = sorted({path.stem for path in PACKAGE.glob("*.py")} - EDGES)
TRANSPORT = {"google", "grpc", "grpc_health", "grpc_reflection", "tritonclient"}
TRITON = sorted(path.stem for path in (PACKAGE / "triton").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, with all its parents."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}


@pytest.mark.parametrize("module", INNER)
def test_layer_knows_no_transport(module: str) -> None:
    assert imported(PACKAGE / f"{module}.py") & {*TRANSPORT, "hndsr"} == set()


@pytest.mark.parametrize("module", TRITON)
def test_triton_layer_knows_nothing_of_callers(module: str) -> None:
    assert imported(PACKAGE / "triton" / f"{module}.py") & {"hndsr", "hndsr_gateway.settings"} == set()


def test_environment_is_read_by_the_settings_alone() -> None:
    reading = {path.stem for path in PACKAGE.glob("*.py") if "os" in imported(path)}
    assert reading <= {"__init__", "__main__"}
