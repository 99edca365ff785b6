"""What an answer's format can hold, as the gateway checks it."""

from __future__ import annotations

import numpy as np

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing._failures import Refusal
from hndsr_client.testing._images import RAW, Picture

PNG, JPEG, WEBP, TIFF = (
    pb.IMAGE_FORMAT_PNG,
    pb.IMAGE_FORMAT_JPEG,
    pb.IMAGE_FORMAT_WEBP,
    pb.IMAGE_FORMAT_TIFF,
)
FORMATS = (PNG, RAW, JPEG, WEBP, TIFF)
LOSSY = (JPEG, WEBP)
MAX_SIDE_PX = {JPEG: 65_500, WEBP: 16_383}
MAX_QUALITY = 100


def checked_format(request: pb.UpscaleRequest, source: Picture, target_px: tuple[int, int]) -> pb.ImageFormat:
    """The format of the answer to a request.

    Args:
        request: Says which, and how.
        source: What is enlarged.
        target_px: The answer's height and width.

    Raises:
        Refusal: There is no such format, or it cannot hold the answer.
    """
    chosen = request.output_format or source.format
    if chosen not in FORMATS:
        raise Refusal(f"output format {chosen} is unknown", reason="OUTPUT_UNSUPPORTED", field="output_format")
    check_encoding(chosen, request.encoding)
    wide = source.pixels.dtype != np.uint8
    if chosen in LOSSY and (wide or max(target_px) > MAX_SIDE_PX[chosen] or (chosen == JPEG and not source.opaque)):
        message = "the format cannot hold the answer's bits, its mask or its size"
        raise Refusal(message, reason="OUTPUT_UNSUPPORTED", field="output_format")
    return chosen


def check_encoding(chosen: pb.ImageFormat, encoding: pb.EncodingOptions) -> None:
    """The options of a format.

    Raises:
        Refusal: It does not have them, or not in that range.
    """
    quality = encoding.quality if encoding.HasField("quality") else None
    lossless = encoding.lossless if encoding.HasField("lossless") else None
    if chosen == RAW and (quality, lossless) != (None, None):
        raise Refusal("raw pixels have no encoding options", reason="OUTPUT_UNSUPPORTED", field="encoding")
    if quality is not None and chosen not in LOSSY:
        raise Refusal("the format has no quality", reason="OUTPUT_UNSUPPORTED", field="encoding.quality")
    if quality is not None and not 1 <= quality <= MAX_QUALITY:
        message = f"quality is {quality}, allowed are 1 to {MAX_QUALITY}"
        raise Refusal(message, reason="OPTION_OUT_OF_RANGE", field="encoding.quality")
    if (lossless is False and chosen not in LOSSY) or (lossless and (chosen == JPEG or quality is not None)):
        message = f"the format cannot be had with lossless {lossless} and that quality"
        raise Refusal(message, reason="OUTPUT_UNSUPPORTED", field="encoding.lossless")
