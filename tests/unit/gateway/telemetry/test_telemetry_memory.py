"""How much memory there is, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hndsr_gateway.telemetry.memory import Memory, memory_bytes

MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    400 kB\n"
VERSION_2 = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat")
VERSION_1 = (
    "sys/fs/cgroup/memory/memory.limit_in_bytes",
    "sys/fs/cgroup/memory/memory.usage_in_bytes",
    "sys/fs/cgroup/memory/memory.stat",
)


def written(root: Path, **files: str) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("names", "dropped"), [(VERSION_2, "inactive_file"), (VERSION_1, "total_inactive_file")], ids=["v2", "v1"]
)
def test_memory_is_the_control_groups(tmp_path: Path, names: tuple[str, ...], dropped: str) -> None:
    texts = ("500000\n", "300000\n", f"anon 1\n{dropped} 50000\n")
    assert memory_bytes(written(tmp_path, **dict(zip(names, texts, strict=True)))) == Memory(250_000, 500_000)


@pytest.mark.parametrize("limit", ["max\n", "9223372036854771712\n"])
def test_memory_is_the_machines_where_the_group_has_no_limit(tmp_path: Path, limit: str) -> None:
    root = written(tmp_path, **{VERSION_2[0]: limit, VERSION_2[1]: "300000\n"})
    assert memory_bytes(root) == Memory(600 * 1024, 1000 * 1024)


def test_memory_is_the_machines_where_there_are_no_groups(tmp_path: Path) -> None:
    assert memory_bytes(written(tmp_path)) == Memory(600 * 1024, 1000 * 1024)
