"""PNG files that are cut, contradict themselves, or are of a kind that is not read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from corpus import png_writer as w
from corpus.case import (
    DAMAGED,
    EMPTY,
    PNG,
    SIZE,
    TOO_LARGE,
    UNSUPPORTED,
    Accepted,
    Case,
    constant,
    cuts,
    either,
    noise,
    refused,
)
from corpus.png_writer import IEND, assembled, chunk, header

PIXELS = noise((*SIZE, 3))
ROWS = w.scanlines(PIXELS, 8)
RIGHT = Accepted(PIXELS, PNG)
HEAD, IDAT, TEXT = header(SIZE), chunk(b"IDAT", zlib.compress(ROWS)), chunk(b"tEXt", b"Comment\0made by a test")
INDICES = noise((*SIZE, 1), 2)
PALETTE_HEAD, PLTE = header(SIZE, 8, w.PALETTE), chunk(b"PLTE", w.palette(2).tobytes())
PALETTE_IDAT = chunk(b"IDAT", zlib.compress(w.scanlines(INDICES, 8)))
CLEAR = chunk(b"tRNS", b"\0")
COLOURS = Accepted(w.palette(2)[INDICES[..., 0]], PNG)
CLEARED = Accepted(COLOURS.pixels, PNG, np.where(INDICES[..., 0] == 0, 0, 255).astype(np.uint8))


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut()
    yield from _checksums()
    yield from _headers()
    yield from _order()
    yield from _tables()
    yield from _streams()
    yield from _animated()


def _cut() -> Iterator[Case]:
    plain = [w.SIGNATURE, HEAD, TEXT, *(chunk(b"IDAT", part) for part in _thirds(zlib.compress(ROWS))), IEND]
    for name, content in cuts(plain):
        yield refused(f"png-cut/rgb-{name}", constant(content))
    coloured = [w.SIGNATURE, PALETTE_HEAD, PLTE, CLEAR, PALETTE_IDAT, IEND]
    for name, content in cuts(coloured):
        yield refused(f"png-cut/palette-{name}", constant(content))
    adam7 = w.png(PIXELS, interlace=1)
    for percent in range(10, 100, 10):
        content = adam7[: len(adam7) * percent // 100]
        yield refused(f"png-cut/adam7-at-{percent}-percent", constant(content))
    yield refused("png-cut/signature", constant(w.SIGNATURE[:7]), DAMAGED, UNSUPPORTED)
    yield refused("png-cut/one-byte", constant(w.SIGNATURE[:1]), DAMAGED, UNSUPPORTED)
    yield either("png-cut/last-checksum", constant(assembled(HEAD, IDAT, IEND[:-2])), RIGHT)


def _thirds(content: bytes) -> list[bytes]:
    step = -(-len(content) // 3)
    return [content[start : start + step] for start in range(0, len(content), step)]


def _checksums() -> Iterator[Case]:
    wrong = w.with_wrong_checksum
    named = {"header": [wrong(HEAD), IDAT, IEND], "pixels": [HEAD, wrong(IDAT), IEND]}
    named["palette"] = [PALETTE_HEAD, wrong(PLTE), PALETTE_IDAT, IEND]
    for name, chunks in named.items():
        yield refused(f"png/checksum-of-{name}", constant(assembled(*chunks)))
    yield either("png/checksum-of-text", constant(assembled(HEAD, wrong(TEXT), IDAT, IEND)), RIGHT)
    yield either("png/checksum-of-the-end", constant(assembled(HEAD, IDAT, wrong(IEND))), RIGHT)
    content = assembled(PALETTE_HEAD, PLTE, wrong(CLEAR), PALETTE_IDAT, IEND)
    yield either("png/checksum-of-transparency", constant(content), CLEARED)


def _headers() -> Iterator[Case]:
    largest = 2**31 - 1
    for name, size in {"0-rows": (0, 14), "0-columns": (11, 0), "0-both": (0, 0)}.items():
        yield refused(f"png/header-{name}", constant(assembled(header(size), IDAT, IEND)), DAMAGED, EMPTY)
    sizes = [(largest, 14), (11, largest), (largest, largest), (100_000, 100_000), (1, 32_000_001)]
    for size in sizes:
        content = assembled(header(size), IDAT, IEND)
        yield refused(f"png/header-{size[0]}x{size[1]}", constant(content), TOO_LARGE)
    overlong = assembled(header((2**32 - 1, 2**32 - 1)), IDAT, IEND)
    yield refused("png/header-over-31-bits", constant(overlong), TOO_LARGE, DAMAGED)
    lies = {"taller": (12, 14), "wider": (11, 15), "much-taller": (5000, 14), "transposed": (14, 11)}
    for name, size in lies.items():
        yield refused(f"png/header-{name}", constant(assembled(header(size), IDAT, IEND)))
    shorter = Accepted(PIXELS[:-1], PNG)
    yield either("png/header-shorter", constant(assembled(header((10, 14)), IDAT, IEND)), shorter)
    fields = {"rgb-4": (4, 2), "rgb-3": (3, 2), "palette-16": (16, 3), "grey-5": (5, 0), "depth-0": (0, 2)}
    fields |= {
        "colour-1": (8, 1),
        "colour-5": (8, 5),
        "colour-7": (8, 7),
        "colour-255": (8, 255),
        "depth-255": (255, 0),
    }
    for name, (depth, colour) in fields.items():
        yield refused(f"png/header-{name}", constant(assembled(header(SIZE, depth, colour), IDAT, IEND)), *_KIND)
    for name, methods in {"compression-1": (1, 0), "filter-method-1": (0, 1)}.items():
        yield refused(f"png/header-{name}", constant(assembled(header(SIZE, methods=methods), IDAT, IEND)), *_KIND)
    yield refused("png/header-interlace-2", constant(assembled(header(SIZE, interlace=2), IDAT, IEND)), *_KIND)
    yield refused("png/header-interlace-lie", constant(assembled(header(SIZE, interlace=1), IDAT, IEND)))
    for length in (0, 12, 14):
        odd = chunk(b"IHDR", (HEAD[8:21] + b"\0")[:length])
        yield refused(f"png/header-of-{length}-bytes", constant(assembled(odd, IDAT, IEND)))


_KIND = (DAMAGED, UNSUPPORTED)


def _order() -> Iterator[Case]:
    second = {"same": HEAD, "taller": header((9_000, 9_000)), "grey": header(SIZE, 8, w.GREY)}
    for name, again in second.items():
        yield refused(f"png/second-header-{name}", constant(assembled(HEAD, again, IDAT, IEND)))
    wrong = {
        "no-header": [IDAT, IEND],
        "header-behind-text": [TEXT, HEAD, IDAT, IEND],
        "header-behind-pixels": [IDAT, HEAD, IEND],
        "no-pixels": [HEAD, IEND],
        "no-chunk": [],
        "palette-behind-pixels": [PALETTE_HEAD, PALETTE_IDAT, PLTE, IEND],
        "no-palette": [PALETTE_HEAD, PALETTE_IDAT, IEND],
    }
    for name, chunks in wrong.items():
        yield refused(f"png/{name}", constant(assembled(*chunks)))
    half = len(IDAT) // 2
    parted = [chunk(b"IDAT", IDAT[8:half]), TEXT, chunk(b"IDAT", IDAT[half:-4])]
    yield either("png/pixels-parted-by-text", constant(assembled(HEAD, *parted, IEND)), RIGHT)
    yield either("png/end-with-content", constant(assembled(HEAD, IDAT, chunk(b"IEND", b"more"))), RIGHT)
    yield either(
        "png/transparency-behind-pixels", constant(assembled(HEAD, IDAT, chunk(b"tRNS", bytes(6)), IEND)), RIGHT
    )
    yield refused("png/unknown-critical-chunk", constant(assembled(HEAD, chunk(b"ABCD"), IDAT, IEND)), *_KIND)
    yield either("png/chunk-name-of-digits", constant(assembled(HEAD, chunk(b"1234"), IDAT, IEND)), RIGHT, *_KIND)
    for length in (2**31, 2**32 - 1, 2**24):
        lie = struct.pack(">I", length) + IDAT[4:]
        yield refused(f"png/pixels-of-{length}-bytes", constant(assembled(HEAD, lie, IEND)))
    yield refused("png/signature-with-unix-lines", constant(b"\x89PNG\n\x1a\n" + HEAD + IDAT + IEND), *_KIND)


def _tables() -> Iterator[Case]:
    for name, table in {"4-bytes": b"abcd", "0-bytes": b"", "257-colours": bytes(771)}.items():
        content = assembled(PALETTE_HEAD, chunk(b"PLTE", table), PALETTE_IDAT, IEND)
        yield refused(f"png/palette-of-{name}", constant(content))
    short = chunk(b"PLTE", w.palette(2)[:2].tobytes())
    yield refused("png/palette-index-beyond", constant(assembled(PALETTE_HEAD, short, PALETTE_IDAT, IEND)))
    bits = noise((*SIZE, 1), 1)
    content = assembled(header(SIZE, 1, w.PALETTE), PLTE, chunk(b"IDAT", zlib.compress(w.scanlines(bits, 1))), IEND)
    yield either("png/palette-longer-than-indices", constant(content), Accepted(w.palette(2)[bits[..., 0]], PNG))
    long = chunk(b"tRNS", b"\0" + b"\xff" * 9)
    yield either(
        "png/transparency-longer-than-palette",
        constant(assembled(PALETTE_HEAD, PLTE, long, PALETTE_IDAT, IEND)),
        CLEARED,
    )
    alpha = noise((*SIZE, 4))
    content = w.png(alpha, 8, w.RGB_ALPHA, extra=chunk(b"tRNS", bytes(6)))
    yield either("png/transparency-beside-alpha", constant(content), Accepted(alpha[..., :3], PNG, alpha[..., 3]))
    for length in (0, 5, 7):
        content = assembled(HEAD, chunk(b"tRNS", bytes(length)), IDAT, IEND)
        yield either(f"png/transparency-of-{length}-bytes", constant(content), RIGHT)


def _streams() -> Iterator[Case]:
    packed = zlib.compress(ROWS)
    wrong = {
        "no-stream": b"no zlib stream",
        "empty": b"",
        "one-row-short": zlib.compress(ROWS[: -len(ROWS) // SIZE[0]]),
        "one-byte-short": zlib.compress(ROWS[:-1]),
        "stream-cut": packed[: len(packed) // 2],
        "preset-dictionary": b"\x78\xbb" + packed[2:],
        "window-of-64-k": b"\x88\x1c" + packed[2:],
        "reserved-block": packed[:2] + b"\x07" + packed[3:],
        "filter-5": zlib.compress(b"\x05" + ROWS[1:]),
        "filter-255-in-last-row": zlib.compress(ROWS[: -1 - 3 * SIZE[1]] + b"\xff" + ROWS[-3 * SIZE[1] :]),
    }
    for name, stream in wrong.items():
        yield refused(f"png/pixels-{name}", constant(assembled(HEAD, chunk(b"IDAT", stream), IEND)))
    harmless = {"one-row-more": zlib.compress(ROWS + ROWS[: 1 + 3 * SIZE[1]]), "wrong-adler": packed[:-4] + b"none"}
    harmless |= {"without-adler": packed[:-4], "garbage-behind-the-stream": packed + b"garbage"}
    for name, stream in harmless.items():
        yield either(f"png/pixels-{name}", constant(assembled(HEAD, chunk(b"IDAT", stream), IEND)), RIGHT)


def _frame(number: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, SIZE[1], SIZE[0], 0, 0, 1, 10, 0, 0))


def _animated() -> Iterator[Case]:
    second = chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(ROWS))
    count = chunk(b"acTL", struct.pack(">II", 2, 0))
    content = assembled(HEAD, count, _frame(0), IDAT, _frame(1), second, IEND)
    yield refused("png/animated", constant(content), UNSUPPORTED)
    hidden = assembled(HEAD, count, IDAT, _frame(0), chunk(b"fdAT", bytes(4) + zlib.compress(ROWS)), IEND)
    yield refused("png/animated-with-another-default", constant(hidden), UNSUPPORTED)
    single = assembled(HEAD, chunk(b"acTL", struct.pack(">II", 1, 0)), _frame(0), IDAT, IEND)
    yield either("png/animated-of-one-frame", constant(single), RIGHT, UNSUPPORTED)
