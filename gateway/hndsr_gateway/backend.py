"""What the service needs of whatever runs the models."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hndsr_gateway.types import ModelDescription, TileRequest, TileResponse


@runtime_checkable
class TileBackend(Protocol):
    """Runs single tiles; cancelling a call stops its work within one window batch."""

    async def describe(self) -> list[ModelDescription]:
        """All models, each after its probe passed; of several revisions of one model the preferred one comes first.

        Raises:
            UnavailableError: if one of them cannot answer.
        """

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:
        """Names of the places that can work on tiles of a revision of a model now, each on as many at once."""

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile, at the endpoint that it names if that can.

        Raises:
            RevisionChangedError: if the model is served, but nowhere in the revision that the tile asks for.
            UnavailableError: if it cannot answer.
        """
