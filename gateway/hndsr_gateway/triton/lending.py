"""Which way the pixels of one endpoint's tiles take: through shared memory where that works, else by message."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
import tritonclient.grpc.aio as triton

from hndsr_gateway.errors import BackendMismatchError, NotFiniteError, RevisionChangedError, UnavailableError
from hndsr_gateway.triton.region_pool import RegionPool
from hndsr_gateway.triton.regions import Region, RegionRefusedError
from hndsr_gateway.triton.registrar import TritonRegistrar

logger = logging.getLogger(__name__)

ALIGNED_BYTES = 64
"""Where the target begins in a region is a multiple of this."""

LARGE_BYTES = 2**20
"""Pixels of more bytes than this are copied in a thread."""

CLOSE_S = 3.0
"""How long Triton may take to let go of the regions when an endpoint is closed, in seconds: about a window batch."""

ANSWERED = (RevisionChangedError, BackendMismatchError, NotFiniteError)
"""Errors that are a model's own answer, after which it writes nothing."""


class RegionLostError(Exception):
    """Triton cannot use the region that it was given for a tile; the tile itself is not at fault."""

    @property
    def forgotten(self) -> bool:
        """Whether it does not know the region, which happens when it was started again."""
        return "unable to find" in str(self).lower()


@dataclass(frozen=True, slots=True)
class Passage:
    """A tile's way through a region: its source, and behind that room for its target."""

    tensor: str
    """Name of both tensors."""
    region: Region
    source_bytes: int
    target_bytes: int

    async def put(self, pixels: np.ndarray) -> None:
        """Put the source in."""
        place = self.region.memory[: self.source_bytes].view(pixels.dtype).reshape(pixels.shape)
        await _in_thread_when_large(pixels, place)

    async def take(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """Take the target out."""
        pixels = np.empty(shape, dtype)
        start = _aligned(self.source_bytes)
        await _in_thread_when_large(
            self.region.memory[start : start + pixels.nbytes].view(dtype).reshape(shape), pixels
        )
        return pixels

    def set_source(self, tensor: triton.InferInput) -> None:
        """Say where the source is."""
        tensor.set_shared_memory(self.region.name, self.source_bytes)

    def set_target(self, tensor: triton.InferRequestedOutput) -> None:
        """Say where the target goes."""
        tensor.set_shared_memory(self.region.name, self.target_bytes, offset=_aligned(self.source_bytes))


class RegionLender:
    """Lends regions to the tiles of one endpoint, unless it does not map them; then it is asked again once it was away.

    It maps none when it is on another host, or runs as a user who is neither the gateway's nor root; when its operator
    restricts the extension to others; or when it is too old for it.

    Args:
        pool: of all endpoints.
        registrar: the endpoint.
        address: of the endpoint, for the log.
    """

    def __init__(self, pool: RegionPool, registrar: TritonRegistrar, *, address: str) -> None:
        self._pool, self._registrar, self._address = pool, registrar, address
        self._usable: bool | None = None
        self._said = ""

    @contextlib.asynccontextmanager
    async def passage(self, tensor: str, *, source_bytes: int, target_bytes: int) -> AsyncIterator[Passage | None]:
        """A way for one tile, None where only messages go; whatever ends the context, no other tile is endangered."""
        region = await self._lend(_aligned(source_bytes) + target_bytes)
        if region is None:
            yield None
            return
        settled = False
        try:
            yield Passage(tensor, region, source_bytes, target_bytes)
            settled = True
        except ANSWERED:
            settled = True
            raise
        except RegionLostError as error:
            self._note(error)
            raise
        finally:
            (self._pool.give_back if settled else self._pool.retire)(region)

    def was_away(self) -> None:
        """Find out anew whether it maps regions: it may be another server by now, or the same with other rights."""
        self._usable = None

    async def close(self) -> None:
        """Have it let go of all regions; no tile is to follow."""
        await self._pool.leave(self._registrar, timeout_s=CLOSE_S)
        self._registrar.close()

    async def _lend(self, size_bytes: int) -> Region | None:
        """A region; the first is a small one, which shows at little cost whether there can be others."""
        try:
            if self._usable is None:
                await self._probe()
            return await self._pool.lend(size_bytes, self._registrar) if self._usable else None
        except RegionRefusedError as error:
            self._usable = False
            self._say(f"tiles go to Triton at {self._address} and back by gRPC, it does not map shared memory: {error}")
        except UnavailableError:
            logger.debug("Triton at %s does not say whether it maps shared memory", self._address)
        return None

    async def _probe(self) -> None:
        region = await self._pool.lend(1, self._registrar)
        if region is None:
            return
        self._pool.give_back(region)
        self._usable = True
        self._say(f"tiles go to Triton at {self._address} and back through shared memory")
        await self._registrar.clear()

    def _note(self, error: RegionLostError) -> None:
        """Register anew what Triton has lost with its life; what it cannot use for other causes, it is not given."""
        if error.forgotten:
            self._pool.forget(self._registrar)
            self._usable = None
            logger.info("Triton at %s has lost its registrations, a tile goes by gRPC: %s", self._address, error)
        else:
            self._usable = False
            logger.warning("Triton at %s cannot use shared memory, tiles go by gRPC: %s", self._address, error)

    def _say(self, text: str) -> None:
        """Say at INFO what is new, once."""
        logger.log(logging.DEBUG if text == self._said else logging.INFO, text)
        self._said = text


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES


async def _in_thread_when_large(source: np.ndarray, target: np.ndarray) -> None:
    if target.nbytes > LARGE_BYTES:
        await asyncio.to_thread(np.copyto, target, source)
    else:
        np.copyto(target, source)
