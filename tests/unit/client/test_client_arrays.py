"""Arrays survive the way to the service and back, whatever their layout."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import AnswerError, ArgumentError, Client
from hndsr_client._core.pixels import from_raw, to_raw
from hndsr_client.testing._answers import decode
from hndsr_client.testing._nearest import enlarge
from hndsr_client.testing._servicer import NearestServicer

SHAPE = 5, 7, 3
COUNTING = np.arange(5 * 7 * 3).reshape(SHAPE)

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "row_major": lambda image: image,
    "column_major": np.asfortranarray,
    "upside_down": lambda image: image[::-1],
    "bands_reversed": lambda image: image[..., ::-1],
    "every_second": lambda image: np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)[::2, ::2],
    "bands_first_moved_last": lambda image: np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1),
    "broadcast": lambda image: np.broadcast_to(image[:1, :1], SHAPE),
    "part_of_a_larger": lambda image: np.pad(image, ((1, 2), (3, 1), (0, 0)))[1:-2, 3:-1],
}
MASK = COUNTING[..., 0] % 4 != 0


def read_only(image: np.ndarray) -> np.ndarray:
    image.flags.writeable = False
    return image


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "=u2"])
def test_upscale_sends_equal_pixels_for_every_layout(
    client: Client, service: NearestServicer, layout: str, dtype: str
) -> None:
    image = LAYOUTS[layout](COUNTING.astype(dtype) * (1 if dtype == "u1" else 300))
    client.upscale(image, scale=2)
    np.testing.assert_array_equal(decode(service.requests[0], "raw")[0], image)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_upscale_returns_the_service_pixels(client: Client, dtype: str) -> None:
    image = read_only(COUNTING.astype(dtype))
    np.testing.assert_array_equal(client.upscale(image, scale="22/7").image, enlarge(image, Fraction(22, 7)))


@pytest.mark.parametrize(("dtype", "returned"), [("u1", np.uint8), ("<u2", np.uint16), (">u2", np.uint16)])
def test_upscale_returns_native_byte_order(client: Client, dtype: str, returned: type) -> None:
    assert client.upscale(COUNTING.astype(dtype), scale=2).image.dtype == np.dtype(returned).newbyteorder("=")


@pytest.mark.parametrize("mask", [MASK, np.asfortranarray(MASK), MASK[::-1], MASK[:, ::-1]])
def test_upscale_sends_equal_masks_for_every_layout(client: Client, service: NearestServicer, mask: np.ndarray) -> None:
    client.upscale(COUNTING.astype("u1"), mask=mask)
    np.testing.assert_array_equal(decode(service.requests[0], "raw")[1], mask)


def test_upscale_returns_the_service_mask(client: Client) -> None:
    answer = client.upscale(COUNTING.astype("u1"), mask=MASK, scale=3)
    np.testing.assert_array_equal(answer.mask, enlarge(MASK, Fraction(3)))


def test_upscale_returns_no_mask_where_all_is_valid(client: Client) -> None:
    assert client.upscale(COUNTING.astype("u1")).mask is None


def test_upscale_asks_for_raw_pixels_for_a_file(client: Client, service: NearestServicer, source: object) -> None:
    client.upscale(source)
    assert service.requests[0].output_format == pb.IMAGE_FORMAT_RAW


def test_upscale_decodes_bytes_without_an_image_library(client: Client, source: object) -> None:
    assert client.upscale(source.read_bytes(), scale=2).image.shape == (10, 14, 3)


def test_upscale_takes_a_path_as_text(client: Client, source: object) -> None:
    assert client.upscale(str(source), scale=2).image.shape == (10, 14, 3)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (COUNTING[..., 0].astype("u1"), r"shape is \(5, 7\)"),
        (np.zeros((3, 5, 7), "u1"), r"accepted is \(height, width, 3\)"),
        (np.zeros((5, 7, 4), "u1"), r"shape is \(5, 7, 4\)"),
        (COUNTING.astype("f4"), "float32, accepted are uint8 and uint16"),
        (COUNTING.astype("i2"), "int16, accepted are uint8 and uint16"),
        (COUNTING.astype(bool), "bool, accepted are uint8 and uint16"),
        (np.ma.masked_array(COUNTING.astype("u1"), COUNTING == 0), "masked array"),
        (COUNTING.tolist(), "list, accepted are an array, bytes and a path"),
        (None, "NoneType, accepted are an array, bytes and a path"),
    ],
)
def test_upscale_refuses_images_no_message_can_carry(client: Client, image: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        client.upscale(image)


@pytest.mark.parametrize("mask", [MASK.astype("u1"), MASK.T, MASK[:-1], MASK[..., None], MASK.tolist()])
def test_upscale_refuses_masks_of_another_kind(client: Client, mask: object) -> None:
    with pytest.raises(ArgumentError, match=r"accepted is bool of shape \(5, 7\)"):
        client.upscale(COUNTING.astype("u1"), mask=mask)


def test_upscale_refuses_a_mask_with_a_file(client: Client, source: object) -> None:
    with pytest.raises(ArgumentError, match="a mask goes with an array only"):
        client.upscale(source, mask=MASK)


@pytest.mark.parametrize(
    "change",
    [{"pixels": b"123"}, {"height_px": 6}, {"sample_type": 9}, {"mask": b"12"}, {"mask": b"123456"}],
    ids=str,
)
def test_from_raw_refuses_images_that_contradict_themselves(change: dict[str, object]) -> None:
    image = to_raw(COUNTING.astype("u1"), MASK)
    for name, value in change.items():
        setattr(image, name, value)
    with pytest.raises(AnswerError):
        from_raw(image)
