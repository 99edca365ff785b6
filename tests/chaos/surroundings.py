"""What the gateway relies on beside Triton: the clock, and Redis."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from chaos.keys import bearer, new_key
from chaos.ports import free_port
from chaos.scenario import NEVER, Plot
from chaos.stage import Stage

from hndsr_client import Client, HndsrError, ServiceError

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
JUMPED_S = 4.0
"""How long a clock is wrong."""
HANGS_S, GONE_S, BACK_S = 4.0, 4.0, 10.0
KEYS = ("--expires", "12h")
"""What the key of the caller that the clock matters to is made with."""
LIMITS = {"HNDSR_REQUESTS_PER_MINUTE": "100000", "HNDSR_TARGET_PX_PER_HOUR": "1000000000"}
"""More than the callers take, so that something is counted."""
REFUSES = "UNAUTHENTICATED"


def missing_faketime() -> str:
    """What is missing to have clocks jump."""
    return "" if FAKETIME else "libfaketime (Debian and Ubuntu: apt-get install faketime)"


@contextlib.contextmanager
def jumping_clock(folder: Path) -> Iterator[Plot]:
    """A gateway and a Triton whose wall clock a file sets; the monotonic clock goes on, as on a real machine."""
    clock, keys = folder / "clock", folder / "keys.json"
    clock.write_text("+0\n")
    lasting, short = (new_key(keys, *more) for more in (("lasting",), ("short", *KEYS)))

    def act(stage: Stage) -> None:
        told = []
        for jump, expected in (("+1d", REFUSES), ("-1d", ""), ("+0", "")):
            clock.write_text(f"{jump}\n")
            time.sleep(JUMPED_S)
            told.append((jump, reason := _reason(stage.address, short)))
            if reason != expected:
                stage.faults.append(f"at {jump} a key that is good for 12 h got {reason or 'an answer'}")
        seen = ", ".join(f"{jump}: {reason or 'let in'}" for jump, reason in told)
        stage.notes.append(f"a key that is good for 12 h: {seen}")
        stage.mark()

    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "HNDSR_API_KEYS": str(keys),
        **LIMITS,
    }
    yield Plot(act, settings=environment, metadata=bearer(lasting), reasons=NEVER)


def _reason(address: str, key: str) -> str:
    """How a call with a key is refused; empty: it is answered."""
    try:
        with Client(address, retry=None, metadata=bearer(key), timeout_s=10.0) as client:
            client.info()
    except HndsrError as error:
        return error.reason if isinstance(error, ServiceError) else type(error).__name__
    return ""


def missing_redis() -> str:
    """What is missing to have a Redis."""
    return "" if shutil.which("redis-server") else "redis-server (Debian and Ubuntu: apt-get install redis-server)"


@contextlib.contextmanager
def redis_gone(folder: Path) -> Iterator[Plot]:
    """A gateway that counts in a Redis of its own, which hangs, dies, and comes back."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        server = _redis(stack, port, folder)

        def act(stage: Stage) -> None:
            server.send_signal(signal.SIGSTOP)
            time.sleep(HANGS_S)
            server.kill()
            time.sleep(GONE_S)
            _redis(stack, port, folder)
            stage.mark()
            back = "answers again"
            if stage.until(lambda: back in _messages(stage), timeout_s=BACK_S, fault="Redis is not used again"):
                stage.notes.append(f"Redis is used again {time.monotonic() - stage.fault_s:.1f} s after it is back")

        settings = {"HNDSR_REDIS_URL": f"redis://127.0.0.1:{port}/0", **LIMITS}
        yield Plot(act, settings=settings, reasons=NEVER)


def _redis(stack: contextlib.ExitStack, port: int, folder: Path) -> psutil.Popen:
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = psutil.Popen(command, stdout=subprocess.DEVNULL)
    stack.callback(server.wait)
    stack.callback(server.kill)
    return server


def _messages(stage: Stage) -> str:
    """What the gateway logged about Redis."""
    lines = stage.log.read_text(errors="replace").splitlines()
    found = (json.loads(line).get("message", "") for line in lines if "Redis" in line and line.startswith("{"))
    return "\n".join(found)
