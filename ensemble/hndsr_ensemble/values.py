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
    result = np.empty((3, *samples.shape[:2]), np.float32)
    for band, (low, high) in enumerate(ranges):
        unit = np.multiply(samples[..., band], 2.0, dtype=np.float64)
        unit -= low + high
        with np.errstate(over="ignore"):  # a range of next to nothing has all others at its ends
            unit /= high - low
        np.maximum(unit, -1, out=unit)
        np.minimum(unit, 1, out=result[band], casting="same_kind")
    return result


def quantise(
    unit: Float32[np.ndarray, "3 h w"],
    ranges: Ranges,
    dtype: SampleType,
) -> Shaped[np.ndarray, "h w 3"]:
    """Map [-1, 1] back to samples: `floor(v + 1/2)`, clamped to the range."""
    result = np.empty((*unit.shape[1:], 3), dtype)
    samples = np.empty(unit.shape[1:], np.float64)
    for band, (low, high) in enumerate(ranges):
        np.multiply(unit[band], (high - low) / 2, out=samples, dtype=np.float64)
        samples += (low + high) / 2
        np.maximum(samples, low, out=samples)
        np.minimum(samples, high, out=samples)
        # Ranges begin at 0 or above, where the cast is the floor.
        np.add(samples, 0.5, out=result[..., band], casting="unsafe")
    return result


def out_of_range(samples: Shaped[np.ndarray, "h w 3"], ranges: Ranges) -> Bool[np.ndarray, "h w 3"]:
    """Samples that the networks cannot see as they are."""
    return (samples < ranges[:, 0]) | (samples > ranges[:, 1])
