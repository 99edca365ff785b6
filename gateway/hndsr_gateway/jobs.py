"""What a caller may ask the service for in one call, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from hndsr_ensemble.manifest import Options
from hndsr_gateway.errors import GatewayError, OutputUnsupportedError
from hndsr_gateway.images.picture import Encoding, ImageFormat, Picture
from hndsr_gateway.types import Parameters, Priority, Raster, Upscaled

BORDER_PX = 4
"""Pixels cut from every side before measuring: the protocol of `hndsr_ensemble.evaluation.metrics`."""

Source = bytes | Raster
"""An image file, or pixels."""


@dataclass(frozen=True, slots=True)
class Output:
    """How the answer is wanted: pixels, or a file; `format` None is the source's own."""

    format: ImageFormat | None = None
    pixels: bool = False
    quality: int | None = None
    lossless: bool | None = None

    def encoding(self, source_format: ImageFormat | None) -> Encoding | None:
        """How the file is made, None for pixels.

        Args:
            source_format: None where pixels were sent.

        Raises:
            OutputUnsupportedError: if pixels are to have what only files have.
        """
        chosen = None if self.pixels else self.format or source_format
        if chosen is not None:
            return Encoding(chosen, self.quality, self.lossless)
        if self.quality is not None or self.lossless is not None:
            raise OutputUnsupportedError("raw pixels have no encoding options", field="encoding")
        return None


@dataclass(frozen=True, slots=True)
class UpscaleRequest:
    """One image to be upscaled; `reference` is the truth, where it is known."""

    source: Source
    parameters: Parameters = field(default_factory=Parameters)
    output: Output = field(default_factory=Output)
    reference: Source | None = None
    priority: Priority = Priority.INTERACTIVE
    allow_degraded: bool = False

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, in bytes."""
        return sum(size_bytes(image) for image in (self.source, self.reference) if image is not None)


@dataclass(frozen=True, slots=True)
class Quality:
    """How close an image is to a reference, against a span of values; `ssim` None where it cannot be measured."""

    psnr_db: float
    ssim: float | None
    data_range: float


@dataclass(frozen=True, slots=True)
class QualityReport:
    """A result beside bicubic interpolation of the same source."""

    result: Quality
    bicubic: Quality


@dataclass(frozen=True, slots=True)
class Degradation:
    """Why an answer is lesser than was asked for, and what that was."""

    error: GatewayError
    model: str
    options: Options


@dataclass(frozen=True, slots=True)
class UpscaleAnswer:
    """The target as pixels, and as a file of `format` where one was wanted; and what it took."""

    upscaled: Upscaled
    source_format: ImageFormat | None
    format: ImageFormat | None
    encoded: bytes | None
    quality: QualityReport | None
    latency_s: float
    degradation: Degradation | None = None


@dataclass(frozen=True, slots=True)
class CompareAnswer:
    """How close an image is to a reference, and the size of both as (height, width)."""

    quality: Quality
    size: tuple[int, int]


def size_bytes(image: Source) -> int:
    """What an image as it was sent holds in memory, in bytes."""
    return raster_bytes(image) if isinstance(image, Raster) else len(image)


def raster_bytes(raster: Raster) -> int:
    """What pixels and their mask hold in memory, in bytes."""
    return raster.pixels.nbytes + (0 if raster.mask is None else raster.mask.nbytes)


def picture_bytes(picture: Picture) -> int:
    """What a picture holds in memory, in bytes."""
    return raster_bytes(picture.raster) + (0 if picture.alpha is None else picture.alpha.nbytes)
