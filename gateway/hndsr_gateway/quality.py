"""How close an image comes to the truth."""

from __future__ import annotations

import numpy as np

from hndsr_gateway.errors import ReferenceMismatchError
from hndsr_gateway.jobs import BORDER_PX, Quality
from hndsr_gateway.types import Raster


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


def measure(image: Raster, reference: Raster) -> Quality:
    """PSNR over the pixels that are valid in both; SSIM where all of them are and 11 x 11 px can be measured.

    Takes about two seconds for a megapixel; memory is bounded, whatever the size.

    Raises:
        ReferenceMismatchError: as `check_comparable`, or if no pixel is valid in both.
    """
    # SciPy takes a second to import; only those who ask for quality pay for it.
    from hndsr_ensemble.evaluation import metrics  # noqa: PLC0415

    size = (image.height, image.width)
    check_comparable(size, image.pixels.dtype, reference)
    mask = _inner_mask(image, reference)
    if mask is not None and not mask.any():
        raise ReferenceMismatchError("no pixel inside the border is valid in both images")
    psnr_db = metrics.psnr(image.pixels, reference.pixels, mask=mask)
    measurable = mask is None and min(size) - 2 * BORDER_PX >= metrics.SSIM_WINDOW_PX
    return Quality(psnr_db, metrics.ssim(image.pixels, reference.pixels) if measurable else None)


def _inner_mask(image: Raster, reference: Raster) -> np.ndarray | None:
    """Where both are valid, whole size; None where they are everywhere inside the border."""
    masks = [raster.mask for raster in (image, reference) if raster.mask is not None]
    if not masks:
        return None
    mask = np.logical_and.reduce(masks)
    inner = mask[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    return None if inner.all() else inner
