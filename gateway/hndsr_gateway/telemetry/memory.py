"""How much memory the gateway may have together with what runs beside it, and how much of that is taken.

Source: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst; what is used and cannot be dropped is
counted as Kubernetes counts a container's working set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")


class Memory(NamedTuple):
    """In bytes."""

    used: int
    limit: int


def memory_bytes(root: Path = ROOT) -> Memory:
    """Of the control group if it has a limit, else of the machine.

    Args:
        root: below which `proc` and `sys` lie.
    """
    machine = _table(root / "proc/meminfo")
    whole, free = (machine.get(name, 0) * 1024 for name in ("MemTotal:", "MemAvailable:"))
    groups = root / "sys/fs/cgroup"
    for limit, used, dropped in (
        (groups / "memory.max", groups / "memory.current", "inactive_file"),
        (groups / "memory/memory.limit_in_bytes", groups / "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit_bytes = _number(limit)
        if limit_bytes is not None and limit_bytes < whole:
            cache = _table(limit.with_name("memory.stat")).get(dropped, 0)
            return Memory(max(0, (_number(used) or 0) - cache), limit_bytes)
    return Memory(whole - free, whole)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _table(path: Path) -> Mapping[str, int]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, value, *_ in map(str.split, lines) if value.isdigit()}
