"""A TCP proxy on which connections suffer: where they do so is drawn from a seed, not from how bytes come in chunks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count

CHUNK_BYTES = 2**14
MIB = 2**20
CUT, HALF_CLOSE, FLIP = "cut", "half_close", "flip"


@dataclass(frozen=True)
class Faults:
    """What goes wrong on the way, in each direction of each connection, on average."""

    delay_s: float = 0.0
    """The longest that a chunk is held back."""
    cuts_per_mib: float = 0.0
    """Both directions end, in the middle of whatever is being said."""
    half_closes_per_mib: float = 0.0
    """One direction ends, the other goes on."""
    flips_per_mib: float = 0.0
    """One bit turns."""

    def rate(self, kind: str) -> float:
        """Of one kind, per byte."""
        return {CUT: self.cuts_per_mib, HALF_CLOSE: self.half_closes_per_mib, FLIP: self.flips_per_mib}[kind] / MIB


class CutError(ConnectionError):
    """A connection that was cut on purpose."""


class Proxy:
    """Passes connections on to an address.

    Args:
        target: `HOST:PORT` of the server.
        faults: what happens to its connections.
        seed: of where it happens.
    """

    def __init__(self, target: str, faults: Faults, *, seed: int) -> None:
        self._target, self._faults, self._seed = target, faults, seed
        self._numbers = count()
        self._connections: set[asyncio.Task[None]] = set()
        self.happened: Counter[str] = Counter()
        """How often each kind of fault has happened."""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._pass_on(reader, writer)
        finally:
            writer.transport.abort()
            self._connections.discard(task)

    async def close(self) -> None:
        """End all connections."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        number = next(self._numbers)
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        ways = [
            asyncio.create_task(self._pump(reader, server_writer, f"{number}/up")),
            asyncio.create_task(self._pump(server_reader, writer, f"{number}/down")),
        ]
        try:
            await asyncio.gather(*ways)
        finally:
            server_writer.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        generator = random.Random(f"{self._seed}/{name}")  # noqa: S311 - to be drawn again, not to be kept secret
        way = _Way(self._faults, generator)
        while chunk := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(generator.uniform(0, self._faults.delay_s))
            for piece, fault in way.pieces(chunk):
                self.happened.update([fault] if fault else [])
                writer.write(piece)
                await writer.drain()
                if fault == CUT:
                    raise CutError
                if fault == HALF_CLOSE:
                    writer.write_eof()
                    return
        writer.write_eof()


class _Way:
    """One direction of a connection, with the places at which something happens to it."""

    def __init__(self, faults: Faults, generator: random.Random) -> None:
        self._faults, self._generator = faults, generator
        self._next = {kind: self._gap(kind) for kind in (CUT, HALF_CLOSE, FLIP) if faults.rate(kind)}
        self._passed = 0

    def pieces(self, chunk: bytes) -> Iterator[tuple[bytes, str]]:
        """What is passed on of a chunk, each part with what happens behind it, empty for nothing."""
        start, end = self._passed, self._passed + len(chunk)
        while self._next and min(self._next.values()) < end:
            kind = min(self._next, key=lambda name: self._next[name])
            at = self._next[kind]
            self._next[kind] += self._gap(kind)
            piece = bytearray(chunk[self._passed - start : at - start + 1])
            if kind == FLIP and piece:
                piece[-1] ^= 1 << self._generator.randrange(8)
            self._passed = at + 1
            yield bytes(piece), kind
        yield chunk[self._passed - start :], ""
        self._passed = end

    def _gap(self, kind: str) -> int:
        return 1 + int(self._generator.expovariate(self._faults.rate(kind)))


@contextlib.asynccontextmanager
async def proxied(target: str, faults: Faults, *, seed: int = 0) -> AsyncIterator[tuple[str, Counter[str]]]:
    """The address of a proxy before a server, and what has happened there."""
    proxy = Proxy(target, faults, seed=seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}", proxy.happened
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
