"""From `git clone` to the demo's table, and how much is installed."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


def measure() -> dict[str, Any]:
    """Clone this checkout's last commit into an empty folder and run `make demo` there, with nothing cached."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="hndsr-install-") as folder:
        clone = Path(folder) / "clone"
        start = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)  # noqa: S607
        environment = {**os.environ, "PIP_NO_CACHE_DIR": "1"}
        subprocess.run(["make", "demo"], cwd=clone, check=True, env=environment)  # noqa: S607
        seconds = time.perf_counter() - start
        return {"clone_to_table_s": seconds, "venv_mib": _size_mib(clone / ".venv")}


def _size_mib(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 2**20
