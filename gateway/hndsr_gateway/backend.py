"""What the service needs of whatever runs the models."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hndsr_gateway.types import ModelDescription, TileRequest, TileResponse


@runtime_checkable
class TileBackend(Protocol):
    """Runs single tiles; cancelling a call stops its work within one window batch."""

    async def describe(self) -> list[ModelDescription]:
        """All models, each after its probe passed.

        Raises:
            UnavailableError: if one of them cannot answer.
        """

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile.

        Raises:
            RevisionChangedError: if the model is of another revision than the tile asks for.
            UnavailableError: if it cannot answer.
        """
