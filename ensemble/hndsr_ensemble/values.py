"""Between the sample values of a raster and the networks' range [-1, 1]."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

SampleType = np.dtype[np.unsignedinteger]
Ranges = Float64[np.ndarray, "3 2"]
"""Per band: the sample values that are mapped to −1 and 1."""


def full_ranges(dtype: SampleType) -> Ranges:
    """The whole range of a sample type for each band."""
    return np.tile(np.array([0.0, float(np.iinfo(dtype).max)]), (3, 1))


def check_ranges(ranges: Ranges, dtype: SampleType) -> None:
    """Refuse ranges that are empty, not finite, or outside the sample type.

    Raises:
        ValueError: naming the band and its limits.
    """
    limit = np.iinfo(dtype).max
    for band, (low, high) in enumerate(ranges):
        if not (np.isfinite(low) and np.isfinite(high) and 0 <= low < high <= limit):
            raise ValueError(f"value range {low:g}…{high:g} of band {band} is not within 0…{limit} and rising")


def normalise(samples: Shaped[np.ndarray, "h w 3"], ranges: Ranges) -> Float32[np.ndarray, "3 h w"]:
    """Map samples to [-1, 1], channels first; samples outside their range are clamped."""
    low, high = ranges[:, 0], ranges[:, 1]
    unit = (2.0 * samples - (low + high)) / (high - low)
    return np.ascontiguousarray(np.clip(unit, -1, 1).astype(np.float32).transpose(2, 0, 1))


def quantise(
    unit: Float32[np.ndarray, "3 h w"],
    ranges: Ranges,
    dtype: SampleType,
) -> Shaped[np.ndarray, "h w 3"]:
    """Map [-1, 1] back to samples: `floor(v + 1/2)`, clamped to the range."""
    low, high = ranges[:, 0], ranges[:, 1]
    samples = (unit.transpose(1, 2, 0).astype(np.float64) * (high - low) + (low + high)) / 2
    return np.floor(np.clip(samples, low, high) + 0.5).astype(dtype, order="C")


def out_of_range(samples: Shaped[np.ndarray, "h w 3"], ranges: Ranges) -> Bool[np.ndarray, "h w 3"]:
    """Samples that the networks cannot see as they are."""
    return (samples < ranges[:, 0]) | (samples > ranges[:, 1])
