"""Samples on the device are those of the CPU."""

import numpy as np
import pytest
import torch

from hndsr_ensemble import values
from hndsr_ensemble.engines.torch.samples import as_samples, as_stored, levels, quantise, unit_table

UINT8, UINT16 = np.dtype(np.uint8), np.dtype(np.uint16)
RANGES = {
    UINT8: np.array([[0.0, 255.0], [3.0, 254.0], [0.0, 1.0]]),
    UINT16: np.array([[0.0, 65535.0], [117.0, 3001.0], [1.0, 60000.0]]),
}


@pytest.mark.parametrize("dtype", [UINT8, UINT16])
def test_unit_table_holds_what_numpy_makes_of_every_sample(dtype: np.dtype) -> None:
    every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    expected = values.normalise(np.stack([every] * 3, axis=-1)[None], RANGES[dtype])[:, 0]
    assert unit_table(RANGES[dtype], dtype).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [UINT8, UINT16])
def test_quantised_samples_are_those_of_numpy(dtype: np.dtype) -> None:
    unit = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 3, 64, 65)).astype(np.float32)
    unit[0, :, 0] = np.linspace(-1, 1, 65)
    stored = quantise(torch.from_numpy(unit), torch.from_numpy(RANGES[dtype]), dtype)
    expected = np.stack([values.quantise(window, RANGES[dtype], dtype) for window in unit])
    assert np.array_equal(as_samples(stored, dtype).numpy(), expected)


@pytest.mark.parametrize("dtype", [UINT8, UINT16])
def test_stored_samples_are_the_same_numbers(dtype: np.dtype) -> None:
    samples = np.array([0, 1, 127, 128, 255, np.iinfo(dtype).max], dtype)
    stored = torch.from_numpy(as_stored(samples))
    assert levels(stored, dtype).tolist() == samples.tolist()
    assert np.array_equal(as_samples(stored, dtype).numpy(), samples)
