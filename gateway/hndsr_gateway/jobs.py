"""What a caller may ask the service for in one call, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from hndsr_gateway.images.picture import Encoding, ImageFormat
from hndsr_gateway.types import Parameters, Raster, Upscaled

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
        """
        chosen = None if self.pixels else self.format or source_format
        return None if chosen is None else Encoding(chosen, self.quality, self.lossless)


@dataclass(frozen=True, slots=True)
class UpscaleRequest:
    """One image to be upscaled; `reference` is the truth, where it is known."""

    source: Source
    parameters: Parameters = field(default_factory=Parameters)
    output: Output = field(default_factory=Output)
    reference: Source | None = None

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, in bytes."""
        return sum(size_bytes(image) for image in (self.source, self.reference) if image is not None)


@dataclass(frozen=True, slots=True)
class Quality:
    """How close an image is to a reference; `ssim` None where it cannot be measured."""

    psnr_db: float
    ssim: float | None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """A result beside bicubic interpolation of the same source."""

    result: Quality
    bicubic: Quality


@dataclass(frozen=True, slots=True)
class UpscaleAnswer:
    """The target as pixels, and as a file of `format` where one was wanted; and what it took."""

    upscaled: Upscaled
    source_format: ImageFormat | None
    format: ImageFormat | None
    encoded: bytes | None
    quality: QualityReport | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class CompareAnswer:
    """How close an image is to a reference, and the size of both as (height, width)."""

    quality: Quality
    size: tuple[int, int]


def size_bytes(image: Source) -> int:
    """What an image as it was sent holds in memory, in bytes."""
    return image.pixels.nbytes if isinstance(image, Raster) else len(image)
