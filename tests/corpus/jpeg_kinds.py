"""JPEG files that are right: processes, samplings, colour spaces, orientations, and much beside the picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import jpeg_writer as w
from corpus.case import JPEG, Accepted, Case, constant, grey, noise, smooth
from corpus.exif import exif_block, orientations
from corpus.jpeg_writer import APP1, APP2, COM, PICTURE, jpeg, segment
from PIL import Image, ImageCms

RIGHT = Accepted(PICTURE, JPEG, tolerance=w.TOLERANCE)
EXIF, MEBIBYTE = b"Exif\0\0", 2**20


def cases() -> Iterator[Case]:
    """All of them."""
    for name, content, expected in [*_processes(), *_colours(), *_sizes(), *_oriented(), *_layouts()]:
        yield Case(f"jpeg/{name}", constant(content), expected)
    for name, build in _large().items():
        yield Case(f"bomb/jpeg-{name}", build, RIGHT)


def _processes() -> Iterator[tuple[str, bytes, Accepted]]:
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            name = f"{'progressive' if progressive else 'baseline'}-{sampling.replace(':', '')}"
            yield name, jpeg(subsampling=sampling, progressive=progressive), RIGHT
    yield "optimised", jpeg(optimize=True), RIGHT
    yield "restarts-each-block", jpeg(restart_marker_blocks=1), RIGHT
    yield "restarts-each-row", jpeg(restart_marker_rows=1), RIGHT
    yield "progressive-with-restarts", jpeg(restart_marker_blocks=3, progressive=True), RIGHT
    yield "quality-100", jpeg(quality=100, subsampling=0), Accepted(PICTURE, JPEG, tolerance=3)
    blocks = np.repeat(np.repeat(smooth((5, 7)), 8, axis=0), 8, axis=1)
    yield (
        "quality-1",
        jpeg(np.full_like(blocks, 128), quality=1),
        Accepted(np.full_like(blocks, 128), JPEG, tolerance=6),
    )


def _colours() -> Iterator[tuple[str, bytes, Accepted]]:
    one = PICTURE[..., 2]
    for progressive in (False, True):
        name = f"grey-{'progressive' if progressive else 'baseline'}"
        yield name, jpeg(one, progressive=progressive), Accepted(grey(one), JPEG, tolerance=3)
    yield "rgb-untransformed", jpeg(keep_rgb=True), RIGHT
    without = np.full((*PICTURE.shape[:2], 1), 255, np.uint8)
    inverted = np.concatenate([PICTURE, without], axis=-1)  # as Adobe writes: 255 is no ink, so the bands are RGB
    yield "cmyk-of-adobe", w.four_bands(inverted, transform=0), Accepted(PICTURE, JPEG, tolerance=6)
    plain = np.concatenate([255 - PICTURE, 255 - without], axis=-1)
    yield "cmyk-without-adobe", w.four_bands(plain, transform=None), Accepted(PICTURE, JPEG, tolerance=6)
    luminance = np.asarray(Image.fromarray(255 - PICTURE).convert("YCbCr"))  # ink, as K is 255 without
    ycck = np.concatenate([luminance, without], axis=-1)
    yield "ycck-of-adobe", w.four_bands(ycck, transform=2), Accepted(PICTURE, JPEG, tolerance=8)
    dark = np.concatenate([PICTURE, without // 2], axis=-1)
    darker = (PICTURE.astype(np.uint16) * 127 // 255).astype(np.uint8)
    yield "cmyk-with-black", w.four_bands(dark, transform=0), Accepted(darker, JPEG, tolerance=8)


def _sizes() -> Iterator[tuple[str, bytes, Accepted]]:
    for size in ((1, 1), (1, 30_000), (30_000, 1), (8, 8), (17, 16)):
        pixels = np.full((*size, 3), 90, np.uint8)
        yield f"{size[0]}x{size[1]}", jpeg(pixels), Accepted(pixels, JPEG, tolerance=w.TOLERANCE)


def _oriented() -> Iterator[tuple[str, bytes, Accepted]]:
    for value, upright in orientations(PICTURE):
        for order, name in (("<", "intel"), (">", "motorola")):
            block = segment(APP1, EXIF + exif_block(value, order=order))
            expected = Accepted(upright, JPEG, tolerance=w.TOLERANCE)
            yield f"orientation-{value}-{name}", w.inserted(jpeg(), block), expected
    strange = {"0": exif_block(0), "9": exif_block(9), "65535": exif_block(65_535), **_broken_exif()}
    for name, content in strange.items():
        yield f"orientation-{name}", w.inserted(jpeg(), segment(APP1, EXIF + content)), RIGHT


def _broken_exif() -> dict[str, bytes]:
    """EXIF blocks that say nothing, in all the ways."""
    entry = struct.pack("<HHI", 274, 3, 1)
    return {
        "nowhere": b"",
        "in-a-cut-block": exif_block(6)[:14],
        "beyond-the-block": b"II*\0" + struct.pack("<I", 2**32 - 1),
        "in-a-loop": b"II*\0" + struct.pack("<IHI", 8, 0, 8),
        "in-a-directory-in-a-loop": _exif_pointing_at_itself(),
        "of-65535-entries": b"II*\0" + struct.pack("<IH", 8, 65_535) + entry,
        "of-2-to-the-32-values": b"II*\0" + struct.pack("<IHHHIII", 8, 1, 271, 2, 2**32 - 1, 8, 0),
        "of-no-type": b"II*\0" + struct.pack("<IHHHIII", 8, 1, 274, 99, 1, 6, 0),
        "in-text": b"<html>" * 20,
    }


def _exif_pointing_at_itself() -> bytes:
    return b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0x8769, 4, 1, 8, 0)


def _layouts() -> Iterator[tuple[str, bytes, Accepted]]:
    plain = jpeg()
    yield "garbage-behind", plain + noise((1000,)).tobytes(), RIGHT
    yield "another-jpeg-behind", plain + jpeg(PICTURE[::-1].copy()), RIGHT
    yield "mpo", _mpo(), RIGHT
    parts = w.segments(plain)
    yield "fill-bytes", b"".join([parts[0], *(b"\xff\xff\xff" + part for part in parts[1:])]), RIGHT
    yield "without-jfif", b"".join(part for part in parts if w.marker(part) != w.APP0), RIGHT
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "profile", jpeg(icc_profile=profile), RIGHT
    yield "profile-in-segments", jpeg(icc_profile=profile + bytes(200_000)), RIGHT
    yield "profile-that-is-none", jpeg(icc_profile=b"no profile"), RIGHT
    pieces = [segment(APP2, b"ICC_PROFILE\0" + bytes([number, 3]) + profile[:50]) for number in (1, 3)]
    yield "profile-of-which-a-segment-is-gone", w.inserted(plain, *pieces), RIGHT
    yield "profile-of-segments-0-of-0", w.inserted(plain, segment(APP2, b"ICC_PROFILE\0\0\0" + profile)), RIGHT
    adobe = jpeg(comment=b"not ASCII: \xff\xfe\0")
    yield "comment-of-any-bytes", adobe, RIGHT
    yield "jfif-of-no-bytes", w.inserted(plain, segment(w.APP0, b"")), RIGHT
    yield (
        "photoshop-resources-that-are-none",
        w.inserted(plain, segment(0xED, b"Photoshop 3.0\x008BIM" + b"\xff" * 50)),
        RIGHT,
    )
    yield "mpf-that-is-none", w.inserted(plain, segment(APP2, b"MPF\0" + b"\xff" * 40)), RIGHT


def _mpo() -> bytes:
    target = io.BytesIO()
    second = [Image.fromarray(PICTURE[::-1].copy())]
    Image.fromarray(PICTURE).save(target, format="MPO", save_all=True, append_images=second, quality=95)
    return target.getvalue()


def _large() -> dict[str, partial[bytes]]:
    exif = EXIF + exif_block(1)
    return {
        "15-mb-of-comments": partial(_filled, COM, b"", 240),
        "15-mb-of-exif": partial(_filled, APP1, exif, 240),
        "15-mb-of-profiles": partial(_profiles, 240),
        "15-mb-of-xmp": partial(_filled, APP1, b"http://ns.adobe.com/xmp/extension/\0", 240),
        "500000-comments": partial(_tiny, 500_000),
    }


def _filled(kind: int, start: bytes, count: int) -> bytes:
    return w.inserted(jpeg(), segment(kind, start.ljust(w.LONGEST_SEGMENT, b"x")) * count)


def _profiles(count: int) -> bytes:
    pieces = (b"ICC_PROFILE\0" + bytes([number, count]) for number in range(1, count + 1))
    return w.inserted(jpeg(), *(segment(APP2, piece.ljust(w.LONGEST_SEGMENT, b"x")) for piece in pieces))


def _tiny(count: int) -> bytes:
    return w.inserted(jpeg(), segment(COM, b"") * count)
