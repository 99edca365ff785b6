"""TIFF files that are cut, contradict themselves, or are of a kind that is not read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from corpus import tiff_writer as w
from corpus.case import (
    BOMB,
    DAMAGED,
    EMPTY,
    SIZE,
    TIFF,
    TOO_LARGE,
    UNSUPPORTED,
    Accepted,
    Case,
    Sized,
    constant,
    either,
    noise,
    refused,
)
from corpus.tiff_writer import LONG, SHORT, Entry, Page, page, tiff

PIXELS = noise((*SIZE, 3))
RIGHT, ANY = Accepted(PIXELS, TIFF), Sized(SIZE, TIFF)
KIND = (DAMAGED, UNSUPPORTED)
LARGEST = 2**32 - 1


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut()
    yield from _directories()
    yield from _kinds()
    yield from _sizes()
    yield from _blocks()
    yield from _counts()


def _lying(name: str, lies: dict[int, Entry | None], *reasons: str, **how: Any) -> Case:
    """A file that says something else of its pixels."""
    return refused(f"tiff/{name}", constant(tiff(page(PIXELS, lies=lies, **how))), *reasons)


def _cut() -> Iterator[Case]:
    files = {"classic": tiff(page(PIXELS, rows=4)), "big": tiff(page(PIXELS, rows=4), big=True)}
    for name, content in files.items():
        for length in (4, 7, 8, 9, 15, 16, 100, len(content) // 2, len(content) - 60, len(content) - 5):
            reasons = KIND if length < 8 else (DAMAGED,)
            yield refused(f"tiff-cut/{name}-{length}-of-{len(content)}", constant(content[:length]), *reasons)
    pixels_last = _pixels_last()
    for percent in (40, 50, 70, 90, 99):
        cut = pixels_last[: len(pixels_last) * percent // 100]
        yield refused(f"tiff-cut/pixels-last-at-{percent}-percent", constant(cut))
    yield Case("tiff-cut/pixels-last-whole", constant(pixels_last), RIGHT)


def _pixels_last() -> bytes:
    """A file whose one strip lies behind its directory."""
    strip = PIXELS.tobytes()
    said: dict[int, Entry] = {w.STRIP_BYTES: (LONG, [len(strip)])}
    front = tiff(page(PIXELS, lies={**said, w.STRIP_OFFSETS: (LONG, [0])}))
    return tiff(page(PIXELS, lies={**said, w.STRIP_OFFSETS: (LONG, [len(front)])})) + strip


def _directories() -> Iterator[Case]:
    plain = page(PIXELS)
    first = struct.unpack_from("<I", tiff(plain), 4)[0]
    yield refused("tiff/directories-in-a-loop", constant(tiff(plain, next_ifd=first)), *KIND)
    yield refused("tiff/directories-in-a-loop-of-two", constant(tiff(plain, plain, next_ifd=first)), *KIND)
    overview = page(PIXELS[::2, ::2], entries={w.SUBFILE: (LONG, [1])})
    yield refused("tiff/overviews-in-a-loop", constant(tiff(plain, overview, next_ifd=first)), *KIND)
    content = tiff(plain)
    for place in (0, 4, 7, len(content), LARGEST):
        elsewhere = content[:4] + struct.pack("<I", place) + content[8:]
        yield refused(f"tiff/directory-at-{'end' if place == len(content) else place}", constant(elsewhere))
    yield refused("tiff/second-directory-beyond-the-end", constant(tiff(plain, next_ifd=LARGEST)))
    yield refused("tiff/directory-of-no-entry", constant(tiff(Page({}))), *KIND)
    yield refused("tiff/big-directory-of-2-to-the-60-entries", constant(_big_directory(2**60)))
    yield refused("tiff/big-with-offsets-of-4", constant(b"II+\0\x04\0\0\0" + bytes(40)), *KIND)
    yield refused("tiff/two-pages", constant(tiff(plain, plain)), UNSUPPORTED)
    yield refused("tiff/a-page-behind-an-overview", constant(tiff(plain, overview, plain)), UNSUPPORTED)
    yield refused("tiff/5000-pages", constant(tiff(*[page(PIXELS[:1, :1])] * 5_000)), UNSUPPORTED)
    yield refused("tiff/only-an-overview", constant(tiff(overview)), *KIND)
    yield refused("tiff/version-44", constant(b"II,\0" + content[4:]), *KIND)
    yield refused("tiff/mixed-byte-order", constant(b"MM\0*" + content[4:]))


def _big_directory(entries: int) -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, entries) + bytes(100)


def _kinds() -> Iterator[Case]:
    for number, name in {2: "int", 3: "float", 5: "complex", 6: "complex-float", 9: "unknown"}.items():
        yield _lying(f"samples-of-{name}", {w.SAMPLE_FORMAT: (SHORT, [number] * 3)}, UNSUPPORTED)
    for depth in (0, 3, 12, 24, 32, 64, 65_535):
        yield _lying(f"samples-of-{depth}-bits", {w.BITS: (SHORT, [depth] * 3)}, *KIND)
    yield _lying("samples-of-8-16-8-bits", {w.BITS: (SHORT, [8, 16, 8])}, *KIND)
    for number, name in {
        w.LAB: "cielab",
        9: "icclab",
        32_803: "mosaic",
        32_844: "logl",
        34_892: "raw",
        77: "unknown",
    }.items():
        yield _lying(f"colours-{name}", {w.PHOTOMETRIC: (SHORT, [number])}, *KIND)
    yield _lying("colours-palette-of-3-bands", {w.PHOTOMETRIC: (SHORT, [w.INDEXED])}, *KIND)
    yield _lying("colours-mask", {w.PHOTOMETRIC: (SHORT, [4])}, *KIND)
    yield _lying("without-photometric", {w.PHOTOMETRIC: None}, *KIND)
    for compression in (0, 2, 3, 4, 6, 7, 9, 34_676, 34_887, 50_000, 50_001, 65_535):
        yield _lying(f"compression-{compression}-that-it-is-not", {w.COMPRESSION: (SHORT, [compression])}, *KIND)
    for bands in (0, 1, 2, 4, 5, 65_535):
        lies: dict[int, Entry | None] = {w.BANDS: (SHORT, [bands]), w.BITS: (SHORT, [8] * min(bands, 5))}
        yield _lying(f"bands-{bands}-of-3", lies, *KIND, TOO_LARGE)
    yield _lying("planar-3", {w.PLANAR: (SHORT, [3])}, *KIND)
    indexed: dict[int, Entry] = {w.PHOTOMETRIC: (SHORT, [w.INDEXED])}
    for name, colours in {"gone": [], "short": [9] * 30, "one-short": [9] * 767}.items():
        entries = {**indexed, **({w.PALETTE: (SHORT, colours)} if colours else {})}
        yield refused(f"tiff/palette-{name}", constant(tiff(page(PIXELS[..., :1], entries=entries))), *KIND)


def _sizes() -> Iterator[Case]:
    for height, width in ((100_000, 100_000), (LARGEST, LARGEST), (LARGEST, 14), (11, LARGEST), (5_657, 5_657)):
        lies: dict[int, Entry | None] = {w.HEIGHT: (LONG, [height]), w.WIDTH: (LONG, [width])}
        yield _lying(f"size-{height}x{width}", lies, TOO_LARGE, DAMAGED)
        yield _lying(f"size-{height}x{width}-one-strip", {**lies, w.STRIP_ROWS: (LONG, [LARGEST])}, TOO_LARGE)
    for height, width in ((0, 14), (11, 0)):
        lies = {w.HEIGHT: (LONG, [height]), w.WIDTH: (LONG, [width])}
        yield _lying(f"size-{height}x{width}", lies, DAMAGED, EMPTY)
    for tag, name in {w.HEIGHT: "height", w.WIDTH: "width"}.items():
        yield _lying(f"without-{name}", {tag: None})
    for height, width in ((12, 14), (11, 15), (3000, 3000)):
        lies = {w.HEIGHT: (LONG, [height]), w.WIDTH: (LONG, [width])}
        yield _lying(f"size-{height}x{width}-of-11x14", {**lies, w.STRIP_ROWS: (LONG, [height])})
    yield _lying("height-of-text", {w.HEIGHT: (w.ASCII, b"11\0")}, *KIND)
    for side in (0, 1, 8, 17, 60_000, LARGEST - 15, LARGEST):
        lies = {w.TILE_WIDTH: (LONG, [side]), w.TILE_HEIGHT: (LONG, [side])}
        yield _lying(f"tiles-of-{side}", lies, *KIND, TOO_LARGE, BOMB, tile=16)
    tall: dict[int, Entry | None] = {w.TILE_HEIGHT: (LONG, [2**30])}
    yield refused(
        "tiff/tile-of-2-to-the-30-rows", constant(tiff(page(PIXELS, tile=16, lies=tall, compression=8))), *KIND, BOMB
    )
    yield _lying("strips-of-0-rows", {w.STRIP_ROWS: (LONG, [0])}, *KIND)


def _blocks() -> Iterator[Case]:
    size = PIXELS.size
    for tag, name in {w.STRIP_OFFSETS: "offsets", w.STRIP_BYTES: "sizes"}.items():
        yield _lying(f"without-strip-{name}", {tag: None})
        yield _lying(f"strip-{name}-too-few", {tag: (LONG, [8])}, rows=4)
    for name, offset in {"beyond": LARGEST, "at-the-last-byte": size + 100}.items():
        yield _lying(f"strip-{name}", {w.STRIP_OFFSETS: (LONG, [offset])})
    yield _lying("strip-far-beyond", {w.STRIP_OFFSETS: (w.LONG8, [2**64 - 1])}, *KIND)
    for name, count in {"0": 0, "1": 1, "one-less": size - 1}.items():
        yield _lying(f"strip-of-{name}-bytes", {w.STRIP_BYTES: (LONG, [count])})
    for name, count in {"one-more": size + 1, "largest": LARGEST}.items():
        content = tiff(page(PIXELS, lies={w.STRIP_BYTES: (LONG, [count])}))
        yield either(f"tiff/strip-of-{name}-bytes", constant(content), RIGHT)
    sparse = page(PIXELS, lies={w.STRIP_BYTES: (LONG, [0]), w.STRIP_OFFSETS: (LONG, [0])})
    yield either("tiff/strip-left-out", constant(tiff(sparse)), Accepted(PIXELS * 0, TIFF))
    everywhere = tiff(page(np.repeat(PIXELS[:1], 11, axis=0), rows=1, lies={w.STRIP_OFFSETS: (LONG, [8] * 11)}))
    yield either("tiff/strips-in-one-place", constant(everywhere), Accepted(np.repeat(PIXELS[:1], 11, axis=0), TIFF))
    whole = zlib.compress(PIXELS.tobytes())
    streams = {
        "no-stream": b"no zlib stream",
        "half": whole[: len(whole) // 2],
        "short": zlib.compress(bytes(size - 1)),
    }
    for name, stream in streams.items():
        damaged = Page(page(PIXELS, compression=w.DEFLATE).entries, [stream])
        yield refused(f"tiff/deflate-{name}", constant(tiff(damaged)))
    packed = Page(page(PIXELS, compression=w.PACKBITS).entries, [b"\x7f" + bytes(20)])
    yield refused("tiff/packbits-short", constant(tiff(packed)))
    lzw = Page(page(PIXELS, lies={}).entries | {w.COMPRESSION: (SHORT, [w.LZW])}, [b"\xff" * 60])
    yield refused("tiff/lzw-of-ones", constant(tiff(lzw)))


def _counts() -> Iterator[Case]:
    claims = {"height": w.HEIGHT, "bits": w.BITS, "strip-offsets": w.STRIP_OFFSETS, "strip-sizes": w.STRIP_BYTES}
    for name, tag in claims.items():
        for count in (0, 2**30, LARGEST):
            content = tiff(page(PIXELS, rows=4, counts={tag: count}))
            yield refused(f"tiff/{name}-of-{count}-values", constant(content), *KIND)
    content = tiff(page(PIXELS, rows=4, counts={w.STRIP_OFFSETS: 2**60}), big=True)
    yield refused("tiff/big-strip-offsets-of-2-to-the-60-values", constant(content))
    harmless = {"description": w.DESCRIPTION, "metadata": w.GDAL_METADATA, "profile": w.ICC, "nodata": w.GDAL_NODATA}
    for name, tag in harmless.items():
        for count in (0, LARGEST):
            content = tiff(page(PIXELS, entries={tag: (w.ASCII, b"0123456789\0")}, counts={tag: count}))
            yield either(f"tiff/{name}-of-{count}-values", constant(content), RIGHT)
    twice = page(PIXELS).entries | {w.WIDTH: (LONG, [14, 99])}
    yield either("tiff/width-of-two-values", constant(tiff(Page(twice, [PIXELS.tobytes()]))), RIGHT)
