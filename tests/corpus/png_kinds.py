"""PNG files that are right: every colour type, depth, interlace and filter, transparency, and odd but legal layouts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from corpus import png_writer as w
from corpus.case import PNG, SIZE, Accepted, Case, constant, grey, line, noise
from corpus.exif import exif_block, orientations
from corpus.png_writer import chunk


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, expected in [*_kinds(), *_transparency(), *_layouts(), *_sizes(), *_beside(), *_oriented()]:
        yield Case(f"png/{name}", constant(content), expected)


def samples(colour: int, depth: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Random samples of a kind, transparent pixels among them where it has alpha."""
    made = noise((*size, w.BANDS[colour]), depth)
    if colour in {w.GREY_ALPHA, w.RGB_ALPHA} and size != (1, 1):
        made[2:4, 3:9, -1], made[5, :, -1] = 0, 2**depth - 1
    return made


def meaning(made: np.ndarray, depth: int, colour: int) -> Accepted:
    """What samples stand for."""
    if colour == w.PALETTE:
        return Accepted(w.palette(depth)[made[..., 0]], PNG)
    spread = made * np.asarray(255 // (2**depth - 1), made.dtype) if depth < 8 else made
    pixels = grey(spread[..., :1]) if colour in {w.GREY, w.GREY_ALPHA} else spread[..., :3]
    alpha = spread[..., -1] if colour in {w.GREY_ALPHA, w.RGB_ALPHA} else None
    return Accepted(pixels, PNG, alpha)


def _kinds() -> Iterator[tuple[str, bytes, Accepted]]:
    for colour, depth in w.kinds():
        made, kind = samples(colour, depth), f"{w.NAMES[colour]}-{depth}"
        expected = meaning(made, depth, colour)
        yield f"{kind}", w.png(made, depth, colour), expected
        yield f"{kind}-adam7", w.png(made, depth, colour, interlace=1, filters=range(5)), expected
        yield f"{kind}-filters", w.png(made, depth, colour, filters=range(5)), expected
    for number, name in enumerate(("none", "sub", "up", "average", "paeth")):
        made = samples(w.RGB, 8)
        yield f"filter-{name}", w.png(made, filters=[number]), meaning(made, 8, w.RGB)


def _transparency() -> Iterator[tuple[str, bytes, Accepted]]:
    for depth in w.DEPTHS[w.GREY]:
        made = samples(w.GREY, depth)
        made[4, 4], made[4, 5] = _near_misses(depth)
        key = int(made[4, 4, 0])
        yield _keyed(f"grey-{depth}-trns", made, depth, w.GREY, (key,))
    for depth in w.DEPTHS[w.RGB]:
        made = samples(w.RGB, depth)
        made[4, 4], made[4, 5] = _near_misses(depth)
        yield _keyed(f"rgb-{depth}-trns", made, depth, w.RGB, tuple(int(value) for value in made[4, 4]))
    for depth in w.DEPTHS[w.PALETTE]:
        made, opacity = samples(w.PALETTE, depth), np.array([0, 128], np.uint8)
        table = np.concatenate([opacity, np.full(2**depth - 2, 255, np.uint8)])
        content = w.png(made, depth, w.PALETTE, extra=chunk(b"tRNS", opacity.tobytes()))
        expected = Accepted(w.palette(depth)[made[..., 0]], PNG, table[made[..., 0]])
        yield f"palette-{depth}-trns", content, expected


def _near_misses(depth: int) -> tuple[int, int]:
    """Two samples, in 16 bits of the same high byte: a reader that drops the low one mistakes them."""
    return (0x1201, 0x1202) if depth == 16 else (1, 0)


def _keyed(name: str, made: np.ndarray, depth: int, colour: int, key: tuple[int, ...]) -> tuple[str, bytes, Accepted]:
    content = w.png(made, depth, colour, extra=chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)))
    plain = meaning(made, depth, colour)
    opaque = np.asarray(np.iinfo(plain.pixels.dtype).max, plain.pixels.dtype)
    alpha = np.where((made == key).all(axis=-1), opaque * 0, opaque)
    return name, content, Accepted(plain.pixels, PNG, alpha)


def _layouts() -> Iterator[tuple[str, bytes, Accepted]]:
    made = samples(w.RGB, 8)
    rows, expected = w.scanlines(made, 8), meaning(made, 8, w.RGB)
    idat, head = chunk(b"IDAT", zlib.compress(rows)), w.header(SIZE)
    yield "idat-of-one-byte-each", w.assembled(head, w.split_idat(rows, 1), w.IEND), expected
    empty = chunk(b"IDAT")
    yield "idat-empty-first", w.assembled(head, empty, idat, w.IEND), expected
    yield "idat-empty-last", w.assembled(head, idat, empty, w.IEND), expected
    yield "idat-100000-empty", w.assembled(head, empty * 100_000, idat, w.IEND), expected
    yield "idat-stored", w.assembled(head, chunk(b"IDAT", zlib.compress(rows, 0)), w.IEND), expected
    small = zlib.compressobj(9, zlib.DEFLATED, 9)
    yield "window-512", w.assembled(head, chunk(b"IDAT", small.compress(rows) + small.flush()), w.IEND), expected
    yield "garbage-behind", w.assembled(head, idat, w.IEND) + noise((1000,)).tobytes(), expected
    yield "another-png-behind", w.assembled(head, idat, w.IEND) * 2, expected
    suggested = chunk(b"PLTE", w.palette(8).tobytes())
    yield "rgb-with-suggested-palette", w.assembled(head, suggested, idat, w.IEND), expected
    short = noise((*SIZE, 1), 2)
    three = chunk(b"PLTE", w.palette(8)[:4].tobytes())
    content = w.assembled(w.header(SIZE, 8, w.PALETTE), three, chunk(b"IDAT", zlib.compress(w.scanlines(short, 8))))
    yield "palette-8-of-4-colours", content + w.IEND, Accepted(w.palette(8)[short[..., 0]], PNG)


def _sizes() -> Iterator[tuple[str, bytes, Accepted]]:
    for size in ((1, 1), (1, 9), (9, 1), (3, 2)):
        for colour, depth in ((w.RGB, 8), (w.GREY, 1), (w.PALETTE, 4), (w.RGB_ALPHA, 16)):
            made = noise((*size, w.BANDS[colour]), depth)
            name = f"{size[0]}x{size[1]}-{w.NAMES[colour]}-{depth}-adam7"
            yield name, w.png(made, depth, colour, interlace=1), meaning(made, depth, colour)
    for size in ((1, 30_000), (30_000, 1)):
        made = line((*size, 1))
        yield f"{size[0]}x{size[1]}", w.png(made, 8, w.GREY), meaning(made, 8, w.GREY)


def _beside() -> Iterator[tuple[str, bytes, Accepted]]:
    """Chunks that say something about pixels, but not which."""
    made = samples(w.RGB, 8)
    beside = {
        "gamma": chunk(b"gAMA", struct.pack(">I", 45455)),
        "gamma-of-0": chunk(b"gAMA", bytes(4)),
        "significant-bits": chunk(b"sBIT", b"\x05\x06\x05"),
        "background": chunk(b"bKGD", bytes(6)),
        "srgb": chunk(b"sRGB", b"\0"),
        "resolution-of-0": chunk(b"pHYs", bytes(9)),
        "time-that-is-none": chunk(b"tIME", b"\xff" * 7),
        "unknown-chunk": chunk(b"gdAL", b"anything"),
        "text": chunk(b"tEXt", b"Comment\0made by a test"),
        "text-not-compressed": chunk(b"zTXt", b"Comment\0\0no zlib stream"),
        "text-without-keyword": chunk(b"iTXt", b""),
        "profile-that-is-none": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile")),
        "exif-that-is-none": chunk(b"eXIf", b"no exif"),
        "histogram-without-palette": chunk(b"hIST", bytes(12)),
    }
    for name, extra in beside.items():
        yield name, w.png(made, extra=extra), meaning(made, 8, w.RGB)


def _oriented() -> Iterator[tuple[str, bytes, Accepted]]:
    made = samples(w.RGB, 16)
    for value, upright in orientations(made):
        yield f"orientation-{value}", w.png(made, 16, extra=chunk(b"eXIf", exif_block(value))), Accepted(upright, PNG)
