"""How the samples of a target lie in a job's work file."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hndsr_client._core.pixels import BANDS
from hndsr_client._stream.windows import WIRE_DTYPES

VALID = 255
"""What a valid pixel is in a job's mask; an invalid one is 0."""


class Form(Protocol):
    """What becomes of a tile on its way into the work file."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples, little-endian."""
        ...

    @property
    def bands(self) -> int:
        """Samples of each pixel."""
        ...

    def samples(self, pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
        """Those of a tile.

        Args:
            pixels: (height, width, 3) as they came.
            mask: (height, width), True = valid; None: every pixel is.

        Returns:
            (height, width, bands), contiguous.
        """
        ...


class WireForm:
    """The samples as they came."""

    bands = BANDS

    def __init__(self, sample_type: str) -> None:
        self.dtype = WIRE_DTYPES[sample_type]

    def samples(self, pixels: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
        """Those of the tile."""
        del mask  # what is not valid came as 0
        return np.ascontiguousarray(pixels, self.dtype)
