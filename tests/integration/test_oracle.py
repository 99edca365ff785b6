"""Through gateway and Triton come the same bytes as from the model in this process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from messages import raw_mask, raw_pixels, raw_request
from oracle import upscale

from hndsr_ensemble.manifest import Options

CASES = [
    pytest.param((70, 66), "uint8", "4", Options(2, 1.0, 7), id="four-windows-drawn"),
    pytest.param((40, 90), "uint16", "3.14", Options(1, 1.5, 2**64 - 1), id="any-scale-16-bit-largest-seed"),
    pytest.param((9, 3), "uint8", "8", Options(0, 1.0, 0), id="prior-of-a-tiny-image"),
]


def scene(size: tuple[int, int], dtype: str, seed: int = 0) -> np.ndarray:
    """Smooth random content over the whole range of the sample type."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((size[0] // 6 + 2, size[1] // 6 + 2, 3))
    fine = np.kron(coarse, np.ones((6, 6, 1)))[: size[0], : size[1]]
    return (fine * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("size", "dtype", "scale", "options"), CASES)
def test_ensemble_in_triton_equals_the_pipeline_in_process(
    stub: Any, size: tuple[int, int], dtype: str, scale: str, options: Options
) -> None:
    source = scene(size, dtype)
    chosen = {"steps": options.steps, "texture": options.texture, "seed": options.seed}
    answer = stub.Upscale(raw_request(source, model="hndsr", scale=scale, options=chosen))
    expected = upscale(source, model="hndsr", scale=scale, options=options)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("scale", ["1.5", "2", "3.14", "22/7", "8"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (233, 61)])
def test_bicubic_in_triton_equals_the_pipeline_in_process(
    stub: Any, size: tuple[int, int], scale: str, dtype: str
) -> None:
    source = scene(size, dtype)
    answer = stub.Upscale(raw_request(source, model="bicubic", scale=scale))
    np.testing.assert_array_equal(raw_pixels(answer.raw), upscale(source, model="bicubic", scale=scale).pixels)


def test_mask_and_ranges_travel_through_triton(stub: Any) -> None:
    source, mask = scene((150, 131), "uint16"), np.ones((150, 131), dtype=bool)
    mask[40:90, 20:131] = False
    ranges = np.array([[500.0, 30_000.0], [0.0, 65_535.0], [1_000.0, 60_000.0]])
    answer = stub.Upscale(raw_request(source, model="bicubic", scale="4", mask=mask, ranges=ranges))
    expected = upscale(source, model="bicubic", scale="4", mask=mask, ranges=ranges)
    assert expected.mask is not None
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)
    np.testing.assert_array_equal(raw_mask(answer.raw), expected.mask)
    assert answer.metadata.out_of_range_samples == expected.stats.out_of_range > 0


def test_windows_without_a_valid_pixel_are_not_run(stub: Any) -> None:
    source, mask = scene((200, 64), "uint8", seed=5), np.zeros((200, 64), dtype=bool)
    mask[:30] = True
    answer = stub.Upscale(raw_request(source, model="hndsr", scale="4", options={"steps": 0}, mask=mask))
    assert answer.metadata.computed_windows == 1
    assert not raw_pixels(answer.raw)[120:].any()


def test_same_request_is_answered_from_the_window_cache(stub: Any) -> None:
    request = raw_request(scene((66, 66), "uint8", seed=9), model="hndsr", scale="4", options={"steps": 0})
    first, second = stub.Upscale(request), stub.Upscale(request)
    assert (first.metadata.computed_windows, second.metadata.computed_windows) == (4, 0)
    assert second.raw == first.raw
