"""Image files, as a worker of the gateway decodes them, within its limits; what is read is also written again."""

from __future__ import annotations

import time
import traceback
import zlib
from collections.abc import Iterator

import numpy as np
from corpus.cases import CASES
from finding import FindingError
from limits import limited

from hndsr_ensemble.scale import Scale
from hndsr_gateway.errors import OutputUnsupportedError
from hndsr_gateway.images import decode as decoding
from hndsr_gateway.images.encode import check_encoding, encode
from hndsr_gateway.images.enlarge import enlarge
from hndsr_gateway.images.exchange import REFUSALS
from hndsr_gateway.images.layout import pack, unpack
from hndsr_gateway.images.limits import Allowance
from hndsr_gateway.images.picture import Encoding, Enlarged, ImageFormat, Picture
from hndsr_gateway.images.png_chunks import SIGNATURE
from hndsr_gateway.types import Raster

INSTRUMENTED = ("hndsr_gateway.images", "PIL")
MAX_BYTES = 4096
MAX_PX = 2**20
SMALL_PX = 2**14
"""Pictures of no more are written again."""
MEMORY_BYTES = 256 * 2**20
"""Beside the pixels: the least that the gateway's settings allow."""
LONGEST_S = 2.0
"""Of processor time."""
TWICE = Scale(2, 1)
TOKENS = (
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"Exif\0\0", b"ICC_PROFILE\0"),
    *(b"\xff\xd8\xff", b"\xff\xc0", b"\xff\xc2", b"\xff\xda", b"\xff\xd9", b"\xff\xe1", b"\xff\xee", b"Adobe"),
    *(b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ICCP", b"EXIF", b"ALPH", b"II*\0", b"MM\0*", b"II+\0", b"acsp"),
)
XZ = b"\xfd7zXZ\0"


def seeds() -> Iterator[bytes]:
    """The files of the tests' corpus."""
    return (content for case in CASES.values() if len(content := case.content) <= MAX_BYTES)


def check(encoded: bytes) -> None:
    """Decode a file; it becomes a picture or is refused as something, soon and in little memory.

    Raises:
        FindingError: if not.
    """
    start_s = time.process_time()
    with limited(MEMORY_BYTES + len(encoded)) as allowance:
        picture = _decoded(encoded, allowance)
        if picture is not None and picture.raster.pixels[..., 0].size <= SMALL_PX:
            _check_written(picture, allowance)
    took_s = time.process_time() - start_s
    if took_s > LONGEST_S:
        raise FindingError(f"it took {took_s:.1f} s")


def _decoded(encoded: bytes, allowance: Allowance) -> Picture | None:
    enlarged = Enlarged(TWICE.numerator, TWICE.denominator, 4 * MAX_PX)
    try:
        return decoding.decode(encoded, max_px=MAX_PX, enlarged=enlarged, measured=allowance.add_pixels)
    except tuple(REFUSALS.values()) as error:
        cause = error.__cause__
        if isinstance(cause, decoding.FOREIGN) and _is_ours(cause):
            raise FindingError("a defect of ours is taken for a damaged file") from cause
        return None
    except MemoryError as error:
        if XZ in encoded:  # whose header says how large a dictionary is to be, and is refused for it
            return None
        raise FindingError("it took too much memory") from error


def _is_ours(error: BaseException) -> bool:
    """Whether an error was thrown in the gateway's code, though not by a statement that refuses something."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return "hndsr_gateway" in frame.filename and not (frame.line or "").startswith("raise ")


def _check_written(picture: Picture, allowance: Allowance) -> None:
    """What the gateway does with a picture that was read, its pixels doubled for the model's: all of it must work."""
    picture = unpack(*pack(picture))
    raster = Raster(
        *(None if plane is None else _doubled(plane) for plane in (picture.raster.pixels, picture.raster.mask))
    )
    target = enlarge(picture, raster, TWICE)
    encoding = Encoding(target.format or ImageFormat.PNG)
    size = (raster.height, raster.width)
    try:
        check_encoding(encoding, dtype=raster.pixels.dtype, masked=not picture.opaque, size=size)
    except OutputUnsupportedError:
        return
    again = decoding.decode(encode(target, encoding), max_px=4 * MAX_PX, measured=allowance.add_pixels)
    if encoding.format is not ImageFormat.JPEG and not np.array_equal(again.raster.pixels, target.raster.pixels):
        raise FindingError("what was written is read as another picture")


def _doubled(plane: np.ndarray) -> np.ndarray:
    return plane.repeat(2, axis=0).repeat(2, axis=1)


def mutated(content: bytes, most_bytes: int, seed: int) -> bytes:
    """A changed file; in half of all PNG files the checksums are then mended, else nothing behind them is reached."""
    import atheris  # noqa: PLC0415 - only who fuzzes has it

    changed: bytes = atheris.Mutate(content, len(content))[:most_bytes]
    return mended(changed) if seed % 2 else changed


def mended(content: bytes) -> bytes:
    """A PNG file whose chunks have the right checksums; any other file as it is."""
    if not content.startswith(SIGNATURE):
        return content
    result, position = bytearray(content), len(SIGNATURE)
    while position + 12 <= len(content):
        stop = position + 12 + int.from_bytes(content[position : position + 4], "big")
        if stop > len(content):
            break
        result[stop - 4 : stop] = zlib.crc32(content[position + 4 : stop - 4]).to_bytes(4, "big")
        position = stop
    return bytes(result)
