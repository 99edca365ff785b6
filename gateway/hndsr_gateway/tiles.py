"""Tiles on their way to the backend: how they are made, whose turn it is, and where they go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from hndsr_ensemble.geometry import Span
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import Ranges
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.fair_gate import FairGate, Route, Ticket, Turn
from hndsr_gateway.settings import Settings
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.calls import current_call
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.types import ModelDescription, Plan, Raster, TileRequest, TileResponse


class TileMaker:
    """Makes the requests for the tiles of one plan."""

    def __init__(self, plan: Plan, model: ModelDescription, ranges: Ranges) -> None:
        self._plan, self._ranges = plan, ranges
        self._axes = plan.axes(model.manifest.geometry)

    def request(self, rows: Span, columns: Span, source: Raster) -> TileRequest:
        """The request for the tile where two spans cross, from the pixels of its source rectangle."""
        raster = Raster(source.pixels, None if source.mask is None or source.mask.all() else source.mask)
        geometry = TileGeometry.of(*self._axes, rows, columns)
        return TileRequest(self._plan.model, self._plan.revision, raster, geometry, self._ranges, self._plan.options)


@contextmanager
def observed_tile(tile: TileRequest) -> Iterator[None]:
    """A tile's way, its wait included: a span, and its outcome."""
    rows, columns = tile.geometry.cores[:2], tile.geometry.cores[2:]
    outcome = "failed"
    try:
        with span("tile", {"hndsr.model": tile.model, "hndsr.core_rows": rows, "hndsr.core_columns": columns}):
            yield
        outcome = "done"
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        metrics.tiles.add(1, {"model": tile.model, "outcome": outcome})


def _count_work(model: str, response: TileResponse) -> None:
    stats, pixels = response.stats, response.raster.height * response.raster.width
    call = current_call()
    call.model, call.tiles, call.target_px = call.model or model, call.tiles + 1, call.target_px + pixels
    metrics.target_pixels.add(pixels, {"model": model})
    sources = {
        "computed": stats.windows - stats.cache_hits - stats.empty_windows,
        "cached": stats.cache_hits,
        "empty": stats.empty_windows,
    }
    for source, count in sources.items():
        metrics.windows.add(count, {"model": model, "source": source})


class TileQueue:
    """Lets tiles into the backend, no more at each of its endpoints than that can work on.

    Args:
        backend: runs the tiles.
        settings: `tiles_at_once`.
    """

    def __init__(self, backend: TileBackend, settings: Settings) -> None:
        self._backend, self._settings = backend, settings
        self._gate = FairGate(settings.tiles_at_once, queue="tile")

    def route(self, plan: Plan) -> Route:
        """The way of one caller's tiles: to one endpoint while that is healthy, whose cache then serves the seams."""
        return Route(partial(self._backend.endpoints, plan.model, plan.revision))

    def places(self, model: str, revision: str) -> int:
        """How many tiles of a model are worked on at once."""
        return self._settings.tiles_at_once * max(1, len(self._backend.endpoints(model, revision)))

    @property
    def tickets(self) -> set[Ticket]:
        """Of the tiles that are worked on or wait."""
        return self._gate.tickets

    def place(self, ticket: Ticket, *, cost_s: float, route: Route) -> Turn:
        """A place for a tile, held by `async with`."""
        return self._gate.place(ticket, cost_s=cost_s, route=route)

    async def run(self, tile: TileRequest, turn: Turn) -> TileResponse:
        """Work on a tile whose turn it is.

        Raises:
            GatewayError: as `TileBackend.upscale`.
        """
        metrics.tiles_in_flight.add(1)
        try:
            with turn.working():
                response = await self._backend.upscale(replace(tile, endpoint=turn.lane))
        finally:
            metrics.tiles_in_flight.add(-1)
        _count_work(tile.model, response)
        return response

    def wake(self) -> None:
        """Look at the backend's endpoints anew: some came, or went."""
        self._gate.wake()
