"""A tile's source on the device, and the windows cut from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.engines.torch.samples import as_stored, levels, unit_table
from hndsr_ensemble.engines.torch.windows import DeviceBatch
from hndsr_ensemble.tile_job import Place, TileJob


class DeviceSource:
    """Source samples, mask and tables of one tile: sent once, so that batches need nothing more from the host.

    Args:
        job: the tile.
        device: to cut windows on.
    """

    def __init__(self, job: TileJob, device: torch.device) -> None:
        tile = job.tile
        top, _, left, _ = tile.geometry.source
        self.job, self._device, self._dtype = job, device, tile.pixels.dtype
        self._row_picks = np.stack([job.rows.source_indices(row) - top for row in job.window_rows])
        self._column_picks = np.stack([job.columns.source_indices(column) - left for column in job.window_columns])
        self._pixels = upload(as_stored(tile.pixels), device)
        self._mask = None if tile.mask is None else upload(tile.mask, device)
        self._rows, self._columns = upload(self._row_picks, device), upload(self._column_picks, device)
        self._units = upload(unit_table(tile.ranges, tile.pixels.dtype).reshape(-1), device)
        self._places = list(job.places())

    def is_empty(self, place: Place) -> bool:
        """Whether a window has no valid pixel."""
        if self.job.tile.mask is None:
            return False
        row, column = place[0] - self.job.window_rows[0], place[1] - self.job.window_columns[0]
        return not self.job.tile.mask[np.ix_(self._row_picks[row], self._column_picks[column])].any()

    def batches(self, numbers: list[int], batch: int) -> list[Cut]:
        """Windows by their number in `job.places()`, in full batches: the last window is repeated to fill the last."""
        missing = -len(numbers) % batch
        filled = np.array(numbers + numbers[-1:] * missing, dtype=np.int64).reshape(-1, batch)
        positions = np.array([self.job.corner(place) for place in self._places], dtype=np.int64)
        scale = self.job.tile.geometry.scale
        # As `WindowBatch.origins`.
        origins = (positions * scale.denominator % scale.numerator / scale.numerator).astype(np.float32)
        sent = [upload(table[filled], self._device) for table in (positions, origins)]
        columns = len(self.job.window_columns)
        picks = upload(filled // columns, self._device), upload(filled % columns, self._device)
        return [
            Cut(self, numbers[index * batch : (index + 1) * batch], *(table[index] for table in (*picks, *sent)))
            for index in range(len(filled))
        ]

    def cut(self, rows: Int64[Tensor, "b"], columns: Int64[Tensor, "b"]) -> Float32[Tensor, "b 3 s s"]:
        """Mirrored, filled and normalised windows by their row and column among the tile's."""
        y, x = self._rows[rows][:, :, None], self._columns[columns][:, None, :]
        samples = levels(self._pixels[y, x], self._dtype)
        if self._mask is not None:
            samples = _fill_invalid(samples, self._mask[y, x])
        per_band = torch.arange(3, device=self._device) * (len(self._units) // 3)
        return self._units[samples + per_band].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Cut:
    """A batch of windows that is cut when it is its turn."""

    source: DeviceSource
    numbers: list[int]
    """Of its windows among the tile's, without those that fill it."""
    rows: Int64[Tensor, "b"]
    columns: Int64[Tensor, "b"]
    positions: Int64[Tensor, "b 2"]
    origins: Float32[Tensor, "b 2"]

    def on_device(self) -> DeviceBatch:
        """With its samples."""
        tile = self.source.job.tile
        lr = self.source.cut(self.rows, self.columns)
        return DeviceBatch(lr, self.positions, self.origins, tile.geometry.scale, tile.options)


def _fill_invalid(samples: Int64[Tensor, "b s s 3"], valid: Bool[Tensor, "b s s"]) -> Int64[Tensor, "b s s 3"]:
    """As `masks.fill_invalid` for every window."""
    valid = valid[..., None]
    count = valid.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    total = (samples * valid).sum(dim=(1, 2), keepdim=True)
    mean = (2 * total + count).div(2 * count, rounding_mode="floor")
    return torch.where(valid, samples, mean)
