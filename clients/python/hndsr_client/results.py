"""What the service answers, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

ImageFormat = Literal["png", "jpeg", "webp", "tiff", "raw", "unspecified"]
"""How an image travels: as a file, or as raw pixels. Unspecified: the server does not say, or is newer than we are."""


@dataclass(frozen=True)
class Options:
    """How a generative model draws; None where a model takes no such option."""

    steps: int | None
    """Diffusion steps; 0 is the prior alone."""
    texture: float | None
    """Weight of the drawn residual."""
    seed: int | None
    """Seed of the noise."""


@dataclass(frozen=True)
class ModelInfo:
    """One model being served."""

    name: str
    description: str
    revision: str
    """Identity of everything that decides pixels: servers of one revision return the same bytes."""
    min_scale: str
    max_scale: str
    """Scales run from `min_scale` to `max_scale`, both included; all three are written as `scale` is."""
    default_scale: str
    """What the server takes for a request without a scale. This client always sends one."""
    default_options: Options
    generative: bool
    """False: steps, texture and seed are ignored."""
    engine: str
    device: str
    window_px: int
    stride_px: int


@dataclass(frozen=True)
class Limits:
    """What the server refuses to exceed."""

    max_source_px: int
    """Pixels of a source image, height times width."""
    max_target_px: int
    """Pixels of a target image, height times width."""
    max_message_bytes: int
    max_steps: int
    max_texture: float
    formats: tuple[ImageFormat, ...]
    """What is read and written."""
    max_concurrent_requests: int
    """Requests that are worked on at once; more are queued."""
    max_queue_depth: int
    """Requests that may wait; more are refused as OVERLOADED."""
    max_streams: int
    """Streams that may be open at once; more are refused as OVERLOADED. Neither pixel limit is one of streams."""


@dataclass(frozen=True)
class ServiceInfo:
    """The models of a server, its limits and its version."""

    models: tuple[ModelInfo, ...]
    default_model: str
    """Name of the model that is used where a call names none."""
    limits: Limits
    gateway_version: str


@dataclass(frozen=True)
class Span:
    """One tile's extent along one axis, half-open."""

    core_start: int
    core_stop: int
    source_start_px: int
    source_stop_px: int
    """The source pixels the tile needs; neighbouring spans overlap."""
    target_start_px: int
    target_stop_px: int
    """The target pixels the tile yields; the spans of an axis partition the target."""


@dataclass(frozen=True)
class Plan:
    """How an image is cut: every row span crossed with every column span is one tile."""

    source_height_px: int
    source_width_px: int
    target_height_px: int
    target_width_px: int
    scale: Fraction
    """Target pixels per source pixel, reduced."""
    model: str
    revision: str
    row_spans: tuple[Span, ...]
    column_spans: tuple[Span, ...]
    digest: str
    """Names the job: all that decides its tiles and, beside the source, their bytes."""
    cores_per_tile: int
    """Cores along each side of a tile; a core is the part of the target that one window is responsible for."""
    options: Options
    """The options that would be used, defaults filled in."""
    windows: int
    """Windows that the target is blended from."""
    estimated_time_s: float
    """Time on an idle server with no window cached."""


@dataclass(frozen=True)
class Quality:
    """How close an image is to a reference, over all three bands."""

    psnr_db: float
    """Peak signal-to-noise ratio; infinite for equal images."""
    ssim: float | None
    """Mean structural similarity, -1 to 1; None for images that are too small for it, or have invalid pixels."""
    data_range: float
    """The span of values that both are measured against."""


@dataclass(frozen=True)
class QualityReport:
    """How close a target is to its reference, and what interpolation would have come to."""

    result: Quality
    """Of the target, before a lossy format takes its share."""
    bicubic: Quality
    """Of bicubic interpolation of the same source, the row to beat."""
    border_px: int
    """Pixels cut from every side before measuring."""


@dataclass(frozen=True)
class Degradation:
    """Why a result is lesser than was asked for, as `allow_degraded` allows."""

    reason: str
    """Of the error that the call would have failed with, such as "BACKEND_UNAVAILABLE"."""
    message: str
    model: str
    """That was asked for."""
    options: Options
    """That were asked for, defaults filled in."""


@dataclass(frozen=True)
class UpscaleMetadata:
    """What was done, so that a result can be told apart and made again."""

    target_height_px: int
    target_width_px: int
    model: str
    revision: str
    options: Options
    """The options that were used, defaults filled in."""
    scale: Fraction
    """Target pixels per source pixel, reduced."""
    tiles: int
    windows: int
    """Windows that the target is blended from, each counted once."""
    cache_hits: int
    """Times that a tile found a window in the server's cache; tiles share the windows on their seams."""
    empty_windows: int
    """Times that a window had no valid pixel, which costs nothing."""
    computed_windows: int
    """Windows that the model ran."""
    out_of_range_samples: int
    """Target samples that were interpolated because their source lies outside the value range."""
    latency_s: float
    """From the request's arrival to its answer, in the gateway."""
    engine: str
    device: str
    format: ImageFormat
    """Of the target, as the server answered it."""
    source_format: ImageFormat
    quality: QualityReport | None = None
    """None where the call gave no reference."""
    degraded: Degradation | None = None
    """Set where this is a lesser result than was asked for; `model`, `options` and `revision` say what it is."""


@dataclass(frozen=True, eq=False)
class Upscaled:
    """A target image."""

    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    """(height, width, 3) samples, row-major, read-only; copy it to write into it."""
    mask: npt.NDArray[np.bool_] | None
    """(height, width), True = valid; None: every pixel is valid."""
    metadata: UpscaleMetadata

    @property
    def quality(self) -> QualityReport | None:
        """How close it comes to the reference, None where the call gave none."""
        return self.metadata.quality


@dataclass(frozen=True)
class Encoded:
    """A target image as the content of a file."""

    content: bytes = field(repr=False)
    metadata: UpscaleMetadata

    @property
    def quality(self) -> QualityReport | None:
        """How close it comes to the reference, None where the call gave none."""
        return self.metadata.quality


@dataclass(frozen=True, eq=False)
class TargetTile:
    """A piece of a target image, as a stream answers it."""

    row: int
    """The index of its span in `Plan.row_spans`."""
    column: int
    """The index of its span in `Plan.column_spans`."""
    rows: slice
    columns: slice
    """Where it lies in the target: `target[tile.rows, tile.columns] = tile.pixels`."""
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    """(height, width, 3) samples of the machine's own byte order."""
    mask: npt.NDArray[np.bool_] | None
    """(height, width), True = valid; None: every pixel is valid."""


@dataclass(frozen=True)
class Progress:
    """How far an image has come."""

    tiles_done: int
    """With those that an earlier run has left."""
    tiles_total: int
    target_px_done: int
    target_px_total: int
    resumed_tiles: int
    """Tiles that an earlier run has left."""
    elapsed_s: float
    """Since this run began."""


@dataclass(frozen=True, eq=False)
class StreamResult:
    """An image that was upscaled tile by tile."""

    plan: Plan
    tiles: int
    resumed_tiles: int
    """Tiles that an earlier run has left; all others were made by this one."""
    reconnections: int
    """Times that the stream ended early and another went on with what was missing."""
    cache_hits: int
    """This and the three counts below are sums over the streams that told what they did in the end. What streams that
    broke have done is not known, so with `reconnections` there may have been more."""
    computed_windows: int
    empty_windows: int
    out_of_range_samples: int
    invalid_px: int
    """Target pixels without a valid source; they are 0."""
    elapsed_s: float
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None
    """The target, None where there was a sink."""
    mask: npt.NDArray[np.bool_] | None
    """Which of its pixels are valid; None where all are, or there was a mask sink."""
