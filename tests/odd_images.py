"""Pools of real worker processes around `odd_worker.py`, to which image files say what is to happen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hndsr_gateway.images.picture import Attributes, Encoding, Georeference, ImageFormat, Picture
from hndsr_gateway.images.pool import ImageWorkers
from hndsr_gateway.types import Raster

ODD_WORKER = Path(__file__).parent / "unit" / "gateway" / "images" / "odd_worker.py"
MAX_PX = 1000
MEMORY_MIB = 256
MIB = 2**20
PATIENCE_S = 60.0
PNG = Encoding(ImageFormat.PNG)


@asynccontextmanager
async def pool(
    *, count: int = 1, timeout_s: float = PATIENCE_S, program: Path = ODD_WORKER
) -> AsyncIterator[ImageWorkers]:
    command = [sys.executable, "-I", str(program)]
    async with ImageWorkers(
        count=count, timeout_s=timeout_s, memory_bytes=MEMORY_MIB * MIB, command=command
    ) as workers:
        yield workers


def run(test: Callable[[ImageWorkers], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """What a test makes of a pool of its own."""

    async def inside() -> Any:
        async with pool(**options) as workers:
            return await asyncio.wait_for(test(workers), 2 * PATIENCE_S)

    return asyncio.run(inside())


async def decode(workers: ImageWorkers, told: str) -> Picture:
    return await workers.decode(told.encode(), max_px=MAX_PX)


async def value(workers: ImageWorkers, number: int) -> int:
    picture = await decode(workers, f"value {number}")
    return int(picture.raster.pixels[0, 0, 0])


async def pid(workers: ImageWorkers) -> int:
    return int((await decode(workers, "pid")).raster.pixels.tobytes())


async def until(condition: Callable[[], object]) -> None:
    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - other processes set no events
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), PATIENCE_S)


def lives(process_id: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    return False


def picture(dtype: str, *, size: tuple[int, int] = (7, 5), full: bool) -> Picture:
    rng, limit = np.random.default_rng(0), np.iinfo(dtype).max
    pixels = rng.integers(0, limit, (*size, 3), dtype=dtype, endpoint=True)
    if not full:
        return Picture(Raster(pixels), ImageFormat.PNG)
    alpha = rng.integers(0, 2, size).astype(dtype) * limit
    place = Georeference("PROJCRS[…]", (0.5, 0.0, 1e6, 0.0, -0.5, 1 / 3))
    attributes = Attributes(icc=b"\0profile", exif=b"II*\0", georeference=place)
    return Picture(Raster(pixels, alpha != 0), ImageFormat.PNG, True, alpha, attributes)
