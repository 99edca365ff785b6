"""The server's command line and environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hndsr_gateway.triton.addresses import LOOPBACK, SOCKET_PORT, Addresses
from hndsr_gateway.triton.wheel import TritonWheel
from hndsr_gateway.triton.workspace import Workspace

RESTRICTED = "model-repository,shared-memory,logging,trace"
_KEY = "hndsr"


def control_headers(secret: str) -> dict[str, str]:
    """Metadata that the restricted protocols ask of every call."""
    return {f"triton-grpc-protocol-{_KEY}": secret}


@dataclass(frozen=True)
class ServerCommand:
    """Everything that makes one server."""

    wheel: TritonWheel
    workspace: Workspace
    addresses: Addresses
    secret: str
    """What callers of the restricted protocols have to know. It guards against mistakes, not against attacks: local
    users can read it in the list of processes, and who has it and reaches the server can map and unmap memory, so read
    and spoil tiles. What keeps them out is the folder of the socket. The control mode is `none`: no call can load or
    unload a model, with the secret or without."""
    exit_timeout_s: int

    def arguments(self) -> list[str]:
        """The command line: gRPC on a socket, metrics on loopback, no other service, models fixed at the start."""
        options = {
            "model-repository": self.workspace.models,
            "backend-directory": self.workspace.backends,
            "model-control-mode": "none",
            "exit-on-error": "true",
            "strict-readiness": "true",
            "exit-timeout-secs": self.exit_timeout_s,
            "allow-http": "false",
            "allow-sagemaker": "false",
            "allow-vertex-ai": "false",
            "grpc-address": self.addresses.host,
            "grpc-port": SOCKET_PORT,
            "grpc-restricted-protocol": f"{RESTRICTED}:{_KEY}={self.secret}",
            "metrics-address": LOOPBACK,
            "metrics-port": self.addresses.metrics_port,
            "metrics-interval-ms": 500,  # a stop waits for the collector to wake up
            "backend-config": f"python,shm-region-prefix-name={self.workspace.name}_",
        }
        # Completing configurations would import every model a second time, in a process of its own.
        return [
            str(self.wheel.server),
            "--disable-auto-complete-config",
            *(f"--{name}={value}" for name, value in options.items()),
        ]


def server_environment(
    inherited: Mapping[str, str],
    *,
    libraries: Sequence[Path],
    python_path: Sequence[Path],
    extra: Mapping[str, str],
) -> dict[str, str]:
    """Variables of the server and its model processes: the inherited ones without Python's own, and `extra` above them.

    A model process takes its standard library and its virtual environment from the first `python3` on PATH, so that has
    to be the one beside the running interpreter.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("PYTHON")}
    return {
        **kept,
        "PATH": _joined([_programs(), kept.get("PATH"), os.defpath]),
        "LD_LIBRARY_PATH": _joined([*libraries, kept.get("LD_LIBRARY_PATH")]),
        "HNDSR_SITE_PACKAGES": _joined(python_path),
        **extra,
    }


def _programs() -> Path:
    beside = Path(sys.executable).parent
    return beside if (beside / "python3").exists() else Path(sys.base_prefix) / "bin"


def _joined(parts: Sequence[Path | str | None]) -> str:
    return os.pathsep.join(str(part) for part in parts if part)
