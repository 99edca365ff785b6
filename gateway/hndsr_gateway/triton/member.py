"""One endpoint of several: what it serves, what it works on, and whether it is given tiles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Protocol

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton.backoff import Backoff
from hndsr_gateway.triton.breaker import Breaker
from hndsr_gateway.types import ModelDescription, TileRequest, TileResponse

logger = logging.getLogger(__name__)

FIRST_LOOK_S, LONGEST_LOOK_S = 0.25, 1.0
"""How soon one that could not describe its models is asked again: at first, which doubles, and at most."""


class Endpoint(Protocol):
    """One place that runs tiles."""

    async def describe(self) -> list[ModelDescription]:
        """All its models, each after its probe passed.

        Raises:
            UnavailableError: if one of them cannot answer.
        """

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile; cancelling the call stops it.

        Raises:
            RevisionChangedError: if the model is of another revision than the tile asks for.
            UnavailableError: if it cannot answer.
        """

    async def close(self) -> None:
        """Give up the connection; may be called again."""


class Member:
    """An endpoint, what it serves, and what it works on.

    Args:
        address: of it.
        endpoint: runs tiles.
        breaker: keeps tiles from it while they fail.
    """

    def __init__(self, address: str, endpoint: Endpoint, breaker: Breaker) -> None:
        self.address, self._endpoint, self._breaker = address, endpoint, breaker
        self.models: dict[str, ModelDescription] = {}
        """By name; none while it is not to get tiles."""
        self.tiles = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._question: asyncio.Task[None] | None = None
        self._looks = Backoff(FIRST_LOOK_S, LONGEST_LOOK_S)
        self._look: asyncio.TimerHandle | None = None
        self._ejected = False

    @property
    def pause_s(self) -> float:
        """How long it gets no tiles since too many have failed, in seconds; 0: not at all."""
        return self._breaker.left_s

    def serves(self, model: str, revision: str) -> bool:
        """Whether tiles of a revision of a model can go there: one at a time while a trial has to show that."""
        described = model in self.models and self.models[model].revision == revision
        return described and (self._breaker.closed or not (self.pause_s or self.tiles))

    def ask(self) -> asyncio.Task[None]:
        """Have it describe its models, once at a time; ends when it has, or cannot."""
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._ask())
        return self._question

    def is_asked_again(self, questions: Collection[asyncio.Task[None]]) -> bool:
        """Whether it failed after it had answered one of these, and is asked anew."""
        return self._question is not None and self._question not in questions

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile, as `Endpoint.upscale`."""
        self.tiles += 1
        self._idle.clear()
        try:
            response = await self._endpoint.upscale(tile)
        except UnavailableError:
            if self._breaker.failed():
                logger.warning("endpoint %s failed tiles in a row and rests for %.1f s", self.address, self.pause_s)
            raise
        else:
            self._succeeded()
            return response
        finally:
            self.tiles -= 1
            if not self.tiles:
                self._idle.set()

    def _succeeded(self) -> None:
        if not self._breaker.closed:
            logger.info("endpoint %s works on tiles again", self.address)
        self._breaker.succeeded()

    def eject(self) -> None:
        """Give it no tiles until it has described its models, which it is asked to at once: it may be well again."""
        if not self._ejected:
            logger.warning("endpoint %s cannot answer and gets no tiles until it can", self.address)
        self._ejected, self.models = True, {}
        self.ask()

    def forget(self, model: str) -> None:
        """Give it no tiles of a model until it has described that anew."""
        self.models.pop(model, None)

    async def leave(self) -> None:
        """Close it once its tiles are done."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Close it, whatever it works on."""
        if self._look is not None:
            self._look.cancel()
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
        await self._endpoint.close()

    async def _ask(self) -> None:
        try:
            described = await self._endpoint.describe()
        except UnavailableError:
            self.eject()
            self._look_later()
            return
        self._looks.reset()
        if self._ejected:
            logger.info("endpoint %s answers again", self.address)
        self._ejected, self.models = False, {model.name: model for model in described}

    def _look_later(self) -> None:
        """Ask again soon: one that is started again should not have to wait for the next check of all."""
        if self._look is not None:
            self._look.cancel()
        self._look = asyncio.get_running_loop().call_later(self._looks.next_s(), self.ask)
