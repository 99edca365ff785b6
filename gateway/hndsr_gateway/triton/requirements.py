"""What the embedded Triton needs of the machine and of the Python it shares, checked before anything starts."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from hndsr_gateway.triton.errors import NumpyVersionError, SharedMemoryTooSmallError, UnsupportedPlatformError

OLDEST_GLIBC = (2, 35)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - not a temporary file: where Triton and its models exchange tensors
REGION_STEP_BYTES = 2**20
"""Sizes of regions that tiles travel through are multiples of this, so that tiles of about one size share a region."""
MODEL_PROCESS_BYTES = 8 * 2**20
"""What a model process holds in shared memory beside a tile: its queues, a window's tensors, and room to grow."""


@dataclass(frozen=True)
class SharedMemoryNeeds:
    """What has to fit into shared memory at once, at most."""

    tile_bytes: int
    """Source and target of the largest tile."""
    instances: int
    """Of the tiling model: each keeps copies of the source and the target that it had last."""
    model_processes: int
    """Of all models, those instances included."""
    regions: int
    """That tiles travel through; 0 where they go by gRPC."""

    @property
    def regions_bytes(self) -> int:
        """The regions' part, which `RegionPool` is to be given as its bound."""
        rounded_bytes = -(-self.tile_bytes // REGION_STEP_BYTES) * REGION_STEP_BYTES
        return self.regions * (rounded_bytes + REGION_STEP_BYTES)

    @property
    def models_bytes(self) -> int:
        """The models' part, without which nothing works."""
        return self.instances * self.tile_bytes + self.model_processes * MODEL_PROCESS_BYTES

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.models_bytes + self.regions_bytes


@dataclass(frozen=True)
class Machine:
    """What decides whether the server's binaries run."""

    system: str
    architecture: str
    libc: str
    """Name and version as `glibc 2.36`; empty when it is not the GNU library."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.system, self.architecture, self.libc or "without glibc")))


def this_machine() -> Machine:
    """The machine this runs on."""
    return Machine(system=platform.system(), architecture=platform.machine(), libc=_gnu_libc())


def _gnu_libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # musl and macOS know no such name
        return ""


def check_machine(machine: Machine) -> None:
    """Accept machines that run the server.

    Raises:
        UnsupportedPlatformError: not Linux, not x86-64, or a C library that is older or another.
    """
    version = re.match(r"glibc (\d+)\.(\d+)", machine.libc)
    recent = version is not None and (int(version[1]), int(version[2])) >= OLDEST_GLIBC
    if not (machine.system == "Linux" and machine.architecture == "x86_64" and recent):
        raise UnsupportedPlatformError(found=str(machine))


def installed_numpy() -> str:
    """Version of the NumPy that the models will import."""
    return importlib.metadata.version("numpy")


def check_numpy(version: str) -> None:
    """Accept NumPy 1.

    Raises:
        NumpyVersionError: with NumPy 2 tensors arrive wrong or empty, without any error.
    """
    if int(version.partition(".")[0]) >= 2:
        raise NumpyVersionError(version=version)


def free_shared_memory_bytes() -> int:
    """Bytes that can still be written to /dev/shm."""
    status = os.statvfs(SHARED_MEMORY)
    return status.f_bavail * status.f_frsize


def check_shared_memory(*, required_bytes: int, available_bytes: int) -> None:
    """Accept a shared memory that holds the tensors of all model processes.

    Raises:
        SharedMemoryTooSmallError: fewer bytes are free than required.
    """
    if available_bytes < required_bytes:
        raise SharedMemoryTooSmallError(required_bytes=required_bytes, available_bytes=available_bytes)
