"""A script that behaves as a gateway under `--managed` may: `fake_gateway.py BEHAVIOUR [MARKER [ADDRESS]]`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def announce(address: str) -> None:
    sys.stdout.write(json.dumps({"address": address}) + "\n")
    sys.stdout.flush()


def serve() -> None:
    """A whole service."""
    from hndsr_client.testing import FakeServer  # noqa: PLC0415  the other behaviours start faster without it

    with FakeServer() as server:
        announce(server.target)
        sys.stdin.read()


def held() -> None:
    """A service that announces a call and never answers it."""
    from hndsr_client.testing import FakeServer  # noqa: PLC0415  the other behaviours start faster without it

    with FakeServer() as server:
        server.delay_next(600)
        announce(server.target)
        server._servicer.received.wait()
        announce("called")
        sys.stdin.read()


def logging() -> None:
    """Log each line of the standard input, and announce that it was logged."""
    announce("127.0.0.1:1")
    for line in sys.stdin:
        sys.stderr.write(line)
        sys.stderr.flush()
        announce("logged")


def wait() -> None:
    """Announce an address, by default one of nobody, and leave a marker when the standard input closes."""
    announce(sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1:1")
    sys.stdin.read()
    Path(sys.argv[2]).write_text("stopped", encoding="utf-8")


def fail() -> None:
    """End before announcing anything."""
    sys.stderr.write("".join(f"line {number}\n" for number in range(100)))
    sys.exit(7)


def orphan() -> None:
    """End before announcing anything, while a child keeps the output open."""
    if os.fork() == 0:
        time.sleep(3)
    else:
        sys.exit(7)


def silent() -> None:
    """Never announce anything."""
    sys.stderr.write("still loading\n")
    sys.stderr.flush()
    sys.stdin.read()


def noisy() -> None:
    """Share the output with somebody who writes a lot."""
    noise = b"loading 1 of 2 {}\n[1]\n{}\nnull\n" * 10_000
    # An output of its own: the standard one, when unbuffered, drops what a pipe does not take at once.
    with os.fdopen(os.dup(1), "wb") as output:
        output.write(noise + b'{"address": "127.0.0.1:1"}\n' + noise)
    Path(sys.argv[2]).write_text("written", encoding="utf-8")
    sys.stdin.read()


def stubborn() -> None:
    """Mind neither the standard input nor a request to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    announce("127.0.0.1:1")
    while True:
        time.sleep(60)


def terminable() -> None:
    """Mind a request to end only."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    announce("127.0.0.1:1")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    behaviours = serve, held, logging, wait, fail, orphan, silent, noisy, stubborn, terminable
    {behaviour.__name__: behaviour for behaviour in behaviours}[sys.argv[1]]()
