"""WebP files: right ones of every kind, and cut, contradicting, animated and bloated ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import webp_writer as w
from corpus.case import (
    BOMB,
    DAMAGED,
    EMPTY,
    SIZE,
    TOO_LARGE,
    UNSUPPORTED,
    WEBP,
    Accepted,
    Case,
    Sized,
    constant,
    cuts,
    either,
    line,
    noise,
    refused,
    smooth,
)
from corpus.exif import exif_block, orientations
from corpus.webp_writer import changed, chunk, chunks, extended, riff, webp
from PIL import Image, ImageCms

PIXELS, PICTURE = noise((*SIZE, 3)), smooth()
WITH_ALPHA = noise((*SIZE, 4))
WITH_ALPHA[2:5, 3:9, 3], WITH_ALPHA[7, :, 3] = 0, 255
RIGHT = Accepted(PIXELS, WEBP)
CLEAR = Accepted(WITH_ALPHA[..., :3], WEBP, WITH_ALPHA[..., 3])
LOSSY = Accepted(PICTURE, WEBP, tolerance=16)
LOSSLESS_FILE, LOSSY_FILE = webp(PIXELS), webp(PICTURE, lossless=False, quality=95)
MEBIBYTE = 2**20
KIND = (DAMAGED, UNSUPPORTED)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, expected in [*_kinds(), *_oriented(), *_layouts()]:
        yield Case(f"webp/{name}", constant(content), expected)
    yield from _cut()
    yield from _lies()
    yield from _streams()
    yield from _bombs()


def _kinds() -> Iterator[tuple[str, bytes, Accepted]]:
    yield "lossless", LOSSLESS_FILE, RIGHT
    yield "lossless-alpha", webp(WITH_ALPHA, exact=True), CLEAR
    yield "lossless-alpha-inexact", webp(WITH_ALPHA), CLEAR
    few = PIXELS // 128 * 255
    yield "lossless-of-8-colours", webp(few), Accepted(few, WEBP)
    yield "lossless-of-one-colour", webp(few * 0), Accepted(few * 0, WEBP)
    for method in (0, 6):
        yield f"lossless-method-{method}", webp(PIXELS, method=method, quality=100), RIGHT
        yield f"lossy-method-{method}", webp(PICTURE, lossless=False, quality=95, method=method), LOSSY
    alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
    alpha[:20], alpha[20:24] = 0, 77
    both = np.dstack([PICTURE, alpha])
    expected = Accepted(PICTURE, WEBP, alpha, tolerance=24)
    yield "lossy-alpha", webp(both, lossless=False, quality=95, alpha_quality=100, exact=True), expected
    for size in ((1, 1), (1, 16_383), (16_383, 1), (2, 3)):
        pixels = line((*size, 3))
        yield f"{size[0]}x{size[1]}", webp(pixels), Accepted(pixels, WEBP)


def _oriented() -> Iterator[tuple[str, bytes, Accepted]]:
    for value, upright in orientations(PIXELS):
        yield f"orientation-{value}", webp(PIXELS, exif=exif_block(value)), Accepted(upright, WEBP)
    prefixed = webp(PIXELS, exif=b"Exif\0\0" + exif_block(6))
    yield "orientation-6-prefixed-as-in-jpeg", prefixed, Accepted(dict(orientations(PIXELS))[6], WEBP)
    yield "exif-that-is-none", webp(PIXELS, exif=b"no exif"), RIGHT


def _layouts() -> Iterator[tuple[str, bytes, Accepted]]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "profile", webp(PIXELS, icc_profile=profile), RIGHT
    yield "profile-that-is-none", webp(PIXELS, icc_profile=b"no profile"), RIGHT
    yield "xmp", webp(PIXELS, xmp=b"<x:xmpmeta/>"), RIGHT
    yield "garbage-behind", LOSSLESS_FILE + noise((1001,)).tobytes(), RIGHT
    picture = chunks(LOSSLESS_FILE)[0]
    yield "extended-without-need", riff(extended(SIZE), picture), RIGHT
    yield "unknown-chunk-behind", riff(extended(SIZE), picture, chunk(b"abcd", b"odd")), RIGHT
    yield "unknown-chunk-before", riff(extended(SIZE), chunk(b"abcd", b"odd"), picture), RIGHT
    yield "exif-without-its-flag", riff(extended(SIZE), picture, chunk(b"EXIF", exif_block(1))), RIGHT
    yield "exif-flag-without-exif", riff(extended(SIZE, w.EXIF), picture), RIGHT


def _cut() -> Iterator[Case]:
    alpha = webp(np.dstack([PICTURE, PICTURE[..., 0]]), lossless=False, exif=exif_block(1))
    for kind, content in {"lossless": LOSSLESS_FILE, "lossy": LOSSY_FILE, "extended": alpha}.items():
        for name, cut in cuts([content[: w.HEAD_BYTES], *chunks(content)]):
            yield refused(f"webp-cut/{kind}-{name}", constant(cut))
        for percent in (60, 90, 99):
            cut = content[: len(content) * percent // 100]
            yield refused(f"webp-cut/{kind}-at-{percent}-percent", constant(cut))
            mended = b"RIFF" + struct.pack("<I", len(cut) - 8) + cut[8:]
            yield refused(f"webp-cut/{kind}-at-{percent}-percent-with-its-length", constant(mended))
    yield refused("webp-cut/half-of-the-head", constant(LOSSLESS_FILE[:10]), *KIND)


def _lies() -> Iterator[Case]:
    for name, length in {"0": 0, "4": 4, "shorter": len(LOSSLESS_FILE) - 40}.items():
        content = b"RIFF" + struct.pack("<I", length) + LOSSLESS_FILE[8:]
        yield refused(f"webp/riff-length-{name}", constant(content))
    for name, length in {"longer": len(LOSSLESS_FILE), "largest": 2**32 - 2, "odd-largest": 2**32 - 1}.items():
        content = b"RIFF" + struct.pack("<I", length) + LOSSLESS_FILE[8:]
        yield refused(f"webp/riff-length-{name}", constant(content))
    picture = chunks(LOSSLESS_FILE)[0]
    for name, size in {"taller": (12, 14), "shorter": (10, 14), "transposed": (14, 11), "1x1": (1, 1)}.items():
        yield refused(f"webp/canvas-{name}", constant(riff(extended(size), picture)))
    for name, size in {"5657x5657": (5657, 5657), "largest": (2**24, 2**24), "widest": (1, 2**24)}.items():
        reasons = (DAMAGED,) if name == "widest" else (TOO_LARGE, DAMAGED)
        yield refused(f"webp/canvas-{name}", constant(riff(extended(size), picture)), *reasons)
    yield refused("webp/extended-without-picture", constant(riff(extended(SIZE))))
    yield refused("webp/extended-cut", constant(riff(chunk(b"VP8X", b"\0\0\0"), picture)))
    yield refused("webp/no-chunk", constant(riff()))
    yield refused("webp/only-unknown-chunks", constant(riff(chunk(b"abcd", b"even"))))
    yield refused("webp/only-alpha", constant(riff(extended(SIZE, w.ALPHA), chunk(b"ALPH", b"\0" * 155))))
    lie = picture[:4] + struct.pack("<I", 2**32 - 9) + picture[8:]
    yield refused("webp/chunk-beyond-the-end", constant(riff(lie)))
    yield either("webp/two-pictures", constant(riff(extended(SIZE), picture, picture)), RIGHT)
    yield from _foreign()


def _foreign() -> Iterator[Case]:
    for kind in (b"WAVE", b"AVI ", b"webp"):
        name = kind.strip().decode()
        other = name if kind != b"webp" else "lower-case"
        yield refused(f"webp/riff-of-{other}", constant(LOSSLESS_FILE[:8] + kind + LOSSLESS_FILE[12:]), UNSUPPORTED)
    animated = io.BytesIO()
    second = [Image.fromarray(PIXELS[::-1].copy())]
    Image.fromarray(PIXELS).save(animated, format="WEBP", save_all=True, append_images=second, lossless=True)
    yield refused("webp/animated", constant(animated.getvalue()), UNSUPPORTED)
    picture = chunks(LOSSLESS_FILE)[0]
    still = riff(extended(SIZE, w.ANIMATION), picture)
    yield either("webp/animation-flag-without-frames", constant(still), RIGHT, *KIND)


def _streams() -> Iterator[Case]:
    largest = struct.pack("<BI", 0x2F, (16_383 << 14) | 16_383)
    yield refused("webp/vp8l-16384x16384", constant(riff(chunk(b"VP8L", largest + bytes(100)))), TOO_LARGE)
    frame = b"\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383)
    content = changed(LOSSY_FILE, b"VP8 ", lambda stream: stream[:3] + frame + stream[10:])
    yield refused("webp/vp8-16383x16383", constant(content), TOO_LARGE)
    for name, (height, width) in {"taller": (400, 56), "wider": (40, 560)}.items():
        sides = struct.pack("<HH", width, height)
        content = changed(LOSSY_FILE, b"VP8 ", lambda stream, sides=sides: stream[:6] + sides + stream[10:])
        yield refused(f"webp/vp8-{name}", constant(content))
    content = changed(LOSSY_FILE, b"VP8 ", lambda stream: stream[:6] + bytes(4) + stream[10:])
    yield refused("webp/vp8-0x0", constant(content), DAMAGED, EMPTY)
    first = {"no-key-frame": 1, "hidden": 0x10, "version-7": 0x0E}
    for name, bits in first.items():
        content = changed(LOSSY_FILE, b"VP8 ", lambda stream, bits=bits: bytes([stream[0] ^ bits]) + stream[1:])
        yield refused(f"webp/vp8-{name}", constant(content), *KIND)
    content = changed(LOSSY_FILE, b"VP8 ", lambda stream: stream[:3] + b"\0\0\0" + stream[6:])
    yield refused("webp/vp8-without-start-code", constant(content))
    content = changed(LOSSLESS_FILE, b"VP8L", lambda stream: b"\x2e" + stream[1:])
    yield refused("webp/vp8l-without-signature", constant(content))
    content = changed(LOSSLESS_FILE, b"VP8L", lambda stream: stream[:4] + bytes([stream[4] | 0xE0]) + stream[5:])
    yield refused("webp/vp8l-version-7", constant(content))
    content = changed(LOSSLESS_FILE, b"VP8L", lambda stream: stream[:5] + b"\xff" * (len(stream) - 5))
    yield either("webp/vp8l-of-ones", constant(content), Sized(SIZE, WEBP))
    content = changed(LOSSLESS_FILE, b"VP8L", lambda stream: stream[:5])
    yield refused("webp/vp8l-without-stream", constant(content))
    lossy = webp(np.dstack([PICTURE, PICTURE[..., 0]]), lossless=False)
    content = changed(lossy, b"ALPH", lambda plane: plane[:1] + plane[1:3])
    yield refused("webp/alpha-cut", constant(content))


def _bombs() -> Iterator[Case]:
    yield Case("bomb/webp-exif-of-15-mb", partial(_beside, b"EXIF", exif_block(1), w.EXIF), RIGHT)
    yield Case("bomb/webp-profile-of-15-mb", partial(_beside, b"ICCP", b"", w.ICC), RIGHT)
    yield Case("bomb/webp-xmp-of-15-mb", partial(_beside, b"XMP ", b"<", w.XMP), RIGHT)
    yield Case("bomb/webp-500000-chunks", _many_chunks, RIGHT)
    yield refused("bomb/webp-100000-frames", _many_frames, UNSUPPORTED, DAMAGED, BOMB)


def _beside(kind: bytes, start: bytes, flag: int) -> bytes:
    large, picture = chunk(kind, start.ljust(15 * MEBIBYTE, b"x")), chunks(LOSSLESS_FILE)[0]
    around = [large, picture] if kind == b"ICCP" else [picture, large]
    return riff(extended(SIZE, flag), *around)


def _many_chunks() -> bytes:
    return riff(extended(SIZE), chunks(LOSSLESS_FILE)[0], chunk(b"abcd", b"") * 500_000)


def _many_frames() -> bytes:
    dot = chunks(webp(PIXELS[:1, :1]))[0]
    frame = chunk(b"ANMF", bytes(16) + dot)
    return riff(extended((1, 1), w.ANIMATION), chunk(b"ANIM", bytes(6)), frame * 100_000)
