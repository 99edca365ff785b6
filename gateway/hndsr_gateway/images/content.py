"""What the readers of the formats hand on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from hndsr_ensemble.masks import Mask
from hndsr_gateway.images.picture import Georeference


@dataclass(frozen=True, slots=True)
class Content:
    """What an image file holds, as it lies in the file: neither turned upright nor rid of what becomes false."""

    pixels: Shaped[np.ndarray, "h w 3"]
    grey: bool = False
    alpha: Shaped[np.ndarray, "h w"] | None = None
    valid: Mask | None = None
    """False where the file says nodata, apart from alpha."""
    icc: bytes = b""
    exif: bytes = b""
    """TIFF structure with the EXIF tags; the file itself where it is a TIFF file."""
    georeference: Georeference | None = None
