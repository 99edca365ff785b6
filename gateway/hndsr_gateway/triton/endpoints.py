"""Several endpoints as one backend: tiles go where their revision is served, and on from where they fail."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from hndsr_gateway.errors import GatewayError, RevisionChangedError, UnavailableError
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.triton.resolver import Lookup, Resolver, look_up
from hndsr_gateway.types import ModelDescription, TileRequest, TileResponse

logger = logging.getLogger(__name__)

SETTLING_S = 2.0
"""How long those that have answered wait for those that have not, in seconds."""


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


class EndpointPool:
    """A `TileBackend` of several endpoints; one that cannot answer gets no tiles until it has described its models.

    Args:
        written: the endpoints, each as `HOST:PORT` or `dns:HOST:PORT`.
        connect: makes an endpoint from its address.
        lookup: finds the addresses behind a name.
    """

    def __init__(self, written: Sequence[str], connect: Callable[[str], Endpoint], *, lookup: Lookup = look_up) -> None:
        self._resolver, self._connect = Resolver(written, lookup=lookup), connect
        self._members: dict[str, _Member] = {}
        self._leaving: dict[asyncio.Task[None], _Member] = {}
        self._preferred: dict[str, str] = {}

    async def close(self) -> None:
        """Close all endpoints, whatever they work on."""
        await self._resolver.close()
        members = [*self._members.values(), *self._leaving.values()]
        self._members = {}
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(member.close() for member in members))

    async def describe(self) -> list[ModelDescription]:
        """Each revision of each model that is served, the preferred revision of a model first.

        All endpoints are asked at once. One that takes long is not waited for while another serves: its answer counts
        when it comes, and until then the last one it gave.

        Raises:
            UnavailableError: if no endpoint can answer.
        """
        while True:
            self._update(await self._resolver.addresses())
            questions = {member.ask() for member in self._members.values()}
            if not questions:
                raise UnavailableError
            _, pending = await asyncio.wait(questions, timeout=SETTLING_S)
            self._count()
            if described := self._descriptions():
                return described
            if not pending and not any(member.is_asked_again(questions) for member in self._members.values()):
                raise UnavailableError

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:
        """Addresses of those that serve a revision of a model now, in the order of the setting."""
        return tuple(member.address for member in self._members.values() if member.serves(model, revision))

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile, at the endpoint that it names or else the least loaded; each is tried once.

        Raises:
            RevisionChangedError: if the model is served, but nowhere in the revision that the tile asks for.
            BackendMismatchError: if an endpoint refuses the tile as such.
            UnavailableError: if no endpoint that serves the revision can answer.
        """
        tried: set[_Member] = set()
        failure: GatewayError | None = None
        while member := self._choose(tile, tried):
            if tried:
                metrics.tiles_moved.add(1)
            tried.add(member)
            try:
                return await member.upscale(tile)
            except UnavailableError as error:
                member.eject()
                self._count()
                failure = error
            except RevisionChangedError as error:
                member.forget(tile.model)
                failure = failure or error
        raise failure or self._refusal(tile)

    def _choose(self, tile: TileRequest, tried: set[_Member]) -> _Member | None:
        able = [
            member
            for member in self._members.values()
            if member.serves(tile.model, tile.revision) and member not in tried
        ]
        return min(able, key=lambda member: (member.address != tile.endpoint, member.tiles), default=None)

    def _refusal(self, tile: TileRequest) -> GatewayError:
        """Why a tile is not even tried."""
        if served := self._counts(tile.model):
            return RevisionChangedError(required=tile.revision, served=self._preference(tile.model, served))
        return UnavailableError()

    def _update(self, addresses: Sequence[str]) -> None:
        """Take in addresses that are new, and let go those that vanished."""
        members = self._members
        self._members = {address: members.get(address) or self._join(address) for address in addresses}
        for address in members.keys() - self._members.keys():
            logger.info("endpoint %s has vanished", address)
            task = asyncio.create_task(members[address].leave())
            self._leaving[task] = members[address]
            task.add_done_callback(self._leaving.pop)

    def _count(self) -> None:
        """Tell how many get tiles, and how many do not."""
        serving = sum(bool(member.models) for member in self._members.values())
        metrics.endpoints.set(serving, {"state": "serving"})
        metrics.endpoints.set(len(self._members) - serving, {"state": "away"})

    def _join(self, address: str) -> _Member:
        return _Member(address, self._connect(address))

    def _descriptions(self) -> list[ModelDescription]:
        found: dict[str, dict[str, ModelDescription]] = {}
        for member in self._members.values():
            for model in member.models.values():
                found.setdefault(model.name, {}).setdefault(model.revision, model)
        for name in found:
            self._preferred[name] = self._preference(name, self._counts(name))
        return [
            model
            for name, revisions in found.items()
            for model in sorted(revisions.values(), key=lambda model: model.revision != self._preferred[model.name])
        ]

    def _counts(self, name: str) -> Counter[str]:
        """How many endpoints serve each revision of a model."""
        return Counter(member.models[name].revision for member in self._members.values() if name in member.models)

    def _preference(self, name: str, counts: Counter[str]) -> str:
        """The revision of the most endpoints: while several have as many, the one before, else the first by name."""
        most = max(counts.values())
        leading = [revision for revision, count in counts.items() if count == most]
        before = self._preferred.get(name, "")
        return before if before in leading else min(leading)


class _Member:
    """An endpoint, what it serves, and what it works on."""

    def __init__(self, address: str, endpoint: Endpoint) -> None:
        self.address, self._endpoint = address, endpoint
        self.models: dict[str, ModelDescription] = {}
        """By name; none while it is not to get tiles."""
        self.tiles = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._question: asyncio.Task[None] | None = None
        self._ejected = False

    def serves(self, model: str, revision: str) -> bool:
        """Whether tiles of a revision of a model can go there."""
        return model in self.models and self.models[model].revision == revision

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
            return await self._endpoint.upscale(tile)
        finally:
            self.tiles -= 1
            if not self.tiles:
                self._idle.set()

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
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
        await self._endpoint.close()

    async def _ask(self) -> None:
        try:
            described = await self._endpoint.describe()
        except UnavailableError:
            self.eject()
            return
        if self._ejected:
            logger.info("endpoint %s answers again", self.address)
        self._ejected, self.models = False, {model.name: model for model in described}
