"""Image files become pictures as they are, or are refused with a remedy."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hndsr_client import ArgumentError
from hndsr_client._pictures import picture_of
from hndsr_client.testing._png import write_png

RGB = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
GREY = RGB[..., 0]
DEEP_GREY = np.arange(1000, 1000 + 5 * 7, dtype=np.uint16).reshape(5, 7)


def saved(samples: np.ndarray, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(samples).save(file, name, **options)
    return file.getvalue()


def grey_tiff(samples: np.ndarray, order: str) -> bytes:
    """A TIFF file of 16 bits in one strip; `order` is that of its bytes, "<" or ">"."""
    height_px, width_px = samples.shape
    tags = {256: width_px, 257: height_px, 258: 16, 259: 1, 262: 1, 273: 0, 277: 1, 278: height_px, 279: samples.nbytes}
    header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    tags[273] = len(header) + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    return header + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + samples.astype(f"{order}u2").tobytes()


def equal_bands(grey: np.ndarray) -> np.ndarray:
    return grey[..., None].repeat(3, 2)


def test_picture_of_a_grey_file_has_three_equal_bands() -> None:
    np.testing.assert_array_equal(picture_of(saved(GREY, "PNG")).pixels, equal_bands(GREY))


@pytest.mark.parametrize("order", ["<", ">"])
def test_picture_of_a_grey_tiff_file_keeps_16_bits(order: str) -> None:
    np.testing.assert_array_equal(picture_of(grey_tiff(DEEP_GREY, order)).pixels, equal_bands(DEEP_GREY))


@pytest.mark.parametrize("grey", [GREY, DEEP_GREY], ids=["8_bits", "16_bits"])
def test_picture_of_a_turned_file_is_upright(grey: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture_of(saved(grey, "PNG", exif=exif)).pixels
    np.testing.assert_array_equal(turned, equal_bands(np.rot90(grey, -1)))


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "floats"), (np.int32, "integers of 32 bits")])
def test_picture_of_a_file_that_pillow_would_clip_is_refused(dtype: type, kind: str) -> None:
    with pytest.raises(
        ArgumentError, match=f"the image: its samples are {kind}.*; scale them to 8 or 16 bits and pass"
    ):
        picture_of(saved(DEEP_GREY.astype(dtype), "TIFF"))


def test_picture_of_a_file_of_which_pillow_reads_half_the_bits_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"the image: it has colours of 16 bits, .*; pass its pixels as an array"):
        picture_of(write_png(RGB.astype(np.uint16)))


# Pillow warns of more pixels than it is told, and refuses twice as many.
@pytest.mark.parametrize("limit_px", [20, 10], ids=["warned", "refused"])
def test_picture_of_a_file_larger_than_pillow_reads_is_refused(monkeypatch: pytest.MonkeyPatch, limit_px: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit_px)
    with pytest.raises(ArgumentError, match="the image: more pixels than Pillow reads safely; pass a part of them"):
        picture_of(write_png(RGB))


@pytest.mark.parametrize("mask", [[[True] * 7] * 5, "mask", 1], ids=str)
def test_picture_refuses_a_mask_that_is_no_array(mask: Any) -> None:
    with pytest.raises(ArgumentError, match=f"the mask is {type(mask).__name__}, accepted is an array of bool"):
        picture_of(RGB, mask)
