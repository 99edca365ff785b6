"""Whether there is room for what is to be written."""

from __future__ import annotations

import os
from pathlib import Path

from hndsr_client._stream.journal import local
from hndsr_client.errors import LocalFileError


def free_bytes(folder: Path) -> int:
    """What may still be written to a file system.

    Raises:
        LocalFileError: There is no such folder.
    """
    with local(folder):
        system = os.statvfs(folder)
        return system.f_bavail * system.f_frsize


def check_space(*, target: Path, target_bytes: int, work: Path, work_bytes: int) -> None:
    """Refuse what would fill the disk.

    Raises:
        LocalFileError: It would; the numbers are said.
    """
    with local(target):
        shared = target.parent.stat().st_dev == work.parent.stat().st_dev
    if shared:
        work_bytes, target_bytes = 0, target_bytes + work_bytes
    for path, needed in ((work, work_bytes), (target, target_bytes)):
        free = free_bytes(path.parent)
        if needed > free:
            raise LocalFileError(
                path=path,
                problem=f"takes about {_gigabytes(needed)} until it is whole, {_gigabytes(free)} are free on its disk",
            )


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.3g} GB"
