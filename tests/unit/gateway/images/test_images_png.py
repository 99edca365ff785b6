"""PNG files: what the corpus does not ask for, alpha planes, attributes, memory and changed bytes."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from corpus.png_writer import GREY, GREY_ALPHA, IEND, PALETTE, RGB, RGB_ALPHA, SIGNATURE, assembled, chunk, header, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.gateway.images.files import SIZE, profile_of, read, refusal, samples, saved, srgb_profile

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images.decode import decode

PIXELS = samples(5, 7, 3)
WHOLE = png(PIXELS, extra=chunk(b"tEXt", b"Comment\0made by a test"))
MEBIBYTE = 2**20


def profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_of_grey_says_that_it_is_grey(depth: int) -> None:
    assert read(png(samples(*SIZE, 1) % 2, depth, GREY)).grey


@pytest.mark.parametrize("colour", [RGB, PALETTE], ids=["rgb", "palette"])
def test_png_of_equal_bands_is_not_grey(colour: int) -> None:
    assert not read(png(np.zeros((3, 4, 1 if colour == PALETTE else 3), np.uint8), 8, colour)).grey


@pytest.mark.parametrize(("depth", "dtype"), [(8, "uint8"), (16, "uint16")])
@pytest.mark.parametrize(("colour", "bands"), [(GREY_ALPHA, 2), (RGB_ALPHA, 4)], ids=["grey", "rgb"])
def test_png_keeps_the_values_of_alpha(depth: int, dtype: str, colour: int, bands: int) -> None:
    made = samples(*SIZE, bands, dtype=dtype)
    np.testing.assert_array_equal(read(png(made, depth, colour)).alpha, made[..., -1])


def test_png_has_a_mask_where_alpha_is_zero() -> None:
    made = samples(*SIZE, 4) // 64 * 64
    np.testing.assert_array_equal(read(png(made, 8, RGB_ALPHA)).raster.mask, made[..., 3] != 0)


def test_png_of_opaque_alpha_keeps_alpha_without_a_mask() -> None:
    made = samples(*SIZE, 4)
    made[..., 3] = 255
    decoded = read(png(made, 8, RGB_ALPHA))
    assert (decoded.alpha is not None, decoded.raster.mask) == (True, None)


def test_png_of_a_transparent_palette_entry_keeps_its_opacity() -> None:
    indices = samples(*SIZE, 1) % 4
    encoded = png(indices, 2, PALETTE, extra=chunk(b"tRNS", b"\x00\x80"))
    np.testing.assert_array_equal(read(encoded).alpha, np.array([0, 128, 255, 255])[indices[..., 0]])


@pytest.mark.parametrize("depth", [2, 4, 8, 16])
def test_png_of_a_transparent_grey_is_transparent_there_alone(depth: int) -> None:
    made = samples(*SIZE, 1, dtype="uint16") % 4
    alpha = read(png(made, depth, GREY, extra=chunk(b"tRNS", struct.pack(">H", 2)))).alpha
    assert alpha is not None
    np.testing.assert_array_equal(alpha == 0, made[..., 0] == 2)


def test_png_keeps_its_colour_profile() -> None:
    assert read(png(PIXELS, extra=profile_chunk(srgb_profile()))).attributes.icc == srgb_profile()


@pytest.mark.parametrize(
    "profile",
    [profile_of(b"GRAY"), profile_of(b"CMYK"), b"no profile", profile_of(b"RGB ", 5 * MEBIBYTE)],
    ids=["grey", "cmyk", "none", "too-large"],
)
def test_png_drops_a_profile_that_does_not_fit(profile: bytes) -> None:
    assert read(png(PIXELS, extra=profile_chunk(profile))).attributes.icc == b""


def test_png_of_several_frames_is_refused_by_name() -> None:
    encoded = saved(PIXELS, "PNG", save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
    assert (refusal(encoded).reason, "animated" in str(refusal(encoded))) == ("UNSUPPORTED_FORMAT", True)


def peak_bytes(encoded: bytes) -> int:
    """Memory that refusing or reading a file takes."""
    tracemalloc.start()
    try:
        decode(encoded, max_px=40)
    except InvalidRequestError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


IDAT = chunk(b"IDAT", zlib.compress(bytes(5 * 22)))


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(assembled(header((30_000, 30_000)), IDAT, IEND), id="size"),
        pytest.param(assembled(header((5, 7)), header((9_000, 9_000)), IDAT, IEND), id="size-in-a-second-header"),
        pytest.param(
            assembled(header((5, 7)), chunk(b"IDAT", zlib.compress(bytes(64 * MEBIBYTE))), IEND), id="more-pixels"
        ),
    ],
)
def test_png_bomb_is_refused_without_memory_for_its_pixels(encoded: bytes) -> None:
    assert peak_bytes(encoded) < 4 * MEBIBYTE


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_png_bomb_beside_the_pixels_costs_no_more_than_a_profile(kind: bytes) -> None:
    bomb = chunk(kind, b"name\0\0" + zlib.compress(bytes(64 * MEBIBYTE)))
    assert peak_bytes(png(PIXELS, extra=bomb)) < 10 * MEBIBYTE


@given(position=st.integers(0, len(WHOLE) - 1), flipped=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_png_with_a_changed_byte_is_refused(position: int, flipped: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= flipped
    assert refusal(bytes(damaged)).reason in {"IMAGE_DAMAGED", "UNSUPPORTED_FORMAT"}


def test_png_is_refused_wherever_it_is_cut() -> None:
    assert {refusal(WHOLE[:length]).reason for length in range(len(SIGNATURE), len(WHOLE))} == {"IMAGE_DAMAGED"}
