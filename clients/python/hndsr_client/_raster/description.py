"""What a raster is beside its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Validity = Literal["all", "nodata", "mask", "alpha"]


@dataclass(frozen=True)
class Band:
    """What one band of a raster says of itself."""

    dtype: str
    """As NumPy calls it."""
    nodata: float | None = None
    color: str = "undefined"
    """What GDAL calls its colour interpretation, in lower case: "red", "nir", "alpha", "palette"."""
    name: str | None = None
    """Its description."""
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    """A sample stands for sample * scale + offset of the unit."""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GroundPoint:
    """A ground control point: a place in the raster, pixel corners being whole numbers, and where that is."""

    row_px: float
    column_px: float
    x: float
    y: float
    z: float = 0.0
    id: str = ""
    info: str = ""


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of a raster are."""

    crs: str | None = None
    """As WKT 2; that of the ground points where there is no transform."""
    transform: tuple[float, float, float, float, float, float] | None = None
    """(a, b, c, d, e, f): the pixel corner (column, row) is at x = a column + b row + c, y = d column + e row + f."""
    points: tuple[GroundPoint, ...] = ()
    rpcs: Mapping[str, str] | None = None
    """Rational polynomial coefficients, as GDAL's metadata domain RPC names them."""


@dataclass(frozen=True)
class Raster:
    """All of it, of a source or of a target."""

    size_px: tuple[int, int]
    """Height and width."""
    bands: tuple[Band, ...]
    """Of one type; of a target without its alpha band."""
    validity: Validity
    """What says which pixels are valid, or the strongest of several: an alpha band, a mask of the whole raster, or
    nodata values. A target's alpha band is its last, behind `bands`."""
    georeference: Georeference = Georeference()
    tags: Mapping[str, str] = field(default_factory=dict)
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Metadata of other domains than the default one, such as IMAGERY."""
    alpha: int | None = None
    """Number of a source's alpha band, from 1; None where there is none."""

    @property
    def dtype(self) -> str:
        """That of its bands."""
        return self.bands[0].dtype
