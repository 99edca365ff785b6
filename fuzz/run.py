"""Feeds targets with inputs for so many minutes each, and keeps those that do what none may do."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from finding import signature

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, tuple[str, ...]] = {
    "image_files": ("hndsr_gateway", "PIL"),
    "rpc_messages": ("hndsr_gateway",),
    "stream_protocol": ("hndsr_gateway",),
    "connection_bytes": ("connection_bytes",),
    "raster_headers": ("hndsr_client", "rasterio"),
}
"""The packages of each whose code is watched: new inputs are made from those that reached more of it."""
KEPT = ROOT / "tests" / "corpus" / "fuzz"
TIMEOUT_S = 30
"""How long one input may take before its process is ended."""
RSS_MIB = 3072
MOST_ENDS = 50
"""Processes that may die before a target is given up."""


class Target(Protocol):
    """What the modules of this folder are."""

    MAX_BYTES: int
    TOKENS: tuple[bytes, ...]

    def seeds(self) -> list[bytes]:
        """Inputs to begin with."""

    def check(self, content: bytes) -> None:
        """Try one input; whatever is raised is a finding."""


def main() -> None:
    """Do what the command line asks for; exits with 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--into", type=Path, default=ROOT / "out" / "fuzz", help="folder of what is tried and found")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := sorted(set(asked.targets) - TARGETS.keys()):
        parser.error(f"unknown: {', '.join(unknown)}")
    if asked.alone:
        fuzz(asked.targets[0], asked.into.resolve(), seconds=round(60 * asked.minutes))
        return
    found = [path for name in asked.targets or TARGETS for path in watched(name, asked.into, minutes=asked.minutes)]
    sys.exit(bool(found))


def watched(name: str, into: Path, *, minutes: float) -> list[Path]:
    """Run a target in a process of its own, in another whenever one dies; the inputs that it found, now or before."""
    findings = into / name / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + 60 * minutes
    with (into / name / "log.txt").open("wb") as log:
        for _ in range(MOST_ENDS):
            left = (end_s - time.monotonic()) / 60
            if left <= 0:
                break
            command = [sys.executable, __file__, name, "--alone", "--minutes", f"{left}", "--into", str(into)]
            subprocess.run(command, check=False, stdout=log, stderr=log)
    found = sorted(path for path in findings.iterdir() if path.suffix != ".txt")
    print(f"{name}: {len(found)} findings, {len(list((into / name / 'tried').iterdir()))} inputs that reach more code")
    print("".join(f"  {path}\n" for path in found), end="")
    return found


def fuzz(name: str, into: Path, *, seconds: int) -> None:
    """Feed a target in this process, guided by which of its code is reached, until the time is over or it dies."""
    import atheris  # noqa: PLC0415 - only who fuzzes has it

    with atheris.instrument_imports(include=list(TARGETS[name]), enable_loader_override=False):
        target: Target = importlib.import_module(name)  # type: ignore[assignment]
    logging.getLogger("hndsr_gateway").setLevel(logging.CRITICAL)
    folder = into / name
    tried = folder / "tried"
    tried.mkdir(parents=True, exist_ok=True)
    for content in target.seeds():
        (tried / hashlib.sha256(content).hexdigest()[:40]).write_bytes(content)
    (folder / "tokens").write_text("".join(f'"{_escaped(token)}"\n' for token in target.TOKENS))
    options = {
        "max_total_time": max(1, seconds),
        "timeout": TIMEOUT_S,
        "report_slow_units": TIMEOUT_S,
        "rss_limit_mb": RSS_MIB,
        "max_len": target.MAX_BYTES,
        "dict": folder / "tokens",
        "artifact_prefix": f"{folder / 'findings'}/",
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    kept = [str(KEPT / name)] if (KEPT / name).is_dir() else []
    mutated = {"custom_mutator": target.mutated} if hasattr(target, "mutated") else {}
    atheris.Setup([sys.argv[0], *arguments, str(tried), *kept], _recorded(target, folder / "findings"), **mutated)
    atheris.Fuzz()


def _recorded(target: Target, findings: Path) -> Callable[[bytes], None]:
    """A target that keeps one input of each kind of failure and goes on."""

    def check(content: bytes) -> None:
        try:
            target.check(content)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is found
            path = findings / signature(error)
            if not path.exists() or len(content) < path.stat().st_size:
                path.write_bytes(content)
                path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))

    return check


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
