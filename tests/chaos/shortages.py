"""Room that runs out: shared memory of a gateway, and the disk of a caller."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from chaos.round import CLIENT_PROGRAM
from chaos.scenario import NEVER, Plot
from chaos.stage import Stage
from in_process import scene
from oracle import upscale

from hndsr_client import Client, HndsrError, ServiceError

SHARED_MIB = 160
"""Shared memory of the gateway's own mount namespace."""
LARGE_PX = (700, 700)
OWN_MOUNTS = ("unshare", "--mount", "sh", "-c")
DISK = r"""
set -eu
folder=$1; shift
mount -t tmpfs -o size=1m tmpfs "$folder"
if "$@"; then exit 9; fi
mount -o remount,size=64m "$folder"
"$@"
cp "$folder/target.npy" "$folder.npy"
ls -A "$folder" | tr '\n' ' ' >"$folder.left"
"""


def missing_mounts() -> str:
    """What is missing to mount something where nobody else sees it."""
    tried = subprocess.run([*OWN_MOUNTS, "mount -t tmpfs tmpfs /dev/shm"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "a mount namespace (root)"


@contextlib.contextmanager
def full_shared_memory(_: Path) -> Iterator[Plot]:
    """A gateway with a /dev/shm of its own."""
    mount = f'mount -t tmpfs -o size={SHARED_MIB}m tmpfs /dev/shm && exec "$@"'
    yield Plot(_fill, wrapper=(*OWN_MOUNTS, mount, "sh"), reasons=NEVER)


def _fill(stage: Stage) -> None:
    """Nothing is left of it; what has its room goes on, and a larger tile than before finds none."""
    gateway = stage.gateway.process
    assert gateway
    filler = Path("/proc", str(gateway.pid), "root", "dev", "shm", "filler")
    with filler.open("wb") as file:
        free = os.fstatvfs(file.fileno())
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    stage.mark()
    stage.notes.append(f"an image of {LARGE_PX[0]} x {LARGE_PX[1]} px meanwhile: {_large(stage)}")
    filler.unlink()
    stage.notes.append(f"after it: {_large(stage)}")


def _large(stage: Stage) -> str:
    source = scene(LARGE_PX)
    with Client(stage.address, retry=None) as client:
        try:
            image = client.upscale(source, model="bicubic", scale="4", timeout_s=60.0).image
        except HndsrError as error:
            return error.reason if isinstance(error, ServiceError) else type(error).__name__
    if not np.array_equal(image, upscale(source, model="bicubic", scale="4").pixels):
        stage.faults.append("a large image is wrong")
        return "wrong"
    return "right"


def fill_disk(stage: Stage) -> None:
    """A caller's disk takes 1 MiB; then it has room, and the same call is made again."""
    source, disk = scene((300, 300)), stage.folder / "disk"
    disk.mkdir()
    np.save(stage.folder / "source.npy", source)
    command = [sys.executable, str(CLIENT_PROGRAM), stage.address, str(stage.folder / "source.npy")]
    command += [str(disk / "target.npy"), "--scale", "4"]
    ran = subprocess.run(
        [*OWN_MOUNTS, DISK, "sh", str(disk), *command], capture_output=True, text=True, check=False, timeout=120
    )
    errors = [line for line in ran.stderr.splitlines() if line.startswith("hndsr_client.")]
    told = errors[0].replace(f"{disk}/", "") if errors else ""
    stage.notes.append(f"the caller without room reads {told!r}")
    target = stage.folder / "disk.npy"
    if ran.returncode or not errors or "LocalFileError" not in errors[0]:
        stage.faults.append(f"exit status {ran.returncode}: {ran.stderr[-500:]}")
    elif not np.array_equal(np.load(target), upscale(source, model="bicubic", scale="4").pixels):
        stage.faults.append("the image of the caller without room is wrong")
    elif (left := (stage.folder / "disk.left").read_text().split()) != ["target.npy"]:
        stage.faults.append(f"left: {left}")
    else:
        stage.notes.append("the same call with room ends well")
    stage.mark()
