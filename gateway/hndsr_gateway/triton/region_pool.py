"""The regions that there are: lent to one tile at a time, within bounds, and never twice while that is unsafe.

Triton may go on writing into a region long after the gateway has given up its tile. A region that Triton has not
answered for is therefore *retired*: its name is removed at once, no other tile ever sees it, and it counts against the
bounds until Triton has let go of it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Iterable

from hndsr_gateway.triton import guard
from hndsr_gateway.triton.errors import enlarge_shared_memory
from hndsr_gateway.triton.regions import (
    Region,
    RegionRefusedError,
    Registrar,
    clear_regions,
    create_region,
    unlink_region,
)
from hndsr_gateway.triton.requirements import REGION_STEP_BYTES, free_shared_memory_bytes
from hndsr_gateway.triton.workspace import region_name

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.02, 1.0
"""Pauses between two attempts to have Triton let go of a region: the first, which doubles, and the longest."""

GROWTH_S = 1.0
"""How long a larger region may wait for a smaller one that makes room for it, in seconds."""


class RegionPool:
    """Regions for the tiles of all endpoints, each lent to one tile at a time.

    They keep their memory between tiles and are replaced by larger ones as tiles grow. Regions of gateways that were
    killed are removed first. Only processes of the same user, and root, can map them.

    Args:
        max_regions: how many there may be, the retired ones included.
        max_bytes: what they may hold together, the retired ones included. It counts as this process's memory.
    """

    def __init__(self, *, max_regions: int, max_bytes: int) -> None:
        self._max_regions, self._max_bytes = max_regions, max_bytes
        self._free: list[Region] = []
        self._lent: set[Region] = set()
        self._retired: dict[asyncio.Task[None], Region] = {}
        self._warned: set[str] = set()
        self._closed = False
        clear_regions()

    @property
    def held_bytes(self) -> int:
        """What all regions hold, the retired ones included."""
        return sum(region.size_bytes for region in self._all())

    def _all(self) -> list[Region]:
        return [*self._free, *self._lent, *self._retired.values()]

    async def lend(self, size_bytes: int, registrar: Registrar) -> Region | None:
        """A region of at least that size which `registrar` maps, to be given back or retired; None where none can be.

        Raises:
            RegionRefusedError: if the registrar does not map it.
            UnavailableError: if the registrar cannot be asked.
        """
        region = self._reuse(size_bytes, registrar) or await self._create(size_bytes)
        if region is not None and registrar not in region.registrars:
            await self._register(region, registrar)
        return region

    def _reuse(self, size_bytes: int, registrar: Registrar) -> Region | None:
        """The smallest free region that fits, rather one that need not be registered."""
        fitting = [region for region in self._free if region.size_bytes >= size_bytes]
        if not fitting:
            return None
        chosen = min(fitting, key=lambda region: (registrar not in region.registrars, region.size_bytes))
        self._free.remove(chosen)
        self._lent.add(chosen)
        return chosen

    async def _create(self, size_bytes: int) -> Region | None:
        size_bytes = -(-size_bytes // REGION_STEP_BYTES) * REGION_STEP_BYTES
        if self._closed or not await self._make_room(size_bytes):
            return None
        try:
            region = create_region(region_name(os.getpid()), size_bytes)
        except OSError as error:
            self._warn_of_room(size_bytes, error)
            return None
        self._lent.add(region)
        return region

    async def _make_room(self, size_bytes: int) -> bool:
        """Whether there may be one more region of that size, which replaces a free one, or as many as it takes."""
        while self._free and size_bytes <= self._max_bytes:
            self.retire(min(self._free, key=lambda region: region.size_bytes))
            if self._within_bounds(size_bytes):
                return True
            if self._retired:
                await asyncio.wait([*self._retired], timeout=GROWTH_S, return_when=asyncio.FIRST_COMPLETED)
        if not (within := self._within_bounds(size_bytes)):
            self._warn_of_bounds(size_bytes)
        return within

    def _within_bounds(self, size_bytes: int) -> bool:
        return len(self._all()) < self._max_regions and self.held_bytes + size_bytes <= self._max_bytes

    async def _register(self, region: Region, registrar: Registrar) -> None:
        region.registrars.add(registrar)
        try:
            await registrar.register(region.name, region.size_bytes)
        except RegionRefusedError:
            region.registrars.discard(registrar)
            (self.give_back if region.registrars else self.retire)(region)
            raise
        except BaseException:
            self.retire(region)
            raise

    def give_back(self, region: Region) -> None:
        """Lend a region to others, unless it was retired meanwhile: no Triton can write into it any more."""
        if region in self._lent:
            self._lent.remove(region)
            self._free.append(region)

    def retire(self, region: Region) -> None:
        """Never lend a region again: its name goes at once, its memory once no Triton maps it."""
        if region not in self._lent and region not in self._free:
            return
        self._lent.discard(region)
        self._free = [one for one in self._free if one is not region]
        unlink_region(region)
        if region.registrars:
            withdrawal = asyncio.create_task(_withdraw(region, region.registrars))
            self._retired[withdrawal] = region
            withdrawal.add_done_callback(self._retired.pop)

    def forget(self, registrar: Registrar) -> None:
        """Take note that a Triton has lost its registrations, for all regions that are free."""
        for region in self._free:
            region.registrars.discard(registrar)

    async def leave(self, registrar: Registrar, *, timeout_s: float) -> None:
        """Have a Triton let go of all regions, within a time; those it works on are lost to others, too."""
        free = [region for region in self._free if registrar in region.registrars]
        self.forget(registrar)
        for region in [region for region in self._lent if registrar in region.registrars]:
            self.retire(region)
        leaving = [asyncio.create_task(_withdraw(region, [registrar])) for region in free]
        leaving += [withdrawal for withdrawal, region in self._retired.items() if registrar in region.registrars]
        if not leaving:
            return
        _, pending = await asyncio.wait(leaving, timeout=timeout_s)
        for task in pending - self._retired.keys():
            task.cancel()

    async def close(self) -> None:
        """Remove all regions, those that are lent as well; a Triton that still maps one keeps its memory."""
        self._closed = True
        for region in [*self._free, *self._lent]:
            unlink_region(region)
        self._free, self._lent = [], set()
        withdrawals = [*self._retired]
        for withdrawal in withdrawals:
            withdrawal.cancel()
        await asyncio.gather(*withdrawals, return_exceptions=True)

    def _warn_of_bounds(self, size_bytes: int) -> None:
        self._warn(
            "bounds",
            f"a tile that takes {size_bytes} bytes of shared memory goes to Triton by gRPC, which is slower: "
            f"{len(self._all())} of {self._max_regions} regions with {self.held_bytes} of {self._max_bytes} bytes are "
            "in use; allow more of them",
        )

    def _warn_of_room(self, size_bytes: int, error: OSError) -> None:
        missing = errno.errorcode.get(error.errno or 0) in {"ENOSPC", "ENOMEM"}
        cause = f"{free_shared_memory_bytes()} bytes are free there" if missing else str(error)
        self._warn(
            "room",
            f"a tile that takes {size_bytes} bytes of {guard.SHARED_MEMORY} goes to Triton by gRPC, which is slower: "
            f"{cause}; {enlarge_shared_memory(self._max_bytes)}",
        )

    def _warn(self, about: str, text: str) -> None:
        logger.log(logging.DEBUG if about in self._warned else logging.WARNING, text)
        self._warned.add(about)


async def _withdraw(region: Region, registrars: Iterable[Registrar]) -> None:
    await asyncio.gather(*(_until_unregistered(registrar, region.name) for registrar in registrars))


async def _until_unregistered(registrar: Registrar, name: str) -> None:
    pause_s = FIRST_RETRY_S
    while not await registrar.unregister(name):
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_RETRY_S)
