"""TIFF files that cost more than they are worth: blocks of gigabytes, or one block in the place of many."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from corpus import tiff_writer as w
from corpus.case import (
    BOMB,
    DAMAGED,
    SIZE,
    TIFF,
    TOO_LARGE,
    UNSUPPORTED,
    Accepted,
    Case,
    either,
    noise,
    refused,
)
from corpus.tiff_writer import LONG, SHORT, Entry, Page, page, tiff
from corpus.zeros import deflated_zeros, lzw_zeros, zstandard_zeros

PIXELS = noise((*SIZE, 3))
BLACK = Accepted(PIXELS * 0, TIFF)
KIND = (DAMAGED, UNSUPPORTED)
MEBIBYTE, GIBIBYTE = 2**20, 2**30
ZEROS = {
    "deflate": (w.DEFLATE, deflated_zeros),
    "lzw": (w.LZW, lzw_zeros),
    "zstd": (w.ZSTANDARD, zstandard_zeros),
}
"""Compressions, and what makes their zeros."""
ROWS, ROW = 20_000, noise((1, 3, 3))


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (compression, zeros) in ZEROS.items():
        for size in (MEBIBYTE, GIBIBYTE, 4 * GIBIBYTE):
            make = partial(_strip, compression, zeros, size)
            yield either(f"bomb/tiff-{name}-strip-of-{size}-zeros", make, BLACK, BOMB, DAMAGED)
    for side in (30_000, 16_000_000):
        yield refused(f"bomb/tiff-sparse-{side}x{side}", partial(_sparse, side), TOO_LARGE, DAMAGED)
    yield refused("bomb/tiff-one-tile-of-30000x30000", partial(_one_tile, 30_000), BOMB, *KIND, TOO_LARGE)
    make = partial(_one_tile, 10_000)
    yield either("bomb/tiff-one-tile-of-10000x10000", make, BLACK, BOMB, *KIND, TOO_LARGE)
    yield refused("bomb/tiff-500000-directories", partial(_many_pages, 500_000), UNSUPPORTED, BOMB, DAMAGED)
    yield refused("bomb/tiff-300000-overviews", partial(_many_pages, 300_000, kind=1), BOMB, *KIND)
    for exponent in (27, 28, 31, 41):
        make = partial(_strip, w.ZSTANDARD, partial(zstandard_zeros, window_exponent=exponent), PIXELS.size)
        yield either(f"bomb/tiff-zstd-window-of-2-to-the-{exponent}", make, BLACK, BOMB, DAMAGED)
    for code, size in {38: "2-gib", 40: "4-gib"}.items():
        make = partial(_dictionary, code)
        yield either(f"bomb/tiff-lzma-dictionary-of-{size}", make, Accepted(PIXELS, TIFF), BOMB, DAMAGED)
    yield from _shared()


def _shared() -> Iterator[Case]:
    """Blocks that lie over each other, so that there is far more to read than the file has bytes."""
    overlapped = np.lib.stride_tricks.sliding_window_view(_OVERLAPPED, ROW.size).reshape(ROWS, *ROW.shape[1:])
    shifted = partial(_strips, w.UNCOMPRESSED, _OVERLAPPED.tobytes(), size=ROW.size, step=1)
    yield either("bomb/tiff-strips-that-overlap", shifted, Accepted(overlapped, TIFF), BOMB, DAMAGED)
    same = Accepted(np.repeat(ROW, ROWS, axis=0), TIFF)
    blocks = {
        "stored": (w.UNCOMPRESSED, ROW.tobytes()),
        "stored-and-4-mib": (w.UNCOMPRESSED, ROW.tobytes() + bytes(4 * MEBIBYTE)),
        "deflated": (w.DEFLATE, zlib.compress(ROW.tobytes())),
        "deflated-and-500-empty-pieces": (w.DEFLATE, _with_empty_pieces(500)),
        "deflated-and-1000000-empty-pieces": (w.DEFLATE, _with_empty_pieces(1_000_000)),
    }
    for name, (compression, block) in blocks.items():
        yield either(f"bomb/tiff-strips-of-the-same-{name}", partial(_strips, compression, block), same, BOMB, DAMAGED)
    black = Accepted(same.pixels * 0, TIFF)
    for name in ("lzw", "zstd"):
        compression, zeros = ZEROS[name]
        make = partial(_strips, compression, zeros(GIBIBYTE))
        yield either(f"bomb/tiff-strips-of-the-same-gibibyte-{name}", make, black, BOMB, DAMAGED)


_OVERLAPPED = noise((ROWS + ROW.size - 1,))


def _strips(compression: int, block: bytes, *, size: int = 0, step: int = 0) -> bytes:
    """Strips of one row each, of so many bytes or of the whole block, each so many bytes behind the one before."""
    starts = range(8, 8 + step * ROWS, step) if step else [8] * ROWS
    said = page(ROW).entries | {w.HEIGHT: (LONG, [ROWS]), w.COMPRESSION: (SHORT, [compression])}
    lies: dict[int, Entry | None] = {
        w.STRIP_OFFSETS: (LONG, list(starts)),
        w.STRIP_BYTES: (LONG, [size or len(block)] * ROWS),
    }
    return tiff(Page(said, [block], lies=lies))


def _with_empty_pieces(count: int) -> bytes:
    """A zlib stream of the row, behind so many pieces of nothing."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = deflate.compress(ROW.tobytes()) + deflate.flush()
    return b"\x78\x01" + b"\0\0\0\xff\xff" * count + rest + struct.pack(">I", zlib.adler32(ROW.tobytes()))


def _strip(compression: int, zeros: Callable[[int], bytes], size: int) -> bytes:
    """A small picture whose one strip holds so many zeros."""
    return tiff(Page(_said(compression), [zeros(size)]))


def _said(compression: int) -> dict[int, Entry]:
    return page(PIXELS).entries | {w.COMPRESSION: (SHORT, [compression])}


def _dictionary(code: int) -> bytes:
    """A strip of LZMA that asks for a dictionary of 2 to 4 GiB, whatever it needs.

    Source: the .xz file format, 3.1 and 5.3.1.
    """
    stream = lzma.compress(PIXELS.tobytes())
    size = 4 * (stream[12] + 1)
    header = bytearray(stream[12 : 12 + size - 4])
    header[header.index(b"\x21\x01") + 2] = code
    changed = stream[:12] + header + struct.pack("<I", zlib.crc32(header)) + stream[12 + size :]
    return tiff(Page(_said(w.LZMA), [changed]))


def _sparse(side: int) -> bytes:
    """A BigTIFF of tiles that are left out."""
    tile = 2**20 if side > 2**20 else 2**13
    count = (-(-side // tile)) ** 2
    said = page(PIXELS, tile=16).entries | {w.HEIGHT: (LONG, [side]), w.WIDTH: (LONG, [side])}
    said |= {w.TILE_HEIGHT: (LONG, [tile]), w.TILE_WIDTH: (LONG, [tile])}
    nowhere: dict[int, Entry] = {w.TILE_OFFSETS: (w.LONG8, [0] * count), w.TILE_BYTES: (w.LONG8, [0] * count)}
    return tiff(Page(said | nowhere), big=True)


def _one_tile(side: int) -> bytes:
    """A small picture in the corner of a tile that is honestly there."""
    side += -side % 16
    said = page(PIXELS, tile=16, compression=w.DEFLATE).entries
    said |= {w.TILE_HEIGHT: (LONG, [side]), w.TILE_WIDTH: (LONG, [side])}
    return tiff(Page(said, [deflated_zeros(side * side * 3)], tiled=True))


def flat_tiles(side: int) -> bytes:
    """A black square of compressed tiles of 16 bits."""
    tile, count = 512, (-(-side // 512)) ** 2
    said = page(PIXELS.astype(np.uint16), tile=16, compression=w.DEFLATE).entries
    said |= {w.HEIGHT: (LONG, [side]), w.WIDTH: (LONG, [side])}
    said |= {w.TILE_HEIGHT: (LONG, [tile]), w.TILE_WIDTH: (LONG, [tile])}
    return tiff(Page(said, [deflated_zeros(tile * tile * 6)] * count, tiled=True))


def _many_pages(count: int, *, kind: int = 0) -> bytes:
    """Directories of three entries each."""
    first = tiff(page(PIXELS))
    link, start = len(first) - 4, len(first)
    entry = struct.Struct("<HHII")
    said = entry.pack(254, 4, 1, kind) + entry.pack(256, 4, 1, 1) + entry.pack(257, 4, 1, 1)
    length = 2 + len(said) + 4
    more = (
        struct.pack("<H", 3) + said + struct.pack("<I", start + (number + 1) * length) for number in range(count - 1)
    )
    last = struct.pack("<H", 3) + said + bytes(4)
    return first[:link] + struct.pack("<I", start) + b"".join(more) + last
