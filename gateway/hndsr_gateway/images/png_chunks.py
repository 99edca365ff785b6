"""The structure of PNG files, checked before any decoder sees them.

Source: PNG specification, third edition; the numbers of its sections stand where a rule is checked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from hndsr_gateway.errors import DamagedImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
BANDS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
"""11.2.1, table 12."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column, first row, and the steps between columns and rows. 8.1."""
MAX_CHUNK_BYTES = 2**31 - 1
INPUT_BYTES, OUTPUT_BYTES = 2**16, 2**20
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


@dataclass(frozen=True, slots=True)
class Header:
    """The chunk IHDR. 11.2.1."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def stream_bytes(self) -> int:
        """What the pixels take before they are compressed, a filter's byte before each row. 7.2, 8.1."""
        passes = ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        sizes = (
            (-(-(self.width - left) // across), -(-(self.height - top) // down)) for left, top, across, down in passes
        )
        bits = self.depth * BANDS[self.colour]
        return sum(height * (1 + -(-width * bits // 8)) for width, height in sizes if width > 0 and height > 0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk, and where it begins and ends in its file."""

    kind: bytes
    content: memoryview
    start: int
    stop: int


def damaged(how: str) -> DamagedImageError:
    """The error of a PNG file that contradicts itself."""
    return DamagedImageError(f"the PNG file {how}")


def read_header(encoded: bytes) -> Header:
    """What the first chunk says.

    Raises:
        DamagedImageError: if it is another one, or says what cannot be.
    """
    if not encoded.startswith(SIGNATURE):
        raise damaged("has a broken signature")
    first = next(chunks(encoded))
    if first.kind != b"IHDR" or len(first.content) != 13:
        raise damaged("does not begin with its header")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", first.content)
    if depth not in DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise damaged("has a header that cannot be")
    return Header(width, height, depth, colour, interlace == 1)


def chunks(encoded: bytes) -> Iterator[Chunk]:
    """The chunks up to IEND; what lies behind is nobody's.

    Raises:
        DamagedImageError: if one is cut off, has a wrong checksum, or IEND does not come.
    """
    view, position = memoryview(encoded), len(SIGNATURE)
    while True:
        length, kind = _start(encoded, position)
        stop = position + 12 + length
        if length > MAX_CHUNK_BYTES or stop > len(encoded):
            raise damaged("is cut off")
        if zlib.crc32(view[position + 4 : stop - 4]) != int.from_bytes(view[stop - 4 : stop], "big"):
            raise damaged(f"has a wrong checksum at byte {position}")
        yield Chunk(kind, view[position + 8 : stop - 4], position, stop)
        if kind == b"IEND":
            return
        position = stop


def _start(encoded: bytes, position: int) -> tuple[int, bytes]:
    try:
        length, kind = struct.unpack_from(">I4s", encoded, position)
    except struct.error:
        raise damaged("is cut off") from None
    return length, kind


def check_order(found: list[Chunk], header: Header) -> None:
    """Whether the chunks that decide the pixels come as often and in the order that they must. 5.6.

    Raises:
        DamagedImageError: if not.
    """
    kinds = [chunk.kind for chunk in found]
    unknown = next((kind for kind in kinds if not kind[0] & 0x20 and kind not in CRITICAL), None)
    if unknown is not None:
        raise damaged("has a chunk that cannot be left out and is not known")
    if kinds.count(b"IHDR") != 1 or kinds.count(b"PLTE") > 1 or kinds.count(b"tRNS") > 1:
        raise damaged("says twice what must be said once")
    if b"IDAT" not in kinds:
        raise damaged("has no pixels")
    first, count = kinds.index(b"IDAT"), kinds.count(b"IDAT")
    if set(kinds[first : first + count]) != {b"IDAT"}:
        raise damaged("has other chunks between those of its pixels")
    if {b"PLTE", b"tRNS"} & set(kinds[first:]):
        raise damaged("says its colours behind its pixels")
    if header.colour == PALETTE and b"PLTE" not in kinds:
        raise damaged("has no palette")


def check_stream(pieces: Iterator[memoryview], expected_bytes: int) -> None:
    """Whether the pixels inflate to as many bytes as the header says, checksum included, without keeping them. 10.

    Raises:
        DamagedImageError: if not.
    """
    inflate, total = zlib.decompressobj(), 0
    try:
        for piece in pieces:
            for start in range(0, len(piece), INPUT_BYTES):
                total += _inflated_bytes(inflate, piece[start : start + INPUT_BYTES], expected_bytes - total)
    except zlib.error:
        raise damaged("has pixels that do not inflate") from None
    if not inflate.eof or total != expected_bytes or inflate.unused_data:
        raise damaged(f"has {total:,} bytes of pixels where its header says {expected_bytes:,}")


def _inflated_bytes(inflate: zlib._Decompress, piece: memoryview, limit: int) -> int:
    total = len(inflate.decompress(piece, OUTPUT_BYTES))
    while inflate.unconsumed_tail:
        total += len(inflate.decompress(inflate.unconsumed_tail, OUTPUT_BYTES))
        if total > limit:
            raise damaged("has more pixels than its header says")
    return total


def inflate_at_most(compressed: memoryview, limit: int) -> bytes:
    """A small stream, or no bytes if it is larger, cut off or none."""
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(compressed, limit + 1)
    except zlib.error:
        return b""
    return inflated if inflate.eof and len(inflated) <= limit else b""


def pack_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as it is written. 5.3."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
