"""Images as they come in messages and go out in files."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.pixels import Mask, Pixels, from_raw
from hndsr_client.errors import AnswerError
from hndsr_client.testing._failures import Refusal
from hndsr_client.testing._files import read_file
from hndsr_client.testing._nearest import enlarge

RAW = pb.IMAGE_FORMAT_RAW
SAMPLE_BYTES = {pb.SAMPLE_TYPE_UINT8: 1, pb.SAMPLE_TYPE_UINT16: 2}
BANDS = 3


class Picture(NamedTuple):
    """Three bands, which pixels are valid, the plane of alpha, whether the bands are one grey, and where it is from."""

    pixels: Pixels
    mask: Mask | None
    alpha: npt.NDArray[Any] | None = None
    grey: bool = False
    format: pb.ImageFormat = RAW

    @property
    def opaque(self) -> bool:
        """Whether nothing of it is invalid or transparent."""
        whole = np.iinfo(self.pixels.dtype).max
        return (self.mask is None or bool(self.mask.all())) and (
            self.alpha is None or bool((self.alpha == whole).all())
        )

    def enlarged(self, scale: Fraction) -> Picture:
        """Every plane of it by the nearest neighbour; what is invalid is 0, a mask of all is dropped."""
        mask = None if self.mask is None or self.mask.all() else enlarge(self.mask, scale)
        alpha = None if self.alpha is None else enlarge(self.alpha, scale)
        pixels = enlarge(self.pixels, scale)
        return self._replace(pixels=pixels if mask is None else pixels * mask[..., None], mask=mask, alpha=alpha)

    def planes(self, image_format: pb.ImageFormat) -> npt.NDArray[Any]:
        """The samples of its file, (height, width, bands)."""
        colours = self.pixels[..., :1] if self.grey and image_format != pb.IMAGE_FORMAT_WEBP else self.pixels
        if image_format == pb.IMAGE_FORMAT_JPEG or (self.mask is None and self.alpha is None):
            return colours
        whole = np.full(colours.shape[:2], np.iinfo(colours.dtype).max, colours.dtype)
        alpha = whole if self.alpha is None else self.alpha
        return np.dstack([colours, alpha if self.mask is None else np.where(self.mask, alpha, colours.dtype.type(0))])


def decode(message: Any, kind: str | None, *, of: str = "") -> Picture:
    """The image of a message that holds one.

    Args:
        message: With the fields `encoded` and `raw`.
        kind: Which of them is set.
        of: Path of the message in the request, nothing for the request itself.

    Raises:
        Refusal: There is none, or it cannot be read.
        BeyondFakeError: The fake alone cannot read it.
    """
    if kind == "raw":
        return _from_raw(message.raw, f"{of}.raw" if of else "raw")
    if not message.encoded:
        raise Refusal("the request holds no pixel", reason="EMPTY_IMAGE", field=of or "image")
    samples, image_format = read_file(message.encoded, field=of or "encoded")
    return _from_samples(samples, image_format)


def _from_raw(raw: pb.RawImage, field: str) -> Picture:
    sample_bytes = SAMPLE_BYTES.get(raw.sample_type)
    if sample_bytes is None:
        message = "raw pixels need the sample type UINT8 or UINT16"
        raise Refusal(message, reason="RAW_IMAGE_INVALID", field=f"{field}.sample_type")
    if not raw.height_px or not raw.width_px:
        empty = "image" if field == "raw" else field
        raise Refusal("the request holds no pixel", reason="EMPTY_IMAGE", field=empty)
    fits = len(raw.pixels) == raw.height_px * raw.width_px * BANDS * sample_bytes
    try:
        return Picture(*from_raw(raw))
    except AnswerError as error:
        faulty = f"{field}.mask" if fits else f"{field}.pixels"
        raise Refusal("the bytes do not fit the shape", reason="RAW_IMAGE_INVALID", field=faulty) from error


def _from_samples(samples: npt.NDArray[Any], image_format: pb.ImageFormat) -> Picture:
    alpha = samples[..., -1] if samples.shape[2] in {2, 4} else None
    grey = samples.shape[2] < BANDS
    pixels = samples[..., :1].repeat(BANDS, axis=2) if grey else samples[..., :BANDS]
    return Picture(pixels, None if alpha is None or alpha.all() else alpha > 0, alpha, grey, image_format)
