"""Tiles on the device are those of the CPU, to the byte, whatever way they are cut."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.ensemble.tile_cases import (
    Cut,
    HashedWindows,
    Picture,
    cut_pictures,
    cuts,
    pictures,
    random_picture,
    uniform_picture,
)
from unit.ensemble.torch.device_cases import HashedDeviceWindows, run_cut, run_tiles, torch_tiler

from hndsr_ensemble.engines.torch.windows import DeviceBatch
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tile_job import TileJob
from hndsr_ensemble.tiles import (
    CancelledTileError,
    NotFiniteError,
    OutOfDeviceMemoryError,
    TileMismatchError,
    TileStats,
)

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError


@given(cut_pictures())
@settings(deadline=None, max_examples=25)
def test_torch_tiles_are_those_of_the_cpu(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    tiler = cut.tiler(picture, HashedWindows(picture))
    for cores, result in zip(cut.tiles, run_tiles(picture, cut), strict=True):
        expected = tiler.run(picture.tile(cores), cancelled=lambda: False)
        assert result.pixels.dtype == expected.pixels.dtype
        assert result.pixels.tobytes() == expected.pixels.tobytes()


@given(cut_pictures(masked=True))
@settings(deadline=None, max_examples=15)
def test_torch_tiles_have_the_masks_of_the_cpu(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    tiler = cut.tiler(picture, HashedWindows(picture))
    for cores, result in zip(cut.tiles, run_tiles(picture, cut), strict=True):
        expected = tiler.run(picture.tile(cores), cancelled=lambda: False)
        assert (result.mask is None) == (expected.mask is None)
        assert result.mask is None or np.array_equal(result.mask, expected.mask)


@given(cut_pictures())
@settings(deadline=None, max_examples=15)
def test_torch_tiles_count_what_the_cpu_counts(case: tuple[Picture, Cut]) -> None:
    picture, cut = case
    tiler = cut.tiler(picture, HashedWindows(picture))
    for cores, result in zip(cut.tiles, run_tiles(picture, cut), strict=True):
        expected = tiler.run(picture.tile(cores), cancelled=lambda: False).stats
        counted = result.stats
        assert TileStats(counted.windows, 0, counted.empty_windows, counted.out_of_range) == TileStats(
            expected.windows, 0, expected.empty_windows, expected.out_of_range
        )


@given(st.data())
@settings(deadline=None, max_examples=10)
def test_torch_tiles_make_the_same_bytes_when_the_image_is_cut_otherwise(data: st.DataObject) -> None:
    picture = data.draw(pictures())
    one, other = data.draw(cuts(picture)), data.draw(cuts(picture))
    assert run_cut(picture, one).tobytes() == run_cut(picture, other).tobytes()


@pytest.mark.parametrize("size", [(57, 64), (113, 120), (1, 113)])
@pytest.mark.parametrize("value", [0, 65_535])
def test_torch_tile_holds_what_its_windows_hold_when_they_are_all_alike(size: tuple[int, int], value: int) -> None:
    picture = uniform_picture(value, dtype=np.uint16, window_px=256, stride_px=224)
    picture = picture.with_pixels(np.full((*size, 3), value, np.uint16))

    class Alike(HashedDeviceWindows):
        def run(self, batch: DeviceBatch, **_: object) -> torch.Tensor:
            return torch.full((len(batch.lr), 3, 256, 256), 1.0 if value else -1.0)

    result = torch_tiler(picture, Alike(picture, batch=3)).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert np.array_equal(result.pixels, np.full((4 * size[0], 4 * size[1], 3), value, np.uint16))


def test_torch_windows_come_in_full_batches() -> None:
    picture = random_picture()
    windows = HashedDeviceWindows(picture, batch=3)
    torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert windows.batches == [3] * 6


def test_torch_windows_without_a_valid_pixel_are_not_run() -> None:
    picture = random_picture(mask=np.zeros((40, 40), bool))
    windows = HashedDeviceWindows(picture, batch=3)
    result = torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert (windows.batches, result.stats.empty_windows) == ([], 16)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_no_torch_window_is_run_twice_row_by_row_when_a_row_of_windows_fits(side: int) -> None:
    picture = random_picture(size=(60, 90))
    windows = HashedDeviceWindows(picture, batch=1)
    _, rows, _, columns = picture.whole
    tiler = torch_tiler(picture, windows, cache=2 * (columns + side**2) * 64 * 64 * 3)
    for y in range(0, rows, side):
        for x in range(0, columns, side):
            cores = (y, min(y + side, rows), x, min(x + side, columns))
            tiler.run(picture.tile(cores), cancelled=lambda: False)
    assert len(windows.batches) == rows * columns


def test_torch_tiler_hashes_no_window_that_no_other_tile_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(TileJob, "key")
    picture = random_picture()
    torch_tiler(picture, cache=2**30).run(picture.tile(picture.whole), cancelled=lambda: False)


@pytest.mark.parametrize("options", [Options(2, 1.0, 0), Options(1, 0.5, 0), Options(1, 1.0, 1), Options(0, 1.0, 0)])
def test_torch_seam_is_not_taken_when_it_was_drawn_otherwise(options: Options) -> None:
    first = random_picture(options=Options(1, 1.0, 0))
    second = random_picture(options=options)
    tiler = torch_tiler(first, cache=2**30)
    tiler.run(first.tile((0, 2, 0, 2)), cancelled=lambda: False)
    assert tiler.run(second.tile((0, 2, 2, 4)), cancelled=lambda: False).stats.cache_hits == 0


def test_torch_seam_is_kept_once_when_a_tile_is_run_again() -> None:
    picture = random_picture()
    tiler = torch_tiler(picture, cache=2 * 64 * 64 * 3)
    for _ in range(3):
        tiler.run(picture.tile((0, 2, 0, 1)), cancelled=lambda: False)
    assert tiler.run(picture.tile((0, 2, 1, 2)), cancelled=lambda: False).stats.cache_hits == 2


class Broken(HashedDeviceWindows):
    """Yields no number in one sample, as long as it is broken."""

    number = np.nan

    def run(self, batch: DeviceBatch, **_: object) -> torch.Tensor:
        """Run as `DeviceWindows`."""
        windows = super().run(batch, cancelled=lambda: False)
        windows[-1, 2, 63, 63] = self.number
        return windows


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_torch_tile_is_given_up_when_the_model_yields_no_number(number: float) -> None:
    picture = random_picture()
    windows = Broken(picture, batch=2)
    windows.number = number
    with pytest.raises(NotFiniteError):
        torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: False)


def test_no_torch_window_is_kept_of_a_tile_that_holds_no_numbers() -> None:
    picture = random_picture()
    windows = Broken(picture, batch=1)
    tiler = torch_tiler(picture, windows, cache=2**30)
    with pytest.raises(NotFiniteError):
        tiler.run(picture.tile((0, 2, 0, 2)), cancelled=lambda: False)
    windows.number = 0.0
    assert tiler.run(picture.tile((0, 2, 2, 4)), cancelled=lambda: False).stats.cache_hits == 0


@pytest.mark.parametrize("batches", [0, 1, 3, 5])
def test_no_torch_window_is_run_when_the_caller_is_gone(batches: int) -> None:
    picture = random_picture()
    windows, answers = HashedDeviceWindows(picture, batch=3), iter([False] * batches + [True])
    with pytest.raises(CancelledTileError):
        torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: next(answers))
    assert windows.batches == [3] * batches


class Crowded(HashedDeviceWindows):
    """Finds the device's memory full a few times."""

    failures = 1

    def run(self, batch: DeviceBatch, **_: object) -> torch.Tensor:
        """Run as `DeviceWindows`."""
        if self.failures and len(self.batches) == 2:
            self.failures -= 1
            raise OUT_OF_MEMORY
        return super().run(batch, cancelled=lambda: False)


def test_torch_tile_is_run_again_when_memory_was_full_once() -> None:
    picture = random_picture()
    windows = Crowded(picture, batch=3)
    result = torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert picture.reference().agrees(result.pixels)


def test_memory_is_given_back_before_a_torch_tile_is_run_again() -> None:
    picture = random_picture()
    windows = Crowded(picture, batch=3)
    tiler = torch_tiler(picture, windows, cache=2**30)
    tiler.run(picture.tile((0, 2, 0, 2)), cancelled=lambda: False)
    result = tiler.run(picture.tile((0, 2, 2, 4)), cancelled=lambda: False)
    assert (windows.releases, result.stats.cache_hits) == (1, 0)


def test_torch_tile_is_given_up_when_memory_stays_full() -> None:
    picture = random_picture()
    windows = Crowded(picture, batch=3)
    windows.failures = 2
    with pytest.raises(OutOfDeviceMemoryError):
        torch_tiler(picture, windows).run(picture.tile(picture.whole), cancelled=lambda: False)


def test_torch_tile_is_refused_when_its_scale_is_not_supported() -> None:
    picture = random_picture(scale=Scale.parse("9"))
    with pytest.raises(TileMismatchError):
        torch_tiler(picture).run(picture.tile(picture.whole), cancelled=lambda: False)
