"""How close a result is to the truth, how sharp it is, and whether its seams show.

The protocol of every table in this project: RGB, all three bands together, `BORDER_PX` cut from all sides, the data
range that of the integer type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, UInt8, UInt16
from skimage.metrics import structural_similarity

BORDER_PX = 4
"""Pixels cut from every side before measuring: there, methods differ in what they make up beyond the edge."""
SSIM_WINDOW_PX = 11
"""Side of the smallest image that SSIM's Gaussian of sigma 1.5, cut off at 3.5 sigma, can measure."""
BLOCK_PX = 512
"""Side of what is measured at once."""
HALF_NYQUIST = 0.25
"""Half of the highest frequency that pixels can carry, in cycles per pixel."""

ROUNDING = 1 / 12
"""Variance of what rounding to whole grey levels leaves."""

Rgb = UInt8[np.ndarray, "_height _width 3"]
Picture = UInt8[np.ndarray, "_height _width 3"] | UInt16[np.ndarray, "_height _width 3"]


class Mean(NamedTuple):
    """A mean that is still being summed up."""

    total: float = 0.0
    samples: int = 0

    def with_block(self, block: Mean) -> Mean:
        """Both together."""
        return Mean(self.total + block.total, self.samples + block.samples)


class Spectrum(NamedTuple):
    """The energy of a picture by its waves."""

    power: Float64[np.ndarray, "height width"]
    frequency: Float64[np.ndarray, "height width"]
    """In cycles per pixel, radially: the corners of the plane have more than the highest that either axis can carry."""
    white: float
    """What noise of variance 1 in one band has on average, at each wave."""


def psnr(
    image: Picture, truth: Picture, *, border_px: int = BORDER_PX, mask: Bool[np.ndarray, "_h _w"] | None = None
) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images.

    Args:
        image: the result.
        truth: what it should be.
        border_px: cut from every side.
        mask: which pixels inside the border count, at least one; None: all.

    Raises:
        ValueError: shapes or types differ, or nothing is left inside the border.
    """
    blocks = squared_errors(image, truth, border_px=border_px, mask=mask)
    return psnr_of(reduce(Mean.with_block, blocks, Mean()), data_range=full_data_range(truth.dtype))


def psnr_of(squared_error: Mean, *, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB of samples that span `data_range`; infinite for no error."""
    total, samples = squared_error
    return 10 * math.log10(data_range**2 * samples / total) if total else math.inf


def ssim(image: Picture, truth: Picture, *, border_px: int = BORDER_PX) -> float:
    """Mean structural similarity, -1 to 1, averaged over the bands.

    Raises:
        ValueError: shapes or types differ, or less than 11 x 11 px is left inside the border.
    """
    blocks = similarities(image, truth, data_range=full_data_range(truth.dtype), border_px=border_px)
    total, samples = reduce(Mean.with_block, blocks, Mean())
    return total / samples


def squared_errors(
    image: Picture, truth: Picture, *, border_px: int = BORDER_PX, mask: Bool[np.ndarray, "_h _w"] | None = None
) -> Iterator[Mean]:
    """Squared errors of all samples that count, summed up in blocks, so that memory stays bounded; as `psnr`."""
    inner, reference = inner_parts(image, truth, border_px)
    for area in _blocks(inner.shape[0], inner.shape[1]):
        squared = (inner[area].astype(np.float64) - reference[area]) ** 2
        counted = squared if mask is None else squared[mask[area]]
        yield Mean(float(counted.sum()), counted.size)


def similarities(image: Picture, truth: Picture, *, data_range: float, border_px: int = BORDER_PX) -> Iterator[Mean]:
    """Structural similarity of all samples, summed up in blocks, so that memory stays bounded; as `ssim`.

    Blocks overlap by the Gaussian's radius, so that they join without a trace. `data_range` is the span of values that
    the samples use.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", section
    III.C: Gaussian weights of sigma 1.5 in an 11 x 11 window, population covariance, K1 = 0.01, K2 = 0.03.
    """
    inner, reference = inner_parts(image, truth, border_px, least_px=SSIM_WINDOW_PX)
    radius = SSIM_WINDOW_PX // 2
    for rows, columns in _blocks(inner.shape[0] - 2 * radius, inner.shape[1] - 2 * radius):
        area = slice(rows.start, rows.stop + 2 * radius), slice(columns.start, columns.stop + 2 * radius)
        _, similarity = structural_similarity(
            reference[area],
            inner[area],
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=data_range,
            channel_axis=-1,
            full=True,
        )
        within = similarity[radius:-radius, radius:-radius]
        yield Mean(float(within.sum()), within.size)


def _blocks(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    starts = product(range(0, height, BLOCK_PX), range(0, width, BLOCK_PX))
    for top, left in starts:
        yield slice(top, min(top + BLOCK_PX, height)), slice(left, min(left + BLOCK_PX, width))


def high_frequency_ratio(image: Picture, truth: Picture, *, border_px: int = BORDER_PX) -> float:
    """Energy of `image` above half Nyquist over that of `truth`: 1 is as much, less is blurrier, more is noisier.

    The energy is that of `power_spectrum` at radial frequencies above 0.25 cycles per pixel. It says how much detail
    there is, not whether it is true.

    Raises:
        ValueError: shapes or types differ, or nothing is left inside the border.
    """
    inner, reference = inner_parts(image, truth, border_px)
    found, wanted = _high_frequency_energy(inner), _high_frequency_energy(reference)
    if wanted == 0:
        return 1.0 if found == 0 else math.inf
    return found / wanted


def power_spectrum(image: Picture) -> Spectrum:
    """The energy of each wave, summed over the bands, of the image without its mean under a Hann window."""
    height, width = image.shape[:2]
    window = np.outer(np.hanning(height), np.hanning(width))
    values = image.astype(np.float64)
    values = (values - values.mean(axis=(0, 1))) * window[..., None]
    power = (np.abs(np.fft.fft2(values, axes=(0, 1))) ** 2).sum(axis=-1)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    return Spectrum(power, frequency, float((window**2).sum()))


def gradient_ratio_at(image: Picture, rows: Sequence[int], columns: Sequence[int]) -> float:
    """Mean absolute gradient across the given borders over that across the median border: 1 is no visible seam.

    The gradient across a border is the mean absolute difference of the pixels on its two sides, along its whole length
    and over the bands. Borders between rows are compared with the median of all borders between rows, those between
    columns with theirs; the result is the mean over all given borders.

    Args:
        image: the result.
        rows: borders by the row below them, 1 to height - 1.
        columns: borders by the column right of them, 1 to width - 1.

    Raises:
        ValueError: no border is given, or one lies outside the image.
    """
    ratios = [ratio for axis, at in ((0, rows), (1, columns)) for ratio in _border_ratios(image, axis, at)]
    if not ratios:
        raise ValueError("no border is given")
    return float(np.mean(ratios))


def _border_ratios(image: Picture, axis: int, borders: Sequence[int]) -> Sequence[float]:
    if not borders:
        return []
    if min(borders) < 1 or max(borders) >= image.shape[axis]:
        raise ValueError(f"borders lie between 1 and {image.shape[axis] - 1}, not {min(borders)} to {max(borders)}")
    steps = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(axis=(1 - axis, 2))
    typical = float(np.median(steps))
    if typical == 0:
        return [1.0 if steps[border - 1] == 0 else math.inf for border in borders]
    return [float(steps[border - 1]) / typical for border in borders]


def _high_frequency_energy(image: Picture) -> float:
    spectrum = power_spectrum(image)
    return float(spectrum.power[spectrum.frequency > HALF_NYQUIST].sum())


def full_data_range(dtype: np.dtype) -> float:
    """The span of all values of an integer type."""
    return float(np.iinfo(dtype).max)


def inner_parts(image: Picture, truth: Picture, border_px: int, *, least_px: int = 1) -> tuple[Picture, Picture]:
    """Both without `border_px` on every side.

    Raises:
        ValueError: shapes or types differ, or a side of less than `least_px` is left.
    """
    if image.shape != truth.shape or image.dtype != truth.dtype:
        raise ValueError(f"{image.dtype} {image.shape} cannot be measured against {truth.dtype} {truth.shape}")
    if min(image.shape[:2]) - 2 * border_px < least_px:
        raise ValueError(
            f"{image.shape[1]} x {image.shape[0]} px leave nothing to measure inside {border_px} px of border"
        )
    inside = slice(border_px, image.shape[0] - border_px), slice(border_px, image.shape[1] - border_px)
    return image[inside], truth[inside]
