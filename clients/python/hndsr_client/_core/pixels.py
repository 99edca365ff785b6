"""Arrays to raw pixels and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.errors import AnswerError, ArgumentError

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]

BANDS = 3
# The contract's samples are little-endian on every machine.
_SAMPLE_TYPES = {"u1": pb.SAMPLE_TYPE_UINT8, "u2": pb.SAMPLE_TYPE_UINT16}
_DTYPES: dict[int, np.dtype[Any]] = {pb.SAMPLE_TYPE_UINT8: np.dtype("u1"), pb.SAMPLE_TYPE_UINT16: np.dtype("<u2")}


def to_raw(image: npt.NDArray[Any], mask: Mask | None) -> pb.RawImage:
    """An array as the message that carries it.

    Args:
        image: (height, width, 3) of uint8 or uint16, any strides and byte order.
        mask: (height, width) of bool, True = valid; None: every pixel is valid.

    Raises:
        ArgumentError: The array or the mask is of another kind, type or shape.
    """
    sample_type = _check_image(image)
    height_px, width_px = image.shape[:2]
    if mask is not None:
        _check_mask(mask, (height_px, width_px))
    return pb.RawImage(
        height_px=height_px,
        width_px=width_px,
        sample_type=sample_type,
        pixels=image.astype(_DTYPES[sample_type], copy=False).tobytes(),
        mask=b"" if mask is None else np.packbits(mask).tobytes(),
    )


def from_raw(raw: pb.RawImage) -> tuple[Pixels, Mask | None]:
    """The pixels, read-only, and the mask of a message, None where every pixel is valid.

    Raises:
        AnswerError: The message's sizes contradict each other, or its samples are of an unknown type.
    """
    shape = raw.height_px, raw.width_px
    try:
        image = np.frombuffer(raw.pixels, _DTYPES[raw.sample_type]).reshape(*shape, BANDS)
    except (KeyError, ValueError) as error:
        raise AnswerError(f"the server's {shape[0]} x {shape[1]} px image cannot be read: {error}") from error
    return image, _from_bits(raw.mask, shape) if raw.mask else None


def _from_bits(bits: bytes, shape: tuple[int, int]) -> Mask:
    count = shape[0] * shape[1]
    if len(bits) != -(-count // 8):
        raise AnswerError(f"the server's mask has {len(bits)} bytes for {count} pixels")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).view(np.bool_).reshape(shape)


def _check_image(image: npt.NDArray[Any]) -> pb.SampleType:
    if isinstance(image, np.ma.MaskedArray):
        raise ArgumentError(
            "the image is a masked array; pass image.filled(0) and a (height, width) mask, True = valid"
        )
    if image.ndim != 3 or image.shape[2] != BANDS:
        raise ArgumentError(f"the image's shape is {image.shape}, accepted is (height, width, {BANDS})")
    sample_type = _SAMPLE_TYPES.get(image.dtype.str[1:])
    if sample_type is None:
        raise ArgumentError(f"the image's dtype is {image.dtype}, accepted are uint8 and uint16")
    return sample_type


def _check_mask(mask: Mask, shape: tuple[int, int]) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != shape:
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ArgumentError(f"the mask is {got}, accepted is bool of shape {shape}, True = valid")
