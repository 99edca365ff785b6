"""Upscale: what goes in, what comes out, and that nothing else decides the bytes."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend
from in_process import (
    THREE_WINDOWS,
    TINY_TILES,
    png,
    raw,
    read_png,
    request,
    run,
    running,
    scene,
)
from messages import raw_mask, raw_pixels
from oracle import upscale as expected_of

from hndsr.v1 import upscale_pb2 as pb

RANGES = np.array([[10.0, 200.0], [0.0, 255.0], [90.0, 91.5]])


def upscaled(message: pb.UpscaleRequest, backend: FakeBackend | None = None, **settings: Any) -> pb.UpscaleResponse:
    """The answer of a gateway of its own."""
    answers = []

    async def test() -> None:
        async with running(backend or FakeBackend(), **settings) as client:
            answers.append(await client.upscale.Upscale(message))

    run(test())
    return answers[0]


def ranges_of(ranges: np.ndarray) -> list[pb.ValueRange]:
    return [pb.ValueRange(minimum=low, maximum=high) for low, high in ranges]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("scale", ["1.5", "3.14", "22/7", "8"])
def test_upscale_returns_the_bytes_of_the_model_in_process(dtype: str, scale: str) -> None:
    source = scene((37, 61), dtype)
    answer = upscaled(request(raw(source), scale=scale), **TINY_TILES)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected_of(source, model="bicubic", scale=scale).pixels)


def test_upscale_returns_raw_pixels_of_the_sources_sample_type() -> None:
    assert upscaled(request(raw(scene((3, 4), "uint16")))).raw.sample_type == pb.SAMPLE_TYPE_UINT16


def test_upscale_returns_png_when_png_is_sent() -> None:
    source = scene((30, 40))
    answer = upscaled(request(png(source)))
    np.testing.assert_array_equal(read_png(answer.encoded), expected_of(source, model="bicubic", scale="4").pixels)


def test_upscale_returns_raw_pixels_when_asked_to_with_a_png() -> None:
    source = scene((30, 40))
    answer = upscaled(request(png(source), output_format=pb.IMAGE_FORMAT_RAW))
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected_of(source, model="bicubic", scale="4").pixels)


def test_upscale_returns_png_when_asked_to_with_raw_pixels() -> None:
    source = scene((30, 40))
    answer = upscaled(request(raw(source), output_format=pb.IMAGE_FORMAT_PNG))
    np.testing.assert_array_equal(read_png(answer.encoded), expected_of(source, model="bicubic", scale="4").pixels)


def masked_case() -> tuple[np.ndarray, np.ndarray]:
    source, mask = scene(THREE_WINDOWS, "uint16"), np.ones(THREE_WINDOWS, dtype=bool)
    mask[20:40, 3:] = False
    return source, mask


def test_upscale_keeps_invalid_pixels_out_of_the_target() -> None:
    source, mask = masked_case()
    answer = upscaled(request(raw(source, mask)), **TINY_TILES)
    expected = expected_of(source, model="bicubic", scale="4", mask=mask)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)


def test_upscale_returns_the_targets_mask() -> None:
    source, mask = masked_case()
    answer = upscaled(request(raw(source, mask)), **TINY_TILES)
    expected = expected_of(source, model="bicubic", scale="4", mask=mask)
    np.testing.assert_array_equal(raw_mask(answer.raw), expected.mask)


def test_upscale_returns_no_mask_when_all_pixels_are_valid() -> None:
    assert not upscaled(request(raw(scene((5, 7)), np.ones((5, 7), dtype=bool)))).raw.mask


def test_upscale_returns_zeros_when_no_pixel_is_valid() -> None:
    answer = upscaled(request(raw(scene((5, 7)), np.zeros((5, 7), dtype=bool))))
    assert (raw_pixels(answer.raw).max(), raw_mask(answer.raw).max()) == (0, False)


def test_upscale_sends_no_mask_with_tiles_that_are_all_valid() -> None:
    source, mask = masked_case()
    mask[:60] = True
    mask[-1, -1] = False
    backend = FakeBackend()
    upscaled(request(raw(source, mask)), backend, **TINY_TILES)
    assert [call.tile.raster.mask is None for call in backend.calls] == [True, True, False]


def test_upscale_maps_the_value_ranges() -> None:
    source = scene((30, 40))
    answer = upscaled(request(raw(source), value_ranges=ranges_of(RANGES)))
    expected = expected_of(source, model="bicubic", scale="4", ranges=RANGES)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)


def test_upscale_counts_samples_out_of_their_range() -> None:
    source = scene(THREE_WINDOWS)
    answer = upscaled(request(raw(source), value_ranges=ranges_of(RANGES)), **TINY_TILES)
    expected = expected_of(source, model="bicubic", scale="4", ranges=RANGES)
    assert answer.metadata.out_of_range_samples == expected.stats.out_of_range > 0


def test_upscale_scales_by_four_when_no_scale_is_named() -> None:
    metadata = upscaled(request(raw(scene((5, 7))))).metadata
    assert (metadata.target_height_px, metadata.target_width_px) == (20, 28)


def test_upscale_reduces_the_scale() -> None:
    metadata = upscaled(request(raw(scene((5, 7))), scale="2.50")).metadata
    assert Fraction(metadata.scale_numerator, metadata.scale_denominator) == Fraction(5, 2)


def test_upscale_uses_the_default_model_when_none_is_named() -> None:
    assert upscaled(request(raw(scene((5, 7))), model=""), default_model="bicubic").metadata.model == "bicubic"


def test_upscale_uses_the_only_model_when_none_is_named_and_the_default_is_not_served() -> None:
    backend = FakeBackend(models=("bicubic",))
    assert upscaled(request(raw(scene((5, 7))), model=""), backend).metadata.model == "bicubic"


@pytest.mark.parametrize(
    ("model", "asked", "used"),
    [
        pytest.param("hndsr", {}, (4, 1.0, 0), id="defaults"),
        pytest.param("hndsr", {"steps": 0, "texture": 0.0, "seed": 0}, (0, 0.0, 0), id="zeros-are-choices"),
        pytest.param("hndsr", {"steps": 100, "texture": 1.5, "seed": 2**64 - 1}, (100, 1.5, 2**64 - 1), id="largest"),
        pytest.param("hndsr", {"texture": 0.5}, (4, 0.5, 0), id="one-of-them"),
        pytest.param("bicubic", {"steps": 9, "texture": 1.0, "seed": 7}, (0, 0.0, 0), id="ignored"),
    ],
)
def test_upscale_says_which_options_were_used(
    model: str, asked: dict[str, float], used: tuple[int, float, int]
) -> None:
    message = request(raw(scene((5, 7))), model=model, options=pb.UpscaleOptions(**asked))
    options = upscaled(message).metadata.options
    assert (options.steps, options.texture, options.seed) == used


def test_upscale_sends_the_options_with_every_tile() -> None:
    backend = FakeBackend()
    chosen = pb.UpscaleOptions(steps=3, texture=0.25, seed=8)
    upscaled(request(raw(scene(THREE_WINDOWS)), model="hndsr", options=chosen), backend, **TINY_TILES)
    sent = {(call.tile.options.steps, call.tile.options.texture, call.tile.options.seed) for call in backend.calls}
    assert sent == {(3, 0.25, 8)}


def test_upscale_sends_the_catalogues_revision_with_every_tile() -> None:
    backend = FakeBackend(revision="revision-2")
    upscaled(request(raw(scene(THREE_WINDOWS))), backend, **TINY_TILES)
    assert [call.tile.revision for call in backend.calls] == ["revision-2"] * 3


def test_upscale_says_what_was_done() -> None:
    metadata = upscaled(request(raw(scene(THREE_WINDOWS))), **TINY_TILES).metadata
    done = (metadata.tiles, metadata.windows, metadata.cache_hits, metadata.empty_windows, metadata.computed_windows)
    assert done == (3, 3, 2, 0, 3)


def test_upscale_says_who_did_it() -> None:
    metadata = upscaled(request(raw(scene((5, 7))))).metadata
    assert (metadata.revision, metadata.engine, metadata.device) == ("revision-1", "numpy", "cpu")


def test_upscale_says_how_long_it_took() -> None:
    assert upscaled(request(raw(scene((5, 7)))), FakeBackend(delay_s=0.05)).metadata.latency.ToMilliseconds() >= 50


@pytest.mark.parametrize(("image", "said"), [(png(scene((3, 4))), "PNG"), (raw(scene((3, 4))), "RAW")])
def test_upscale_says_which_format_it_answers(image: pb.RawImage | bytes, said: str) -> None:
    assert upscaled(request(image)).metadata.format == pb.ImageFormat.Value(f"IMAGE_FORMAT_{said}")


@pytest.mark.parametrize("tiles_at_once", [1, 3])
@pytest.mark.parametrize(("tile_time_s", "tiles"), [(1e-6, 6), (0.005, 2), (2.0, 1)])
def test_upscale_returns_the_same_bytes_however_the_image_is_cut(
    tile_time_s: float, tiles: int, tiles_at_once: int
) -> None:
    source, mask = scene((170, 70)), np.ones((170, 70), dtype=bool)
    mask[100:, :9] = False
    answer = upscaled(request(raw(source, mask)), tile_time_s=tile_time_s, max_inflight_tiles=tiles_at_once)
    assert answer.metadata.tiles == tiles
    expected = expected_of(source, model="bicubic", scale="4", mask=mask)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)


def test_upscale_returns_the_same_bytes_beside_other_requests() -> None:
    sources = [scene(THREE_WINDOWS, seed=number) for number in range(4)]

    async def test() -> None:
        async with running(FakeBackend(), **TINY_TILES, max_inflight_tiles=2) as client:
            answers = await asyncio.gather(*(client.upscale.Upscale(request(raw(source))) for source in sources))
        expected = [expected_of(source, model="bicubic", scale="4").pixels for source in sources]
        np.testing.assert_array_equal([raw_pixels(answer.raw) for answer in answers], expected)

    run(test())
