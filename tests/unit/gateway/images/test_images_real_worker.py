"""The workers as they are: what large pictures take of them, and what they say of damaged files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from odd_images import MIB, PATIENCE_S
from unit.gateway.images.files import MAX_PX, picture, samples, saved

from hndsr_gateway.errors import DamagedImageError
from hndsr_gateway.images.picture import Encoding, ImageFormat
from hndsr_gateway.images.pool import ImageWorkers

LITTLE_MIB = 64
_Result = TypeVar("_Result")


def run(test: Callable[[ImageWorkers], Awaitable[_Result]]) -> _Result:
    """What a test makes of one worker with little memory."""

    async def inside() -> _Result:
        async with ImageWorkers(count=1, timeout_s=PATIENCE_S, memory_bytes=LITTLE_MIB * MIB) as workers:
            return await test(workers)

    return asyncio.run(inside())


@pytest.mark.parametrize("image_format", [ImageFormat.PNG, ImageFormat.TIFF])
def test_encode_of_noise_with_all_that_a_file_holds_takes_the_memory_of_its_pixels(image_format: ImageFormat) -> None:
    made = picture(dtype="uint16", transparent=True, size=(2000, 2500))
    encoded = run(lambda workers: workers.encode(made, Encoding(image_format)))
    assert len(encoded) > made.raster.pixels.nbytes


def test_pool_logs_why_a_library_takes_a_file_for_damaged(caplog: pytest.LogCaptureFixture) -> None:
    whole = saved(samples(40, 40, 3), "WEBP", lossless=True)
    damaged = whole[:40] + bytes(100) + whole[140:]

    async def test(workers: ImageWorkers) -> None:
        with pytest.raises(DamagedImageError):
            await workers.decode(damaged, max_px=MAX_PX)

    with caplog.at_level(logging.DEBUG, "hndsr_gateway.images"):
        run(test)
    assert "image worker: OSError" in caplog.text
