"""Tiles on their way to the backend: how they are made, whose turn it is, and where they go."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hndsr_ensemble.geometry import Span
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import Ranges
from hndsr_gateway.backend import TileBackend
from hndsr_gateway.fair_gate import FairGate, Route, Ticket, Turn
from hndsr_gateway.settings import Settings
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


class TileQueue:
    """Lets tiles into the backend, no more at each of its endpoints than that can work on.

    Args:
        backend: runs the tiles.
        settings: `tiles_at_once`.
    """

    def __init__(self, backend: TileBackend, settings: Settings) -> None:
        self._backend = backend
        self._gate = FairGate(settings.tiles_at_once)

    def route(self, plan: Plan) -> Route:
        """The way of one caller's tiles: to one endpoint while that is healthy, whose cache then serves the seams."""
        return Route(partial(self._backend.endpoints, plan.model, plan.revision))

    def place(self, ticket: Ticket, *, cost_s: float, route: Route) -> Turn:
        """A place for a tile, held by `async with`."""
        return self._gate.place(ticket, cost_s=cost_s, route=route)

    async def run(self, tile: TileRequest, turn: Turn) -> TileResponse:
        """Work on a tile whose turn it is.

        Raises:
            GatewayError: as `TileBackend.upscale`.
        """
        return await self._backend.upscale(replace(tile, endpoint=turn.lane))

    def wake(self) -> None:
        """Look at the backend's endpoints anew: some came, or went."""
        self._gate.wake()
