"""Triples of bands as they travel: samples, masks, and how often they are read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasters

from hndsr_client._raster.choices import RasterSource
from hndsr_client._raster.dataset import Dataset
from hndsr_client._raster.region import Region, region_of
from hndsr_client._raster.source import TripleSource
from hndsr_client._raster.values import transfer_of
from hndsr_client._stream.windows import Source, Window
from hndsr_client.errors import SourceChangedError

ALL = slice(0, 90), slice(0, 120)


class CountingDataset(Dataset):
    """Counts what is read."""

    def __init__(self, source: RasterSource) -> None:
        super().__init__(source)
        self.reads: list[tuple[Window, tuple[int, ...]]] = []

    def read(self, window: Window, bands: Sequence[int]) -> npt.NDArray[Any]:
        """Take note, and read."""
        self.reads.append((window, tuple(bands)))
        return super().read(window, bands)


def source_of(dataset: Dataset, **changes: Any) -> TripleSource:
    raster = dataset.raster
    bands = (1, 2, 3) if len(raster.bands) >= 3 else (1, 1, 1)
    spans = ((-1.0, 61.0),) * 3 if raster.dtype.startswith("float") else None
    usual = {
        "region": Region(0, 0, *raster.size_px),
        "nodata": {band: raster.bands[band - 1].nodata for band in changes.get("bands", bands)},
        "rule": "all",
        "transfer": transfer_of(raster.dtype, spans, None),
    }
    return TripleSource(dataset, changes.pop("bands", bands), **{**usual, **changes})


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[CountingDataset]:
    with CountingDataset(RasterSource(rasters.nodata_islands(tmp_path))) as dataset:
        yield dataset


def test_source_is_what_a_stream_reads(dataset: CountingDataset) -> None:
    source = source_of(dataset)
    tile = Source(source, source.mask).read((slice(8, 50), slice(15, 60)))
    known = np.moveaxis(rasters.pattern(3), 0, -1)[8:50, 15:60]
    assert tile.mask is not None
    assert np.array_equal(tile.pixels, np.where(tile.mask[..., None], known, 0))


@pytest.mark.parametrize(("rule", "invalid"), [("all", 30 * 30 + 120), ("any", 30 * 30 + 240)])
def test_source_follows_the_rule_of_nodata(rule: str, invalid: int, dataset: CountingDataset) -> None:
    mask = source_of(dataset, rule=rule).mask
    assert mask is not None
    assert np.count_nonzero(~mask[ALL]) == invalid


def test_source_counts_a_band_without_nodata_as_valid(dataset: CountingDataset) -> None:
    mask = source_of(dataset, nodata={1: 0.0, 2: 0.0, 3: None}, rule="all").mask
    assert mask is not None
    assert mask[ALL].all()


def test_source_asks_other_bands_what_is_valid(dataset: CountingDataset) -> None:
    nodata = {1: None, 2: None, 3: 0.0}
    mask = source_of(dataset, bands=(1, 1, 1), nodata=nodata, rule="any").mask
    with_all = source_of(dataset, bands=(3, 3, 3), nodata={3: 0.0}, rule="any").mask
    assert mask is not None
    assert with_all is not None
    np.testing.assert_array_equal(mask[ALL], with_all[ALL])


def test_source_has_a_mask_when_it_is_to_have_one(dataset: CountingDataset) -> None:
    mask = source_of(dataset, nodata={1: None, 2: None, 3: None}, masked=True).mask
    assert mask is not None
    assert mask[ALL].all()


def test_source_counts_repeated_bands_once(dataset: CountingDataset) -> None:
    mask = source_of(dataset, bands=(1, 1, 1), rule="all").mask
    assert mask is not None
    assert np.count_nonzero(~mask[ALL]) == 30 * 30 + 240


def test_source_reads_pixels_and_mask_of_a_window_once(dataset: CountingDataset) -> None:
    source = source_of(dataset)
    assert source.mask is not None
    for window in (ALL, (slice(5, 9), slice(0, 120))):
        _ = source[window], source.mask[window], source[window]
    assert [window for window, _ in dataset.reads] == [ALL, (slice(5, 9), slice(0, 120))]


def test_source_reads_its_region_alone(dataset: CountingDataset) -> None:
    source = source_of(dataset, region=Region(row_px=45, column_px=55, height_px=10, width_px=20))
    assert source.shape == (10, 20, 3)
    pixels = source[2:10, 1:20]
    assert dataset.reads == [((slice(47, 55), slice(56, 75)), (1, 2, 3))]
    assert np.array_equal(pixels, np.moveaxis(rasters.pattern(3), 0, -1)[47:55, 56:75])


def test_source_without_anything_invalid_has_no_mask(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.rgb(tmp_path))) as dataset:
        assert source_of(dataset).mask is None


def test_source_masks_what_is_outside_of_polygons(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.rgb(tmp_path))) as dataset:
        area = rasters.polygon((15.001, 45.15), (15.008, 45.15), (15.001, 45.146))
        region = region_of(area, dataset.raster)
        source = source_of(dataset, region=region)
        window = slice(0, region.height_px), slice(0, region.width_px)
        assert source.mask is not None
        assert np.array_equal(source.mask[window], region.mask(window))
        assert not source[window][~source.mask[window]].any()


def test_source_masks_what_is_no_number(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.float32_nan(tmp_path, nodata=None))) as dataset:
        source = source_of(dataset)
        samples, valid = source.native(ALL)
        assert source.mask is not None
        assert np.array_equal(~source.mask[ALL], ~np.isfinite(samples[..., 0]))
        assert np.count_nonzero(~valid) == 10 * 40 + 1
        assert (source.dtype, samples.dtype) == (np.dtype("<u2"), np.dtype("f4"))


def test_source_follows_alpha(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.alpha(tmp_path))) as dataset:
        mask = source_of(dataset).mask
        assert mask is not None
        assert np.count_nonzero(~mask[ALL]) == 30 * 40


def test_source_follows_the_mask_of_the_raster(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.internal_mask(tmp_path))) as dataset:
        mask = source_of(dataset).mask
        assert mask is not None
        assert np.count_nonzero(~mask[ALL]) == 40 * 40


def test_source_of_int16_travels_as_uint16(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.int16(tmp_path))) as dataset:
        wire = source_of(dataset)[20:30, 0:120]
    assert np.array_equal(wire, np.moveaxis(rasters.pattern(3, dtype="int16"), 0, -1)[20:30].astype(int) + 32768)


def test_source_says_that_samples_left_their_span(tmp_path: Path) -> None:
    with Dataset(RasterSource(rasters.float32_nan(tmp_path))) as dataset:
        source = source_of(dataset, transfer=transfer_of("float32", ((0.0, 30.0),) * 3, None))
        with pytest.raises(SourceChangedError, match=r"float32\.tif"):
            source[ALL]


def test_source_is_shared_by_threads(dataset: CountingDataset) -> None:
    source = source_of(dataset)
    whole, whole_mask = source.native(ALL)
    wrong: list[Window] = []

    def read(number: int) -> None:
        for row in range(40):
            window = slice(row, row + 30), slice(number, 120)
            mask = source.mask
            assert mask is not None
            same = np.array_equal(source[window], np.where(whole_mask[window][..., None], whole[window], 0))
            if not same or not np.array_equal(mask[window], whole_mask[window]):
                wrong.append(window)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
