"""What an image file says: its pixels, and what beside them stays true when they are enlarged."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.scale import Scale
from hndsr_gateway.types import Raster

ANY_WINDOW = WindowGeometry(window_px=2, stride_px=1)
"""Sizes and nearest pixels do not depend on windows."""


class ImageFormat(str, Enum):
    """The formats that are read and written."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"
    TIFF = "TIFF"


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where a raster lies on the ground."""

    crs_wkt: str
    """Coordinate reference system as WKT 2, empty where the file names none."""
    transform: tuple[float, float, float, float, float, float]
    """x = a·column + b·row + c, y = d·column + e·row + f, as (a, b, c, d, e, f); columns and rows count from the
    outer corner of the first pixel."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a file says beside its pixels and what stays true of the enlarged picture."""

    icc: bytes = b""
    """ICC profile that the samples refer to."""
    exif: bytes = b""
    """TIFF-structured EXIF block as Pillow's `Exif.tobytes` writes it, without orientation, sizes and thumbnails."""
    georeference: Georeference | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, upright.

    `raster` has three bands, equal ones where `grey`. `alpha`, of the raster's type and size, is None for an opaque
    picture; the raster's mask is False where alpha is 0 or the file says nodata. `format` is None where pixels were
    sent without a file around them.
    """

    raster: Raster
    format: ImageFormat | None = None
    grey: bool = False
    alpha: Shaped[np.ndarray, "h w"] | None = None
    attributes: Attributes = field(default_factory=Attributes)

    @property
    def opaque(self) -> bool:
        """Whether every pixel is valid, and none is transparent to any degree."""
        mask, alpha = self.raster.mask, self.alpha
        return (mask is None or bool(mask.all())) and (
            alpha is None or bool((alpha == np.iinfo(alpha.dtype).max).all())
        )


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an image file is to be made; None leaves it to the format: lossless where it can be, quality 95 else."""

    format: ImageFormat
    quality: int | None = None
    lossless: bool | None = None


@dataclass(frozen=True, slots=True)
class Enlarged:
    """What is to become of a picture: so many times larger, and no more than `max_px` pixels then."""

    scale_numerator: int
    scale_denominator: int
    max_px: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the enlarged picture."""
        scale = Scale(self.scale_numerator, self.scale_denominator)
        rows, columns = (Axis(side, scale, ANY_WINDOW).target_length for side in (height, width))
        return rows, columns
