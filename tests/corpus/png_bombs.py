"""PNG files that promise or inflate to more than they are worth."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

from corpus import png_writer as w
from corpus.case import BOMB, PNG, SIZE, TOO_LARGE, Accepted, Case, either, noise, refused
from corpus.exif import exif_block
from corpus.png_writer import assembled, chunk
from corpus.zeros import deflated_zeros

PIXELS = noise((*SIZE, 3))
RIGHT = Accepted(PIXELS, PNG)
GIBIBYTE, MEBIBYTE = 2**30, 2**20
SIDE_PX = 30_000


def cases() -> Iterator[Case]:
    """All of them."""
    huge = {"1-bit": (1, w.GREY), "8-bit": (8, w.GREY), "palette": (1, w.PALETTE), "rgb": (8, w.RGB)}
    huge |= {"16-bit-alpha": (16, w.RGB_ALPHA)}
    for name, (depth, colour) in huge.items():
        content = partial(flat_square, SIDE_PX, depth, colour)
        yield refused(f"bomb/png-30000x30000-{name}", content, TOO_LARGE)
    yield refused("bomb/png-one-row-over-the-limit", partial(flat_square, 5657, 1, w.GREY), TOO_LARGE)
    for size in (MEBIBYTE, 4 * GIBIBYTE):
        content = partial(_more_pixels, size)
        yield either(f"bomb/png-{size}-bytes-behind-the-pixels", content, RIGHT, BOMB, "IMAGE_DAMAGED")
    for name, build in _beside().items():
        yield Case(f"bomb/png-{name}", build, RIGHT)


def flat_square(side: int, depth: int, colour: int) -> bytes:
    """A square of zeros, of which no more than 10 GiB are there."""
    size = side * (1 + (side * depth * w.BANDS[colour] + 7) // 8)
    table = chunk(b"PLTE", w.palette(depth).tobytes()) if colour == w.PALETTE else b""
    shown = min(size, 10 * GIBIBYTE)
    return assembled(w.header((side, side), depth, colour), table, chunk(b"IDAT", deflated_zeros(shown)), w.IEND)


def _more_pixels(size: int) -> bytes:
    """The rows of the picture, and zeros behind them."""
    rows = w.scanlines(PIXELS, 8)
    stored = b"\x78\x01\x00" + len(rows).to_bytes(2, "little") + (len(rows) ^ 0xFFFF).to_bytes(2, "little") + rows
    return assembled(w.header(SIZE), chunk(b"IDAT", stored + deflated_zeros(size)[2:]), w.IEND)


def _beside() -> dict[str, partial[bytes]]:
    """Chunks beside the pixels that a reader need not look into."""
    bombs = {kind: partial(_inflating, kind, before) for kind, before in _COMPRESSED.items()}
    return {
        **{f"{kind}-of-1-gib": build for kind, build in bombs.items()},
        "ztxt-2000-of-1-mib": partial(_many_texts, 2000),
        "text-of-10-mb": partial(_with, b"tEXt", b"Comment\0", 10 * MEBIBYTE),
        "itxt-of-10-mb": partial(_with, b"iTXt", b"Comment\0\0\0\0\0", 10 * MEBIBYTE),
        "unknown-of-10-mb": partial(_with, b"abCd", b"", 10 * MEBIBYTE),
        "exif-of-10-mb": partial(_with, b"eXIf", exif_block(1), 10 * MEBIBYTE),
        "splt-of-10-mb": partial(_with, b"sPLT", b"name\0\x08", 10 * MEBIBYTE - 2),
        "profile-of-10-mb": partial(_profile, 10 * MEBIBYTE),
        "300000-texts": partial(_tiny_texts, 300_000),
    }


_COMPRESSED = {"zTXt": b"Comment\0\0", "iTXt": b"Comment\0\x01\0\0\0", "iCCP": b"name\0\0"}


def _inflating(kind: str, before: bytes) -> bytes:
    return w.png(PIXELS, extra=chunk(kind.encode(), before + deflated_zeros(GIBIBYTE)))


def _many_texts(count: int) -> bytes:
    return w.png(PIXELS, extra=chunk(b"zTXt", b"Comment\0\0" + deflated_zeros(MEBIBYTE)) * count)


def _tiny_texts(count: int) -> bytes:
    return w.png(PIXELS, extra=chunk(b"tEXt", b"Comment\0made") * count)


def _with(kind: bytes, before: bytes, size: int) -> bytes:
    return w.png(PIXELS, extra=chunk(kind, before + b"x" * size))


def _profile(size: int) -> bytes:
    incompressible = noise((size,)).tobytes()
    return w.png(PIXELS, extra=chunk(b"iCCP", b"name\0\0" + zlib.compress(incompressible, 1)))
