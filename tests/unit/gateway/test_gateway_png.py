"""PNG files: whole ones of 8-bit RGB become pixels, everything else is refused before it costs anything."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import png, read_png, scene

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images import decode_png, encode_png
from hndsr_gateway.types import Raster

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEIGHT, WIDTH = 5, 7
MAX_PX = 40
PIXELS = scene((HEIGHT, WIDTH))
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
BANDS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
MEBIBYTE = 2**20


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(*, height: int = HEIGHT, width: int = WIDTH, depth: int = 8, colour: int = RGB, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def rows(pixels: np.ndarray = PIXELS) -> bytes:
    """Rows without a filter, as they are compressed."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


IDAT, IEND = chunk(b"IDAT", zlib.compress(rows())), chunk(b"IEND")
PLTE = chunk(b"PLTE", bytes(range(12)))
TEXT = chunk(b"tEXt", b"Comment\0made by a test")
WHOLE = SIGNATURE + header() + TEXT + IDAT + IEND


def blank(depth: int, colour: int) -> bytes:
    """A valid file of another kind, all zeros."""
    row = b"\0" * (1 + (WIDTH * BANDS[colour] * depth + 7) // 8)
    palette = PLTE if colour == PALETTE else b""
    return SIGNATURE + header(depth=depth, colour=colour) + palette + chunk(b"IDAT", zlib.compress(row * HEIGHT)) + IEND


def frame(number: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))


ANIMATED = (
    *(SIGNATURE, header(), chunk(b"acTL", struct.pack(">II", 2, 0)), frame(0), IDAT),
    *(frame(1), chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(rows())), IEND),
)


def reason(encoded: bytes, *, max_px: int = MAX_PX) -> str:
    """Why a file is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        decode_png(encoded, max_px=max_px)
    return refused.value.reason


def text(encoded: bytes) -> str:
    """What the caller reads when a file is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        decode_png(encoded, max_px=MAX_PX)
    return str(refused.value)


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(WHOLE, id="by-hand"),
        pytest.param(png(PIXELS), id="by-pillow"),
        pytest.param(SIGNATURE + header() + IDAT[:0] + chunk(b"IDAT") + IDAT + IEND, id="an-empty-piece-first"),
        pytest.param(WHOLE + b"more", id="something-behind-its-end"),
        pytest.param(
            SIGNATURE + header() + b"".join(chunk(b"IDAT", bytes([one])) for one in zlib.compress(rows())) + IEND,
            id="pieces-of-one-byte",
        ),
    ],
)
def test_png_is_decoded(encoded: bytes) -> None:
    np.testing.assert_array_equal(decode_png(encoded, max_px=MAX_PX).pixels, PIXELS)


def test_png_is_decoded_without_a_mask() -> None:
    assert decode_png(WHOLE, max_px=MAX_PX).mask is None


def test_png_of_exactly_the_limit_is_decoded() -> None:
    assert decode_png(WHOLE, max_px=HEIGHT * WIDTH).height == HEIGHT


def test_png_is_encoded_without_loss() -> None:
    np.testing.assert_array_equal(read_png(encode_png(Raster(PIXELS))), PIXELS)


def test_png_of_no_bytes_is_an_empty_image() -> None:
    assert reason(b"") == "EMPTY_IMAGE"


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x89",
        SIGNATURE[:-1],
        b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        b"GIF89a" + bytes(40),
        b"II*\0" + bytes(40),
        bytes(100),
        b" " + WHOLE,
    ],
    ids=["one-byte", "part-of-the-signature", "JPEG", "GIF", "TIFF", "zeros", "shifted"],
)
def test_png_is_refused_when_it_is_none(encoded: bytes) -> None:
    assert (reason(encoded), "is no PNG" in text(encoded)) == ("UNSUPPORTED_FORMAT", True)


@pytest.mark.parametrize(
    ("height", "width"), [(6, 7), (1, 41), (41, 1), (10_000, 10_000), (2**31 - 1, 2**31 - 1), (1, 2**32 - 1)]
)
def test_png_is_refused_when_its_header_says_a_size_over_the_limit(height: int, width: int) -> None:
    assert reason(SIGNATURE + header(height=height, width=width) + IDAT + IEND) == "IMAGE_TOO_LARGE"


def peak_bytes(encoded: bytes) -> int:
    """Memory that refusing a file takes."""
    tracemalloc.start()
    try:
        reason(encoded)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(SIGNATURE + header(height=30_000, width=30_000) + IDAT + IEND, id="size"),
        pytest.param(
            SIGNATURE
            + header()
            + header(height=9_000, width=9_000)
            + chunk(b"IDAT", zlib.compress(bytes(27_001 * 9)))
            + IEND,
            id="size-in-a-second-header",
        ),
    ],
)
def test_png_bomb_is_refused_without_memory_for_its_pixels(encoded: bytes) -> None:
    assert peak_bytes(encoded) < MEBIBYTE


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_png_bomb_beside_the_pixels_is_refused_without_memory_for_it(kind: bytes) -> None:
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(64 * MEBIBYTE)))
    assert peak_bytes(SIGNATURE + header() + bomb + IDAT + IEND) < 4 * MEBIBYTE


@pytest.mark.parametrize(
    "second",
    [header(height=4), header(height=6), header(depth=8, colour=GREY), header(colour=RGB_ALPHA)],
    ids=["fewer-rows", "more-rows", "grey", "alpha"],
)
def test_png_is_refused_when_a_second_header_says_something_else(second: bytes) -> None:
    assert reason(SIGNATURE + header() + second + chunk(b"IDAT", zlib.compress(bytes(1000))) + IEND) == (
        "UNSUPPORTED_FORMAT"
    )


@pytest.mark.parametrize(
    ("depth", "colour", "named"),
    [
        (1, GREY, "1-bit grey"),
        (8, GREY, "8-bit grey"),
        (16, GREY, "16-bit grey"),
        (16, RGB, "16-bit RGB"),
        (4, PALETTE, "4-bit palette"),
        (8, PALETTE, "8-bit palette"),
        (8, GREY_ALPHA, "8-bit grey and alpha"),
        (8, RGB_ALPHA, "8-bit RGB and alpha"),
        (16, RGB_ALPHA, "16-bit RGB and alpha"),
    ],
)
def test_png_of_another_kind_is_refused_by_name(depth: int, colour: int, named: str) -> None:
    encoded = blank(depth, colour)
    assert (reason(encoded), named in text(encoded)) == ("UNSUPPORTED_FORMAT", True)


def test_png_of_an_unknown_colour_type_is_refused() -> None:
    assert reason(SIGNATURE + header(colour=5) + IDAT + IEND) == "UNSUPPORTED_FORMAT"


def test_png_that_is_animated_is_refused_by_name() -> None:
    encoded = b"".join(ANIMATED)
    assert (reason(encoded), "animated" in text(encoded)) == ("UNSUPPORTED_FORMAT", True)


def test_png_with_a_transparent_colour_is_refused_by_name() -> None:
    encoded = SIGNATURE + header() + chunk(b"tRNS", bytes(6)) + IDAT + IEND
    assert (reason(encoded), "transparent" in text(encoded)) == ("UNSUPPORTED_FORMAT", True)


@pytest.mark.parametrize(("height", "width"), [(0, WIDTH), (HEIGHT, 0), (0, 0)])
def test_png_without_a_pixel_is_refused(height: int, width: int) -> None:
    assert reason(SIGNATURE + header(height=height, width=width) + IDAT + IEND) == "UNSUPPORTED_FORMAT"


def boundaries(*pieces: bytes) -> Iterator[bytes]:
    """A file cut behind each of its pieces but the last."""
    yield from itertools.accumulate(pieces[:-1])


@pytest.mark.parametrize(
    "encoded",
    [
        *boundaries(SIGNATURE, header(), TEXT, IDAT, IEND),
        *boundaries(*ANIMATED),
    ],
    ids=lambda encoded: f"{len(encoded)}-bytes",
)
def test_png_is_refused_when_it_is_cut_between_chunks(encoded: bytes) -> None:
    assert reason(encoded) == "UNSUPPORTED_FORMAT"


def test_png_is_refused_wherever_it_is_cut() -> None:
    checked = len(WHOLE) - len(struct.pack(">I", 0))  # of the end's own checksum nothing depends
    assert {reason(WHOLE[:length]) for length in range(1, checked)} == {"UNSUPPORTED_FORMAT"}


@pytest.mark.parametrize(
    "pieces",
    [
        [header(), IEND],
        [IDAT, IEND],
        [TEXT, header(), IDAT, IEND],
        [header(), IDAT[:-4] + b"\0\0\0\0", IEND],
        [header(), chunk(b"IDAT", b"no zlib stream"), IEND],
        [header(), chunk(b"IDAT", zlib.compress(rows()[:-1])), IEND],
        [header(interlace=1), IDAT, IEND],
        [header(), chunk(b"IDAT", zlib.compress(b"\x09" + rows()[1:])), IEND],
    ],
    ids=[
        "no-pixels",
        "no-header",
        "header-late",
        "wrong-checksum",
        "not-compressed",
        "too-few-pixels",
        "wrong-interlace",
        "unknown-filter",
    ],
)
def test_png_that_is_damaged_is_refused(pieces: list[bytes]) -> None:
    assert reason(SIGNATURE + b"".join(pieces)) == "UNSUPPORTED_FORMAT"


@given(position=st.integers(8, len(WHOLE) - 5), flipped=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_png_with_a_changed_byte_is_never_decoded_to_other_pixels(position: int, flipped: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= flipped
    try:
        decoded = decode_png(bytes(damaged), max_px=MAX_PX).pixels
    except InvalidRequestError:
        return
    np.testing.assert_array_equal(decoded, PIXELS)
