"""What a caller says of a raster to read, and of the one to make."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

RasterFormat = Literal["cog", "gtiff", "zarr"]
Compression = Literal["deflate", "zstd", "lzw", "jpeg", "webp", "none"]
Resampling = Literal["average", "nearest", "bilinear", "cubic", "cubicspline", "lanczos", "gauss", "mode", "rms"]
NodataRule = Literal["any", "all"]
DEFAULT_LEVELS: dict[str, int] = {"deflate": 6, "zstd": 9}
"""Of the compressions that have levels."""


@dataclass(frozen=True)
class RasterSource:
    """A raster to read, and how to take it."""

    path: str | os.PathLike[str]
    """What GDAL opens: a file, a folder of zarr, a /vsi name, or an http, https, s3, gs or az address."""
    bands: Sequence[Sequence[int]] | Literal["all"] | None = None
    """Triples of bands, counted from 1, each upscaled as one image: [(4, 3, 2), (8, 8, 8)]. The target has each band
    once, in the order in which they are named. "all": every band but alpha in the order of the file, three at a time,
    the last triple filled up with its last band. None: the only band, or all three there are beside alpha."""
    ranges: tuple[float, float] | Mapping[int, tuple[float, float]] | None = None
    """Values that are mapped to the ends of the networks' input: (low, high) for all bands, or by band. Samples outside
    are interpolated. None: all that uint8 holds; for other types `percentiles` of each band."""
    percentiles: tuple[float, float] = (0.1, 99.9)
    """Where the ranges are computed: of the valid samples of each band, once, before anything is upscaled."""
    nodata: float | None = None
    """Takes the place of what the file says: this value is no data, in every band."""
    nodata_rule: NodataRule | None = None
    """Whether a pixel is invalid where any of its bands is nodata, or only where all are. None: "all" of uint8, where
    a single 0 or 255 is more likely a dark or bright sample, "any" of all other types."""
    clip: tuple[float, float] | None = None
    """Samples of floating point below or above are taken for these ends. Without it their 16 bits on the way span all
    valid samples, so that a few outliers may make the steps between values too coarse, which is refused."""
    region: tuple[int, int, int, int] | str | os.PathLike[str] | Mapping[str, Any] | None = None
    """What part of it: (column, row, width, height) in px; or GeoJSON, as a mapping or a file, of polygons in longitude
    and latitude (RFC 7946), outside of which pixels are invalid; the target is as large as their bounds. None: all."""


@dataclass(frozen=True)
class RasterTarget:
    """A raster to make."""

    path: str | os.PathLike[str]
    """Where it appears when it is whole."""
    format: RasterFormat | None = None
    """None: by the extension, Cloud-Optimized GeoTIFF of .tif and .tiff, zarr of .zarr."""
    compress: Compression = "deflate"
    """All but JPEG and WebP keep every sample."""
    level: int | None = None
    """Of deflate (1 to 12) and zstd (1 to 22), in zarr 1 to 9; None: 6 and 9."""
    quality: int | None = None
    """Of JPEG and WebP, 1 to 100; None: 90."""
    block_px: int = 512
    """Side of the blocks, a multiple of 16, 128 to 4096."""
    overviews: bool = True
    """Whether a GeoTIFF has reduced copies of itself, by halves."""
    resampling: Resampling = "average"
    """How these are made."""
    overwrite: bool = False
    """Whether to replace what exists under the name."""
