"""A pool of endpoints over fake backends, a real gateway over it, and a name whose addresses change."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from fakes import FakeBackend
from in_process import Client, running, scene

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import full_ranges
from hndsr_gateway.triton.endpoints import EndpointPool
from hndsr_gateway.triton.resolver import look_up
from hndsr_gateway.types import ModelDescription, Raster, TileRequest

OLD, NEW = "revision-1", "revision-2"


class FakeEndpoint(FakeBackend):
    """An endpoint whose answers can be kept back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.closed = asyncio.Event()
        self.hangs = False

    async def describe(self) -> list[ModelDescription]:
        """All models, but for ever on its way while it hangs."""
        described = await super().describe()
        await self.until(lambda: not self.hangs)
        return described

    def answer(self) -> None:
        """Hang no more."""
        self.hangs = False
        self._changed.set()

    async def close(self) -> None:
        """Remember it."""
        self.closed.set()


class Addresses:
    """A name whose addresses a test changes."""

    def __init__(self, *found: str) -> None:
        self.found, self.error = list(found), None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """What it stands for now."""
        if self.error:
            raise self.error
        return [f"{one}:{port}" for one in self.found]


class Fleet:
    """A pool over fake endpoints, by the name of their hosts."""

    def __init__(
        self,
        *written: str,
        lookup: Any = look_up,
        clock: Callable[[], float] = time.monotonic,
        **revisions: str,
    ) -> None:
        self.endpoints: dict[str, FakeEndpoint] = {}
        self._revisions = revisions
        self.pool = EndpointPool(written, self._connect, lookup=lookup, clock=clock)

    def __getitem__(self, host: str) -> FakeEndpoint:
        return self.endpoints.setdefault(host, _endpoint(self._revisions.get(host, OLD)))

    def _connect(self, address: str) -> FakeEndpoint:
        return self[address.partition(":")[0]]

    def upscale(self, **fields: Any) -> asyncio.Task[Any]:
        """A tile on its way."""
        return asyncio.create_task(self.pool.upscale(tile(**fields)))

    def served(self, revision: str = OLD) -> str:
        """The hosts that serve a revision."""
        return "".join(address.partition(":")[0] for address in self.pool.endpoints("bicubic", revision))

    def worked(self) -> dict[str, list[str]]:
        """What became of the tiles at each host that got some."""
        return {host: endpoint.outcomes() for host, endpoint in self.endpoints.items() if endpoint.calls}


@contextlib.asynccontextmanager
async def fleet(*written: str, described: bool = True, **options: Any) -> AsyncIterator[Fleet]:
    """A pool that is closed at the end."""
    found = Fleet(*(written or ("a:1", "b:1", "c:1")), **options)
    try:
        if described:
            await found.pool.describe()
        yield found
    finally:
        await found.pool.close()


@contextlib.asynccontextmanager
async def gateway_over(endpoints: Sequence[FakeEndpoint], **settings: Any) -> AsyncIterator[Client]:
    """A client of a gateway of its own that has these endpoints."""
    named = {f"endpoint:{number}": endpoint for number, endpoint in enumerate(endpoints, 1)}
    pool = EndpointPool(list(named), named.__getitem__)
    try:
        async with running(pool, **settings) as client:
            yield client
    finally:
        await pool.close()


def _endpoint(revision: str) -> FakeEndpoint:
    return FakeEndpoint(models=("bicubic",), revision=revision)


def tile(*, revision: str = OLD, endpoint: str = "", model: str = "bicubic") -> TileRequest:
    """The only tile of a small image."""
    pixels = scene((5, 7))
    geometry = FakeEndpoint()._manifests["bicubic"].geometry
    rows, columns = (Axis(length, Scale.parse("4"), geometry) for length in (5, 7))
    place = TileGeometry.of(rows, columns, rows.span(0, 1), columns.span(0, 1))
    ranges, options = full_ranges(pixels.dtype), Options(0, 0.0, 0)
    return TileRequest(model, revision, Raster(pixels), place, ranges, options, endpoint)
