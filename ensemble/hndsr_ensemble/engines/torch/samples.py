"""Samples of 8 and 16 bits in torch, which hardly computes with unsigned numbers of 16: they are kept as int16."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, Shaped
from torch import Tensor

from hndsr_ensemble.values import Ranges, SampleType, normalise

UINT8 = np.dtype(np.uint8)
LOW_16_BITS = 0xFFFF


def storage(dtype: SampleType) -> torch.dtype:
    """What samples are kept as on the device: the same bits."""
    return torch.uint8 if dtype == UINT8 else torch.int16


def as_stored(samples: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """The same bits as NumPy's type for `storage`."""
    return samples if samples.dtype == UINT8 else samples.view(np.int16)


def as_samples(stored: Shaped[Tensor, "..."], dtype: SampleType) -> Shaped[Tensor, "..."]:
    """The same bits as torch's own type for samples."""
    return stored if dtype == UINT8 else stored.view(torch.uint16)


def levels(stored: Shaped[Tensor, "..."], dtype: SampleType) -> Int64[Tensor, "..."]:
    """The numbers that are kept."""
    return stored.long() if dtype == UINT8 else stored.long() & LOW_16_BITS


def unit_table(ranges: Ranges, dtype: SampleType) -> Float32[np.ndarray, "3 levels"]:
    """What every sample of every band is in [-1, 1]: made by NumPy, so that the device's bits are the CPU's."""
    count = int(np.iinfo(dtype).max) + 1
    every = np.broadcast_to(np.arange(count, dtype=dtype)[:, None, None], (count, 1, 3))
    return normalise(every, ranges)[:, :, 0]


def quantise(
    unit: Float32[Tensor, "n 3 h w"], ranges: Float64[Tensor, "3 2"], dtype: SampleType
) -> Shaped[Tensor, "n h w 3"]:
    """As `values.quantise`, operation by operation in float64; what is no number becomes any sample.

    Args:
        unit: windows on the device.
        ranges: there too, so that nothing waits for them.
        dtype: of the samples.
    """
    low, high = ranges.unbind(dim=1)
    samples = unit.permute(0, 2, 3, 1).double()
    samples.mul_((high - low) / 2).add_((low + high) / 2)
    samples = torch.minimum(torch.maximum(samples, low), high).add_(0.5).nan_to_num_()
    # Ranges begin at 0 or above, where the cast is the floor; the one to 16 bits keeps the lowest.
    return samples.to(torch.int32).to(storage(dtype))
