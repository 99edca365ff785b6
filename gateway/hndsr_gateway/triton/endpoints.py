"""Several endpoints as one backend: tiles go where their revision is served, and on from where they fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence

from hndsr_gateway.errors import GatewayError, RevisionChangedError, UnavailableError
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.triton.breaker import Breaker, MoveBudget
from hndsr_gateway.triton.member import Endpoint, Member
from hndsr_gateway.triton.resolver import Lookup, Resolver, look_up
from hndsr_gateway.types import ModelDescription, TileRequest, TileResponse

logger = logging.getLogger(__name__)

SETTLING_S = 2.0
"""How long those that have answered wait for those that have not, in seconds."""

RETRY_S = 1.0
"""When a tile should be sent again that found no endpoint, if none rests for a known time, in seconds."""


class EndpointPool:
    """A `TileBackend` of several endpoints; one that cannot answer gets no tiles until it has described its models.

    One whose tiles fail again and again though it describes itself well gets none for a while, and then one as a trial.
    Only tiles are tried again elsewhere, since they alone are the same bytes wherever and however often they are made;
    and no more of them than a budget allows, so that endpoints which are left are not asked for twice the work.

    Args:
        written: the endpoints, each as `HOST:PORT` or `dns:HOST:PORT`.
        connect: makes an endpoint from its address.
        lookup: finds the addresses behind a name.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        written: Sequence[str],
        connect: Callable[[str], Endpoint],
        *,
        lookup: Lookup = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver, self._connect, self._clock = Resolver(written, lookup=lookup), connect, clock
        self._moves = MoveBudget()
        self._members: dict[str, Member] = {}
        self._leaving: dict[asyncio.Task[None], Member] = {}
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
        """One tile, at the endpoint that it names or else the least loaded; each is tried once, as the budget allows.

        Raises:
            RevisionChangedError: if the model is served, but nowhere in the revision that the tile asks for.
            BackendMismatchError: if an endpoint refuses the tile as such.
            UnavailableError: if no endpoint that serves the revision can answer, or too many tiles moved before.
        """
        tried: set[Member] = set()
        failure: GatewayError | None = None
        self._moves.earn()
        while member := self._choose(tile, tried):
            if isinstance(failure, UnavailableError) and not self._moves.take():
                break
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
        if isinstance(failure, UnavailableError):
            raise self._unavailable() from failure
        raise failure or self._refusal(tile)

    def _choose(self, tile: TileRequest, tried: set[Member]) -> Member | None:
        able = [
            member
            for member in self._members.values()
            if member.serves(tile.model, tile.revision) and member not in tried
        ]
        return min(able, key=lambda member: (member.address != tile.endpoint, member.tiles), default=None)

    def _refusal(self, tile: TileRequest) -> GatewayError:
        """Why a tile is not even tried."""
        served = self._counts(tile.model)
        if served and tile.revision not in served:
            return RevisionChangedError(required=tile.revision, served=self._preference(tile.model, served))
        return self._unavailable()

    def _unavailable(self) -> UnavailableError:
        """What names the time until the first endpoint may be given tiles again."""
        delays_s = (member.pause_s or RETRY_S for member in self._members.values())
        return UnavailableError(retry_delay_s=round(min(delays_s, default=RETRY_S), 3))

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
        serving = sum(bool(member.models) and not member.pause_s for member in self._members.values())
        metrics.endpoints.set(serving, {"state": "serving"})
        metrics.endpoints.set(len(self._members) - serving, {"state": "away"})

    def _join(self, address: str) -> Member:
        return Member(address, self._connect(address), Breaker(self._clock))

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
