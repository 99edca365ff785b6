"""TIFF files that are right: layouts, byte orders, compressions, samples, masks, and georeferences."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import tiff_writer as w
from corpus.case import SIZE, TIFF, UNSUPPORTED, Accepted, Case, Either, Expected, Refused, constant, grey, line, noise
from corpus.exif import exif_block, orientations
from corpus.tiff_writer import page, tiff

RGB_8, RGB_16, LARGE = noise((*SIZE, 3)), noise((*SIZE, 3), 16), noise((40, 50, 3))
RIGHT = Accepted(RGB_8, TIFF)
MEBIBYTE = 2**20


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, expected in [*_layouts(), *_samples(), *_alpha(), *_valid(), *_beside(), *_oriented()]:
        yield Case(f"tiff/{name}", constant(content), expected)
    for name, build in _large().items():
        yield Case(f"bomb/tiff-{name}", build, RIGHT)


def _layouts() -> Iterator[tuple[str, bytes, Accepted]]:
    compressions = {"plain": w.UNCOMPRESSED, "deflate": w.DEFLATE, "old-deflate": w.OLD_DEFLATE, "packbits": w.PACKBITS}
    for (kind, compression), planar, tile in itertools.product(compressions.items(), (1, 2), (0, 16)):
        name = f"{kind}-{'chunky' if planar == 1 else 'planar'}-{'tiles' if tile else 'strips'}"
        content = tiff(page(LARGE, compression=compression, planar=planar, tile=tile, rows=7))
        yield name, content, Accepted(LARGE, TIFF)
    for order, big, samples in itertools.product("<>", (False, True), (RGB_8, RGB_16)):
        name = f"{'intel' if order == '<' else 'motorola'}-{'big' if big else 'classic'}-{samples.dtype}"
        yield name, tiff(page(samples, order=order, rows=4), order=order, big=big), Accepted(samples, TIFF)
    yield "one-strip-of-any-rows", tiff(page(RGB_8, lies={w.STRIP_ROWS: (w.LONG, [2**32 - 1])})), RIGHT
    yield "without-rows-per-strip", tiff(page(RGB_8, lies={w.STRIP_ROWS: None})), RIGHT
    yield "offsets-as-short", tiff(page(RGB_8, lies={w.WIDTH: (w.SHORT, [14]), w.HEIGHT: (w.SHORT, [11])})), RIGHT
    yield "garbage-behind", tiff(page(RGB_8)) + noise((1000,)).tobytes(), RIGHT
    for size in ((1, 1), (1, 30_000), (30_000, 1)):
        pixels = line((*size, 3))
        yield f"{size[0]}x{size[1]}", tiff(page(pixels, rows=1)), Accepted(pixels, TIFF)


def _samples() -> Iterator[tuple[str, bytes, Accepted]]:
    for depth in (1, 2, 4, 8, 16):
        one = noise((*SIZE, 1), depth)
        spread = one * np.asarray(255 // (2**depth - 1), one.dtype) if depth < 8 else one
        limit = np.asarray(np.iinfo(one.dtype).max, one.dtype)
        yield f"grey-{depth}", tiff(page(one, depth=depth)), Accepted(grey(spread), TIFF)
        inverted = page(one, depth=depth, entries={w.PHOTOMETRIC: (w.SHORT, [w.WHITE_IS_ZERO])})
        yield f"grey-{depth}-white-is-zero", tiff(inverted), Accepted(grey(limit - spread), TIFF)
    for depth in (1, 4, 8):
        yield _indexed(depth)
    difference = np.diff(RGB_8, axis=1, prepend=np.zeros((SIZE[0], 1, 3), np.uint8)).astype(np.uint8)
    predicted = page(difference, compression=w.DEFLATE, entries={w.PREDICTOR: (w.SHORT, [2])})
    yield "deflate-predicted", tiff(predicted), RIGHT


def _indexed(depth: int) -> tuple[str, bytes, Accepted]:
    indices, colours = noise((*SIZE, 1), depth), noise((2**depth, 3), seed=depth)
    sixteen = (colours.T.astype(int) * 257).reshape(-1).tolist()
    entries: dict[int, w.Entry] = {w.PHOTOMETRIC: (w.SHORT, [w.INDEXED]), w.PALETTE: (w.SHORT, sixteen)}
    content = tiff(page(indices, depth=depth, entries=entries))
    return f"palette-{depth}", content, Accepted(colours[indices[..., 0]], TIFF)


def _alpha() -> Iterator[tuple[str, bytes, Accepted]]:
    for bands, depth in itertools.product((2, 4), (8, 16)):
        made = noise((*SIZE, bands), depth)
        made[2:4, 3:9, -1] = 0
        colour = grey(made[..., 0]) if bands == 2 else made[..., :3]
        expected = Accepted(colour, TIFF, made[..., -1])
        yield f"alpha-of-{bands}-bands-{depth}", tiff(page(made)), expected
        yield f"alpha-of-{bands}-bands-{depth}-planar", tiff(page(made, planar=2, compression=w.DEFLATE)), expected
    made = noise((*SIZE, 4))
    made[..., 3] = np.where(made[..., 3] > 100, 255, 0)
    made[..., :3] *= made[..., 3:] > 0
    associated = page(made, entries={w.EXTRA: (w.SHORT, [w.ASSOCIATED])})
    yield "alpha-associated", tiff(associated), Accepted(made[..., :3], TIFF, made[..., 3])


def _valid() -> Iterator[tuple[str, bytes, Accepted]]:
    pixels = np.maximum(RGB_8, 1)
    pixels[3:5, 2:8], pixels[8, 8] = 0, (0, 9, 9)
    valid = (pixels != 0).any(axis=-1)
    for name, text in {"0": b"0\0", "0-as-float": b"0.0\0", "0-padded": b" 0 \0"}.items():
        yield (
            f"nodata-{name}",
            tiff(page(pixels, entries={w.GDAL_NODATA: (w.ASCII, text)})),
            Accepted(pixels, TIFF, mask=valid),
        )
    for name, text in {"nan": b"nan\0", "negative": b"-9999\0", "text": b"none\0", "empty": b"\0"}.items():
        yield f"nodata-{name}", tiff(page(pixels, entries={w.GDAL_NODATA: (w.ASCII, text)})), Accepted(pixels, TIFF)
    mask = noise((*SIZE, 1), 1)
    second = page(mask, depth=1, entries={w.SUBFILE: (w.LONG, [4]), w.PHOTOMETRIC: (w.SHORT, [4])})
    yield "mask", tiff(page(RGB_8), second), Accepted(RGB_8, TIFF, mask=mask[..., 0] == 1)
    overview = page(LARGE[::2, ::2], entries={w.SUBFILE: (w.LONG, [1])})
    yield "overview", tiff(page(LARGE), overview), Accepted(LARGE, TIFF)
    hidden = tiff(page(RGB_8, entries={w.SUB_IFDS: (w.LONG, [8])}))
    yield "sub-directory-that-is-none", hidden, RIGHT


def _beside() -> Iterator[tuple[str, bytes, Expected]]:
    scale: tuple[int, w.Entry] = (33550, (w.DOUBLE, [0.5, 0.5, 0.0]))
    tie: tuple[int, w.Entry] = (33922, (w.DOUBLE, [0.0, 0, 0, 1e5, 2e5, 0]))
    turned: tuple[int, w.Entry] = (34264, (w.DOUBLE, [3.0, 4, 0, 1e5, 4, -3, 0, 2e5, *(0.0,) * 7, 1]))
    keys: tuple[int, w.Entry] = (34735, (w.SHORT, [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633]))
    beside: dict[str, dict[int, w.Entry]] = {
        "georeferenced": dict([scale, tie, keys]),
        "georeferenced-rotated": dict([turned, keys]),
        "georeferenced-by-nonsense": {
            33550: (w.DOUBLE, struct.pack("<3d", float("nan"), 0, float("inf"))),
            **dict([tie]),
        },
        "geokeys-that-are-none": {34735: (w.SHORT, [65_535] * 40)},
        "geokeys-of-65535": {34735: (w.SHORT, [1, 1, 0, 65_535, 1024, 0, 1, 1])},
        "exif-that-is-none": {w.EXIF_IFD: (w.LONG, [2**32 - 1])},
        "exif-in-a-loop": {w.EXIF_IFD: (w.LONG, [8])},
        "profile-that-is-none": {w.ICC: (7, b"no profile")},
        "description-without-end": {w.DESCRIPTION: (w.ASCII, b"not closed by a zero")},
        "metadata-that-is-no-xml": {w.GDAL_METADATA: (w.ASCII, b"<GDALMetadata><Item>\0")},
        "metadata-of-a-file": {w.GDAL_METADATA: (w.ASCII, b'<GDALMetadata><Item name="SRC">/etc/passwd</Item>\0')},
        "unknown-tags": {65_000: (w.LONG, [1, 2, 3]), 65_001: (99, b"any")},
    }
    for name, entries in beside.items():
        yield name, tiff(page(RGB_8, entries=entries)), RIGHT
    inks = noise((*SIZE, 4))
    inks[..., 3] = 0
    separated = page(inks, entries={w.PHOTOMETRIC: (w.SHORT, [w.SEPARATED])}, lies={w.EXTRA: None})
    expected = Accepted(255 - inks[..., :3], TIFF, tolerance=1)
    yield "cmyk", tiff(separated), Either(expected, Refused((UNSUPPORTED,)))


def _oriented() -> Iterator[tuple[str, bytes, Accepted]]:
    for value, upright in orientations(RGB_16):
        yield (
            f"orientation-{value}",
            tiff(page(RGB_16, entries={w.ORIENTATION: (w.SHORT, [value])})),
            Accepted(upright, TIFF),
        )
    yield "orientation-0", tiff(page(RGB_8, entries={w.ORIENTATION: (w.SHORT, [0])})), RIGHT


def _large() -> dict[str, partial[bytes]]:
    tags = {
        "description": w.DESCRIPTION,
        "metadata": w.GDAL_METADATA,
        "xmp": w.XMP,
        "profile": w.ICC,
        "unknown": 65_000,
    }
    nested = b"<GDALMetadata>" + b"<Item>" * 2_000_000
    return {
        **{
            f"{name}-of-10-mb": partial(_with, tag, exif_block(1).ljust(10 * MEBIBYTE, b"x"))
            for name, tag in tags.items()
        },
        "metadata-nested-2000000-times": partial(_with, w.GDAL_METADATA, nested),
        "4000-unknown-tags": partial(_many_tags, 4_000),
    }


def _with(tag: int, content: bytes) -> bytes:
    return tiff(page(RGB_8, entries={tag: (w.ASCII if tag != w.ICC else 7, content)}))


def _many_tags(count: int) -> bytes:
    """Numbers above all that libtiff, GDAL or cameras give a meaning to."""
    return tiff(page(RGB_8, entries={51_500 + number: (w.SHORT, [1]) for number in range(count)}))
