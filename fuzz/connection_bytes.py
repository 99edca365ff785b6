"""Whatever bytes a stranger may send down a connection, to a gateway in a process of its own, which must serve on."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import random
import socket
import struct
import subprocess
import sys
from pathlib import Path

import grpc
import psutil
from finding import FindingError
from in_process import raw, request, scene
from streams import start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc as pb_grpc

SERVE = Path(__file__).with_name("serve.py")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PLAIN = ((b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b"te", b"trailers"))
MAX_BYTES = 4096
TOKENS = (*(name for name, _ in PLAIN), b":path", b"content-type", b"grpc-timeout", b"grpc-encoding", b"gzip")
QUIET_S = 0.02
"""How long an answer may pause before the connection is given up."""
LONGEST_S = 10.0
"""How long a good request may take beside it."""
EVERY, WARM = 500, 2000
"""Inputs between two looks at the memory, and before the first."""
GROWTH_BYTES = 96 * 2**20


def seeds() -> list[bytes]:
    """Connections of a few frames, sound ones and such as end what they began."""
    pixels = scene((5, 7))
    plan = pb.Plan(row_spans=[pb.Span(source_stop_px=5)], column_spans=[pb.Span(source_stop_px=7)])
    image = request(raw(pixels), scale="2")
    stream = [start(pixels), *strips(plan, (0, 0), pixels, rows=3)]
    calls = {
        "GetModelInfo": [pb.GetModelInfoRequest()],
        "PlanUpscale": [pb.PlanUpscaleRequest(source_height_px=9, source_width_px=9)],
        "Upscale": [image],
        "UpscaleStream": stream,
        "Compare": [pb.CompareRequest()],
    }
    begun = PREFACE + frame(SETTINGS)
    tails = [frame(PING, bytes(8)), frame(RESET, bytes(4), stream=1), frame(GOAWAY, bytes(8)), b""]
    return [
        begun + called(f"/hndsr.v1.UpscaleService/{name}".encode(), [each.SerializeToString() for each in sent]) + tail
        for (name, sent), tail in itertools.product(calls.items(), tails)
    ]


def mutated(_: bytes, most_bytes: int, seed: int) -> bytes:
    """A sound connection with some changes: which code an input reaches in another process nobody knows."""
    rng = random.Random(seed)  # noqa: S311 - it hides nothing
    content = bytearray(rng.choice(_SOUND))
    for _change in range(rng.choice((1, 1, 2, 3, 5, 10, 30))):
        at, kind = rng.randrange(len(PREFACE), len(content)), rng.random()
        if kind < 0.6:
            content[at] ^= 1 << rng.randrange(8)
        elif kind < 0.75:
            content[at] = rng.choice((0, 1, 127, 128, 255))
        elif kind < 0.85:
            content[at : at + 1] = rng.choice(TOKENS)
        elif kind < 0.95:
            content[at:at] = content[at : at + rng.randrange(1, 40)]
        else:
            del content[at + 1 :]
    return bytes(content[:most_bytes])


def called(path: bytes, messages: list[bytes]) -> bytes:
    """A call's frames, on stream 1."""
    fields = (*PLAIN, (b":path", path), (b"content-type", b"application/grpc"))
    block = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields)
    content = b"".join(b"\0" + struct.pack(">I", len(each)) + each for each in messages)
    return frame(HEADERS, block, flags=END_HEADERS, stream=1) + frame(DATA, content, flags=END_STREAM, stream=1)


def frame(kind: int, content: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """An HTTP/2 frame."""
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


def check(content: bytes) -> None:
    """Send it down a connection, and see whether others are served as before.

    Raises:
        FindingError: if they are not.
    """
    gateway = _gateway()
    try:
        gateway.send(content)
        gateway.check()
    except FindingError:
        close()
        raise


def close() -> None:
    """End the gateway, if there is one; the next input gets another."""
    if _gateway.cache_info().currsize:
        _gateway().close()
        _gateway.cache_clear()


class _Gateway:
    """The process, and a channel of somebody who does nothing wrong."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SERVE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._address = self._process.stdout.readline().decode().strip()
        self._channel = grpc.insecure_channel(self._address)
        self._stub = pb_grpc.UpscaleServiceStub(self._channel)
        self._count, self._base_bytes = 0, 0
        atexit.register(self.close)

    def send(self, content: bytes) -> None:
        host, _, port = self._address.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=LONGEST_S) as connection:
            connection.settimeout(QUIET_S)
            connection.sendall(content)
            while connection.recv(65_536):
                pass

    def check(self) -> None:
        try:
            self._stub.GetModelInfo(pb.GetModelInfoRequest(), timeout=LONGEST_S)
        except grpc.RpcError as error:
            died = self._process.poll()
            how = "serves no more" if died is None else f"died with {died}"
            raise FindingError(f"the gateway {how}: {error.code().name}") from error
        self._count += 1
        if self._count % EVERY == 0:
            self._check_memory()

    def _check_memory(self) -> None:
        now_bytes = psutil.Process(self._process.pid).memory_info().rss
        if self._count <= WARM:
            self._base_bytes = now_bytes
        elif now_bytes > self._base_bytes + GROWTH_BYTES:
            raise FindingError(f"memory grew from {self._base_bytes:,} to {now_bytes:,} bytes")

    def close(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.communicate()


@functools.cache
def _gateway() -> _Gateway:
    return _Gateway()


_SOUND = seeds()
