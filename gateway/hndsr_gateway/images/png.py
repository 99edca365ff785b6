"""PNG files: up to 8 bits through Pillow, 16 through GDAL, both only after the structure was checked."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from hndsr_gateway.errors import UnsupportedFormatError
from hndsr_gateway.images import colour, gdal
from hndsr_gateway.images.content import Content
from hndsr_gateway.images.pillow import samples_of
from hndsr_gateway.images.png_chunks import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB_ALPHA,
    SIGNATURE,
    Chunk,
    Header,
    check_order,
    check_stream,
    chunks,
    damaged,
    inflate_at_most,
    pack_chunk,
    read_header,
)
from hndsr_gateway.images.strips import strips

DECODED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""Chunks that a decoder sees: nothing else in a file can move a pixel or break it."""
RIGHT_BEHIND_HEADER = len(SIGNATURE) + 12 + 13


def measure(encoded: bytes) -> tuple[int, int]:
    """Height and width, as the header says.

    Raises:
        DamagedImageError: if there is no header.
    """
    header = read_header(encoded)
    return header.height, header.width


def read(encoded: bytes) -> Content:
    """The whole file.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
        UnsupportedFormatError: if it is animated.
    """
    header, found = read_header(encoded), list(chunks(encoded))
    check_order(found, header)
    first = {chunk.kind: chunk.content for chunk in reversed(found)}
    if int.from_bytes(first.get(b"acTL", b"")[:4], "big") > 1:
        raise UnsupportedFormatError("the PNG file is animated")
    check_stream((chunk.content for chunk in found if chunk.kind == b"IDAT"), header.stream_bytes)
    pixels, alpha = _pixels(_decoded(encoded, found, header), header, first)
    return Content(
        pixels,
        grey=header.colour in {GREY, GREY_ALPHA},
        alpha=alpha,
        icc=_icc(first.get(b"iCCP", memoryview(b""))),
        exif=bytes(first.get(b"eXIf", b"")),
    )


def _decoded(encoded: bytes, found: Sequence[Chunk], header: Header) -> Shaped[np.ndarray, "h w bands"]:
    """Samples as the file has them, indices of the palette included."""
    lean = SIGNATURE + b"".join(encoded[chunk.start : chunk.stop] for chunk in found if chunk.kind in DECODED)
    samples = _read_16_bits(lean) if header.depth == 16 else _read_8_bits(lean, header)
    if samples.shape[:2] != (header.height, header.width):
        raise damaged("has pixels of another size than its header says")
    return samples


def _read_8_bits(lean: bytes, header: Header) -> UInt8[np.ndarray, "h w bands"]:
    with Image.open(io.BytesIO(lean), formats=["PNG"]) as image:
        samples = samples_of(image)
    return samples * np.uint8(255) if header.colour == GREY and header.depth == 1 else samples


def _read_16_bits(lean: bytes) -> Shaped[np.ndarray, "h w bands"]:
    with gdal.opened(lean, "PNG") as dataset, gdal.strictly():
        samples = np.empty((dataset.height, dataset.width, dataset.count), dtype=np.uint16)
        for rows in strips(dataset.height, dataset.width):
            samples[rows] = np.moveaxis(gdal.read_rows(dataset, rows), 0, 2)
    return samples


def _pixels(
    samples: Shaped[np.ndarray, "h w bands"], header: Header, first: dict[bytes, memoryview]
) -> tuple[Shaped[np.ndarray, "h w 3"], Shaped[np.ndarray, "h w"] | None]:
    key = first.get(b"tRNS")
    if header.colour == PALETTE:
        return _through_palette(samples[..., 0], header, bytes(first[b"PLTE"]), bytes(key or b""))
    if header.colour == GREY:
        return colour.grey_to_rgb(samples[..., 0]), _keyed(samples, header, key)
    if header.colour == GREY_ALPHA:
        return colour.grey_to_rgb(samples[..., 0]), np.ascontiguousarray(samples[..., 1])
    if header.colour == RGB_ALPHA:
        return np.ascontiguousarray(samples[..., :3]), np.ascontiguousarray(samples[..., 3])
    return samples, _keyed(samples, header, key)


def _through_palette(
    indices: UInt8[np.ndarray, "h w"], header: Header, palette: bytes, opacity: bytes
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None]:
    """11.2.2, 11.3.1.1."""
    entries = len(palette) // 3
    if len(palette) % 3 or not 1 <= entries <= 2**header.depth or len(opacity) > entries:
        raise damaged("has a palette that cannot be")
    if int(indices.max()) >= entries:
        raise damaged("has colours that are not in its palette")
    pixels = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)[indices]
    if not opacity:
        return pixels, None
    return pixels, np.frombuffer(opacity.ljust(entries, b"\xff"), dtype=np.uint8)[indices]


def _keyed(
    samples: Shaped[np.ndarray, "h w bands"], header: Header, key: memoryview | None
) -> Shaped[np.ndarray, "h w"] | None:
    """Alpha where one grey or colour is transparent; only as many bits of it count as samples have. 11.3.1.1."""
    if key is None:
        return None
    if len(key) != 2 * samples.shape[2]:
        raise damaged("has a transparent colour that cannot be")
    value = np.frombuffer(key, dtype=">u2") & (2**header.depth - 1)
    if header.depth < 8:
        value = colour.spread(value.astype(np.uint8), bits=header.depth)
    limit = np.iinfo(samples.dtype).max
    return np.where((samples == value).all(axis=2), 0, limit).astype(samples.dtype)


def _icc(content: memoryview) -> bytes:
    """The profile of an iCCP chunk: a name, a zero, the method 0, a stream. 11.3.2.3."""
    name, _, rest = bytes(content[:81]).partition(b"\0")
    return inflate_at_most(content[len(name) + 2 :], colour.MAX_ICC_BYTES) if rest[:1] == b"\0" else b""


def with_attributes(encoded: bytes, *, icc: bytes, exif: bytes) -> bytes:
    """A file just written, with chunks for a profile and an EXIF block without its prefix."""
    extra = pack_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) if icc else b""
    extra += pack_chunk(b"eXIf", exif) if exif else b""
    if not extra:
        return encoded
    whole = memoryview(encoded)  # slices of bytes would be copies
    return b"".join([whole[:RIGHT_BEHIND_HEADER], extra, whole[RIGHT_BEHIND_HEADER:]])
