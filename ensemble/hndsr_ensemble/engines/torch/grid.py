"""The windows of one tile, and the target they are blended to."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Shaped
from torch import Tensor

from hndsr_ensemble.blending import FULL_WEIGHT
from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.engines.torch.samples import UINT8, levels, quantise, storage
from hndsr_ensemble.geometry import WindowGeometry
from hndsr_ensemble.tile_job import TileJob

ROWS_AT_ONCE = 4
"""Rows of windows that are weighted together, so that a tile of any size needs little room for it."""


class WindowGrid:
    """All windows that touch a tile, row by row, in its sample type; those that were not run weigh in as 0.

    Args:
        job: the tile.
        geometry: of the windows.
        device: to keep them on.
    """

    def __init__(self, job: TileJob, geometry: WindowGeometry, device: torch.device) -> None:
        self._job, self._geometry, self._device = job, geometry, device
        self._dtype, side = job.tile.pixels.dtype, geometry.window_px
        self.windows = torch.zeros((job.windows, side, side, 3), dtype=storage(self._dtype), device=device)
        self._ranges = upload(job.tile.ranges, device)
        self._finite = torch.ones((), dtype=torch.bool, device=device)

    def put(self, numbers: list[int], results: Float32[Tensor, "b 3 p p"]) -> None:
        """Quantise what a batch gave: its first `len(numbers)` windows, by their number in `job.places()`."""
        real = results[: len(numbers)]
        self._finite &= torch.isfinite(real).all()
        samples = quantise(real, self._ranges, self._dtype)
        for start, stop in _runs(numbers):
            first = numbers[start]
            self.windows[first : first + stop - start] = samples[start:stop]

    def is_finite(self) -> bool:
        """Whether all that was put were numbers; waits for the device."""
        return bool(self._finite.item())

    def blend(self) -> Shaped[Tensor, "h w 3"]:
        """The tile's target, as it is stored on the device: integer sums, which no order of addition changes.

        As blocks of stride × stride pixels, each window adds its main part to one block, and what overlaps to the
        blocks beside, below, and beside that: four additions for many windows, none of which meets itself.
        """
        rows, columns = len(self._job.window_rows), len(self._job.window_columns)
        stride, side, total = self._geometry.stride_px, self._geometry.window_px, self._total_type
        sums = torch.zeros((rows + 1, stride, columns + 1, stride, 3), dtype=total, device=self._device)
        windows = self.windows.view(rows, columns, side, side, 3)
        down, across = self._weights()
        for start in range(0, rows, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, rows)
            for below, y in ((0, slice(0, stride)), (1, slice(stride, side))):
                for beside, x in ((0, slice(0, stride)), (1, slice(stride, side))):
                    part = levels(windows[start:stop, :, y, x], self._dtype).to(total).transpose(1, 2)
                    weighted = part * down[start:stop, y, None, None, None] * across[:, x, None]
                    height, width = weighted.shape[1], weighted.shape[3]
                    blocks = sums[start + below : stop + below, :height, beside : columns + beside, :width]
                    blocks += weighted
        target = sums.view((rows + 1) * stride, (columns + 1) * stride, 3)[self._target()]
        target += FULL_WEIGHT**2 // 2
        target >>= 16
        return target.to(storage(self._dtype)).contiguous()

    @property
    def _total_type(self) -> torch.dtype:
        """65536 · 65535 needs more than the 31 bits that int32 has for it."""
        return torch.int32 if self._dtype == UINT8 else torch.int64

    def _weights(self) -> tuple[Shaped[Tensor, "rows p"], Shaped[Tensor, "columns p"]]:
        rows, columns = self._job.window_rows, self._job.window_columns
        down = np.stack([self._job.weights((row, columns[0]))[0] for row in rows])
        across = np.stack([self._job.weights((rows[0], column))[1] for column in columns])
        return tuple(upload(table.astype(np.int64), self._device).to(self._total_type) for table in (down, across))

    def _target(self) -> tuple[slice, slice]:
        """Where the tile lies among the blocks of its windows."""
        top, left = self._job.corner((self._job.window_rows[0], self._job.window_columns[0]))
        (height, width), rows, columns = self._job.target_shape, self._job.row_span, self._job.column_span
        y, x = rows.target_start - top, columns.target_start - left
        return slice(y, y + height), slice(x, x + width)


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Where consecutive numbers start and stop."""
    breaks = [index for index in range(1, len(numbers)) if numbers[index] != numbers[index - 1] + 1]
    return list(zip([0, *breaks], [*breaks, len(numbers)], strict=True))
