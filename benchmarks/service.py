"""The service as it is started by default, its processes, and images that none of its caches has seen."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psutil

from hndsr_client.embedded import EmbeddedGateway
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_ensemble.scale import Scale

SCALE = 4
GATEWAY = (sys.executable, "-m", "hndsr_gateway", "--managed", "--listen", "127.0.0.1:0")
ROLES = {
    "triton_python_backend_stub": "models",
    "tritonserver": "Triton",
    "hndsr_gateway.images.worker": "image workers",
    "guard.py": "Triton's guard",
    "hndsr_gateway": "gateway",
}
"""What a word of its command line says of a process; the first that fits."""


@dataclass(frozen=True)
class Service:
    """A gateway with its Triton."""

    address: str
    triton_address: str


@contextlib.contextmanager
def running_service(**environment: str) -> Iterator[Service]:
    """A service of its own, ready, with these variables (`HNDSR_…`) above the inherited ones."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    with EmbeddedGateway(command=("env", *variables, *GATEWAY)) as gateway:
        yield Service(gateway.address, f"{_triton_option('grpc-address')}:{_triton_option('grpc-port')}")


def _triton_option(name: str) -> str:
    return next(
        argument.removeprefix(f"--{name}=")
        for process in psutil.Process().children(recursive=True)
        for argument in _command(process)
        if argument.startswith(f"--{name}=")
    )


def memory_mib() -> dict[str, float]:
    """Proportional memory of what this process started, by role; shared pages are counted once."""
    roles = dict.fromkeys([*ROLES.values(), "others"], 0.0)
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(_command(process))
            role = next((role for word, role in ROLES.items() if word in line), "others")
            roles[role] += process.memory_full_info().pss / 2**20
    return {**{role: mib for role, mib in roles.items() if mib}, "all": sum(roles.values())}


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def noise(side_px: int, seed: int) -> np.ndarray:
    """A source of noise: no two seeds and no two windows are alike."""
    return np.random.default_rng((seed, side_px)).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def source_side(megapixels: float) -> int:
    """The side of a square source whose target at scale 4 has so many megapixels of 2²⁰ px."""
    return round((megapixels * 2**20) ** 0.5) // SCALE


def axis_of(side_px: int, scale: Scale | None = None) -> Axis:
    """An axis of a square source as the model `hndsr` cuts it, at scale 4 unless another is given."""
    return Axis(side_px, scale or Scale(SCALE, 1), read_manifests(model_repository())["hndsr"].geometry)
