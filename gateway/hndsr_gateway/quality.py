"""How close an image comes to the truth."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from hndsr_ensemble.values import SampleType
from hndsr_gateway.errors import OptionOutOfRangeError, ReferenceMismatchError
from hndsr_gateway.jobs import BORDER_PX, Quality
from hndsr_gateway.types import Raster

if TYPE_CHECKING:
    from hndsr_ensemble.evaluation.metrics import Mean

MEASURING_S_PER_PX = 2e-6
"""Of one core; that of PSNR is little beside that of SSIM."""
BLOCK_S = 0.5
"""About how long a block takes, in seconds."""


def check_comparable(size: tuple[int, int], dtype: np.dtype, reference: Raster) -> None:
    """Refuse a reference before the work that it would be compared with.

    Args:
        size: (height, width) of what is to be measured.
        dtype: its sample type.
        reference: the truth.

    Raises:
        ReferenceMismatchError: if it is of another size or type, or lies within the border.
    """
    if (reference.height, reference.width) != size:
        raise ReferenceMismatchError(
            f"the reference has {reference.height} x {reference.width} px, the image has {size[0]} x {size[1]} px"
        )
    if reference.pixels.dtype != dtype:
        raise ReferenceMismatchError(
            f"the reference has samples of {reference.pixels.dtype.name}, the image has {dtype.name}"
        )
    if min(size) <= 2 * BORDER_PX:
        raise ReferenceMismatchError(f"{size[0]} x {size[1]} px leave nothing inside a border of {BORDER_PX} px")


async def measure(
    image: Raster,
    reference: Raster,
    *,
    data_range: float,
    pause: Callable[[], Awaitable[None]],
    working: Callable[[float], AbstractContextManager[None]],
) -> Quality:
    """PSNR over the pixels that are valid in both; SSIM where all of them are and 11 x 11 px can be measured.

    Works in a thread, on a block of about half a second at a time; who stops waiting stops it there.

    Args:
        image: to be measured.
        reference: the truth.
        data_range: the span of values that both are measured against, above 0.
        pause: is awaited after each block.
        working: is held while a block is measured, with how long that takes by the estimate.

    Raises:
        ReferenceMismatchError: as `check_comparable`, or if no pixel is valid in both.
    """
    size = (image.height, image.width)
    check_comparable(size, image.pixels.dtype, reference)
    mask = await asyncio.to_thread(_inner_mask, image, reference)
    if mask is not None and not mask.any():
        raise ReferenceMismatchError("no pixel inside the border is valid in both images")
    metrics = await asyncio.to_thread(_metrics)
    errors = metrics.squared_errors(image.pixels, reference.pixels, mask=mask)
    squared_error = await _summed(errors, pause, partial(working, 0.0))
    psnr_db = metrics.psnr_of(squared_error, data_range=data_range)
    if mask is not None or min(size) - 2 * BORDER_PX < metrics.SSIM_WINDOW_PX:
        return Quality(psnr_db, None, data_range)
    blocks = metrics.similarities(image.pixels, reference.pixels, data_range=data_range)
    block_count = math.prod(math.ceil(side / metrics.BLOCK_PX) for side in size)
    block_s = measuring_time_s(size) / (block_count + 1)  # that none is left is asked for as a block is
    total, samples = await _summed(blocks, pause, partial(working, block_s))
    return Quality(psnr_db, total / samples, data_range)


def checked_data_range(data_range: float, dtype: SampleType) -> float:
    """The span that a caller names, 0 for that of the sample type.

    Raises:
        OptionOutOfRangeError: if it is negative, no number, or wider than the type.
    """
    widest = float(np.iinfo(dtype).max)
    if not 0 <= data_range <= widest:
        raise OptionOutOfRangeError(option="data_range", value=data_range, limit=widest, path="data_range")
    return data_range or widest


def measuring_time_s(size: tuple[int, int]) -> float:
    """About how long measuring an image of (height, width) takes, in seconds."""
    return MEASURING_S_PER_PX * size[0] * size[1]


def _metrics() -> ModuleType:
    # SciPy takes a second to import; only those who ask for quality pay for it.
    from hndsr_ensemble.evaluation import metrics  # noqa: PLC0415

    return metrics


async def _summed(
    blocks: Iterator[Mean], pause: Callable[[], Awaitable[None]], working: Callable[[], AbstractContextManager[None]]
) -> Mean:
    with working():
        summed = await asyncio.to_thread(next, blocks)
    while (block := await _following(blocks, working)) is not None:
        await pause()
        summed = summed.with_block(block)
    return summed


async def _following(blocks: Iterator[Mean], working: Callable[[], AbstractContextManager[None]]) -> Mean | None:
    with working():
        return await asyncio.to_thread(next, blocks, None)


def _inner_mask(image: Raster, reference: Raster) -> np.ndarray | None:
    """Where both are valid, whole size; None where they are everywhere inside the border."""
    masks = [raster.mask for raster in (image, reference) if raster.mask is not None]
    if not masks:
        return None
    mask = np.logical_and.reduce(masks)
    inner = mask[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    return None if inner.all() else inner
