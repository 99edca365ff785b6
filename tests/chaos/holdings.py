"""What a gateway and all below it hold: processes, file descriptors, shared memory, memory."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from hndsr_gateway.triton import guard

MIB = 2**20
GATEWAY, GUARD, TRITON, MODEL, IMAGES = "gateway", "guard", "Triton", "models", "image workers"
KINDS = (GATEWAY, TRITON, MODEL, IMAGES)
"""Whose memory is told."""


@dataclass(frozen=True)
class Holdings:
    """At one moment."""

    processes: int
    descriptors: dict[str, int]
    """Open files and sockets, by kind of process."""
    memory_mib: dict[str, float]
    """What belongs to its processes alone, by kind."""
    regions: int
    """Files in /dev/shm that belong to them."""
    regions_mib: float
    files: int
    """In the folder for temporary files that they have to themselves."""


def holdings(gateway: psutil.Process, scratch: Path) -> Holdings:
    """What they hold now.

    Args:
        gateway: the topmost process.
        scratch: the folder for temporary files that it and all below have to themselves.
    """
    gc.collect()
    descriptors, memory, count = Counter[str](), Counter[str](), 0
    for process in (gateway, *gateway.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            kind = _kind(process, gateway)
            descriptors[kind] += process.num_fds()
            memory[kind] += process.memory_full_info().uss / MIB
            count += 1
    names = [path.name for path in scratch.glob("hndsr_*")]
    own = [f"_{pid}_" for pid in (gateway.pid, *(child.pid for child in gateway.children(recursive=True)))]
    regions = [
        path
        for path in guard.SHARED_MEMORY.glob("hndsr_*")
        if any(name in path.name for name in names) or any(mark in path.name for mark in own)
    ]
    held = sum(path.stat().st_blocks * 512 for path in regions) / MIB
    files = sum(1 for _ in scratch.rglob("*"))
    rounded = {kind: round(mib, 1) for kind, mib in memory.items()}
    return Holdings(count, dict(descriptors), rounded, len(regions), round(held, 1), files)


def _kind(process: psutil.Process, gateway: psutil.Process) -> str:
    name = process.name()
    if process == gateway:
        return GATEWAY
    if name.startswith("tritonserver"):
        return TRITON
    if name.startswith(guard.STUB[:15]):
        return MODEL
    return GUARD if "guard.py" in " ".join(process.cmdline()) else IMAGES
