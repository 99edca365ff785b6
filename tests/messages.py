"""Requests and answers as arrays."""

from __future__ import annotations

import numpy as np

from hndsr.v1 import upscale_pb2 as pb

TYPES = {"uint8": pb.SAMPLE_TYPE_UINT8, "uint16": pb.SAMPLE_TYPE_UINT16}


def raw_request(
    pixels: np.ndarray,
    *,
    model: str,
    scale: str,
    options: dict[str, float] | None = None,
    mask: np.ndarray | None = None,
    ranges: np.ndarray | None = None,
) -> pb.UpscaleRequest:
    """An Upscale call of raw pixels."""
    bands = [] if ranges is None else [pb.ValueRange(minimum=low, maximum=high) for low, high in ranges]
    return pb.UpscaleRequest(
        parameters=pb.UpscaleParameters(
            model=model, scale=scale, options=pb.UpscaleOptions(**(options or {})), value_ranges=bands
        ),
        raw=pb.RawImage(
            height_px=pixels.shape[0],
            width_px=pixels.shape[1],
            sample_type=TYPES[pixels.dtype.name],
            pixels=pixels.tobytes(),
            mask=b"" if mask is None else np.packbits(mask, axis=None).tobytes(),
        ),
    )


def raw_pixels(image: pb.RawImage) -> np.ndarray:
    """The samples of an answer."""
    dtype = np.uint8 if image.sample_type == pb.SAMPLE_TYPE_UINT8 else np.uint16
    return np.frombuffer(image.pixels, dtype).reshape(image.height_px, image.width_px, 3)


def raw_mask(image: pb.RawImage) -> np.ndarray | None:
    """The mask of an answer."""
    if not image.mask:
        return None
    bits = np.unpackbits(np.frombuffer(image.mask, np.uint8), count=image.height_px * image.width_px)
    return bits.reshape(image.height_px, image.width_px).astype(bool)
