"""How a picture lies in shared memory: pixels, alpha, mask, ICC profile, EXIF block, and reference system in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import numpy as np
from jaxtyping import Shaped, UInt8
from pydantic import BaseModel, ConfigDict, Field

from hndsr_gateway.images.errors import ExchangeError
from hndsr_gateway.images.memory import SharedMemory
from hndsr_gateway.images.picture import Attributes, Georeference, ImageFormat, Picture
from hndsr_gateway.types import Raster

Bytes = UInt8[np.ndarray, "bytes"]


class PictureLayout(BaseModel):
    """A picture without its bytes; with them in a memory beside it, the picture."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    sample_type: Literal["uint8", "uint16"]
    format: ImageFormat | None
    grey: bool
    has_alpha: bool
    has_mask: bool
    icc_bytes: int = Field(ge=0)
    exif_bytes: int = Field(ge=0)
    crs_bytes: int = Field(ge=0)
    transform: tuple[float, float, float, float, float, float] | None

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each part."""
        sample = np.dtype(self.sample_type).itemsize
        alpha, mask = sample * self.has_alpha, int(self.has_mask)
        planes = (self.pixels * each for each in (3 * sample, alpha, mask))
        return (*planes, self.icc_bytes, self.exif_bytes, self.crs_bytes)


def pack(picture: Picture) -> tuple[PictureLayout, SharedMemory]:
    """Copy a picture into a memory of its own.

    Raises:
        OSError: there is no room for it.
    """
    raster, attributes, georeference = picture.raster, picture.attributes, picture.attributes.georeference
    crs = georeference.crs_wkt.encode() if georeference else b""
    layout = PictureLayout(
        height=raster.height,
        width=raster.width,
        sample_type=cast("Literal['uint8', 'uint16']", raster.pixels.dtype.name),
        format=picture.format,
        grey=picture.grey,
        has_alpha=picture.alpha is not None,
        has_mask=raster.mask is not None,
        icc_bytes=len(attributes.icc),
        exif_bytes=len(attributes.exif),
        crs_bytes=len(crs),
        transform=georeference.transform if georeference else None,
    )
    planes = (_flat(plane) for plane in (raster.pixels, picture.alpha, raster.mask) if plane is not None)
    return layout, SharedMemory.holding([*planes, attributes.icc, attributes.exif, crs])


def _flat(plane: Shaped[np.ndarray, "..."]) -> memoryview:
    native = plane.dtype.newbyteorder("=")
    return np.ascontiguousarray(plane, dtype=native).reshape(-1).view(np.uint8).data


def unpack(layout: PictureLayout, memory: SharedMemory) -> Picture:
    """The picture over a memory that need not be trusted; its planes are read-only, and only its mask is a copy.

    Raises:
        ExchangeError: the memory does not fit the layout, or cannot be read.
    """
    if memory.size != sum(layout.sizes):
        raise ExchangeError(f"a picture of {sum(layout.sizes)} bytes lies in {memory.size} bytes")
    pixels, alpha, mask, icc, exif, crs = _parts(memory.array(), layout.sizes)
    size = (layout.height, layout.width)
    # As bytes of 0 and 1: NumPy relies on bool arrays having no others.
    valid = (mask != 0).reshape(size) if layout.has_mask else None
    return Picture(
        raster=Raster(pixels.view(layout.sample_type).reshape(*size, 3), valid),
        format=layout.format,
        grey=layout.grey,
        alpha=alpha.view(layout.sample_type).reshape(size) if layout.has_alpha else None,
        attributes=Attributes(icc.tobytes(), exif.tobytes(), _georeference(layout, crs.tobytes())),
    )


def _parts(content: Bytes, sizes: tuple[int, ...]) -> Iterator[Bytes]:
    start = 0
    for size in sizes:
        yield content[start : start + size]
        start += size


def _georeference(layout: PictureLayout, crs: bytes) -> Georeference | None:
    if layout.transform is None:
        return None
    try:
        return Georeference(crs.decode(), layout.transform)
    except UnicodeDecodeError as error:
        raise ExchangeError("the reference system is no text") from error
