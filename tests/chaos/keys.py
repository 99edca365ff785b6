"""API keys, made as a person makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def new_key(file: Path, name: str, *options: str) -> str:
    """A key that was added to a file."""
    command = [sys.executable, "-m", "hndsr_gateway", "keys", "create", name, "--file", str(file), *options]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return next(word for word in ran.stdout.split() if word.startswith("hndsr_"))


def bearer(key: str) -> dict[str, str]:
    """What goes with the calls of who has it."""
    return {"authorization": f"Bearer {key}"}
