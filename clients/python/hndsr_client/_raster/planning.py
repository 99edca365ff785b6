"""What upscaling a raster would take, without doing it."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_client._core.parameters import build_parameters
from hndsr_client._core.pixels import BANDS
from hndsr_client._raster.formats import check_target, format_of, is_lossless, needed_bytes
from hndsr_client._raster.job import target_tags
from hndsr_client._raster.order import RasterOrder
from hndsr_client._raster.place import Place
from hndsr_client._raster.reading import Reading
from hndsr_client._raster.results import RasterPlan
from hndsr_client._raster.space import free_bytes
from hndsr_client._raster.works import Works
from hndsr_client._stream.delivery import Order
from hndsr_client._stream.journal import count_tiles
from hndsr_client._stream.recovery import Recovery
from hndsr_client._stream.scene import Scene
from hndsr_client._stream.tiles import Tiles
from hndsr_client.results import Plan

_MOSTLY_VALID = 0.5
_CANDIDATES = 9


class Planning(AbstractContextManager["Planning"]):
    """An order that is looked at, and one tile of it that is upscaled to know how long that takes.

    Attributes:
        reading: The source.
    """

    def __init__(self, order: RasterOrder) -> None:
        """Open the source.

        Raises:
            ArgumentError: A choice that does not go with the source or the format.
            DestinationError: The target exists and is not to be overwritten, or it is a part of the source.
            LocalFileError: A file cannot be read.
        """
        self._order = order
        file_format = format_of(order.target)
        self.reading = Reading(order.source, lossy=not is_lossless(order.target))
        try:
            self._place = Place(order.target, file_format, files=self.reading.files)
            if order.is_named:
                self._place.check()
            job = self._place.path if order.job is None else Path(order.job)
            self._works = Works(job, len(self.reading.triples))
        except BaseException:
            self.reading.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def arguments(self) -> dict[str, Any]:
        """What is asked of the server beside the size of the source."""
        return self._order.plan_arguments(self.reading.sample_type)

    def close(self) -> None:
        """Close the source."""
        self.reading.close()

    def sample(self, recovery: Recovery) -> Scene:
        """The first triple, as an image whose tiles can be streamed; its value ranges do not matter."""
        source = self.reading.sample_source()
        # Ranges that nobody has asked for before: no window of the tile is in the server's cache.
        most = float(np.iinfo(source.dtype).max)
        ranges = [(0.0, most * (1 - 1e-6 * random.random()))] * BANDS  # noqa: S311  it hides nothing
        parameters = self._order.parameters.copy()
        parameters["value_ranges"] = ranges
        order = Order(
            source, build_parameters(**parameters), mask=source.mask, cores_per_tile=self._order.cores_per_tile
        )
        return order.scene(recovery)

    def leave_one(self, scene: Scene) -> int:
        """Take all tiles of a planned image for done but a telling one; how many pixels that has."""
        tiles = scene.tiles
        telling = self._telling(tiles)
        for number in range(tiles.count):
            if number != telling:
                scene.complete(number)
        return tiles.target_px(telling)

    def result(self, plan: Plan, *, tile_s: float | None = None, tile_px: int = 1) -> RasterPlan:
        """What it would take.

        Args:
            plan: That of each triple.
            tile_s: What the one tile took, None if there was none.
            tile_px: How large its target was.
        """
        size_px = plan.target_height_px, plan.target_width_px
        raster = self.reading.target(scale=plan.scale, size_px=size_px, tags=target_tags(plan))
        check_target(raster, self._order.target)
        count, masked = len(self.reading.triples), self.reading.is_masked
        tiles = count * len(plan.row_spans) * len(plan.column_spans)
        left = sum(map(count_tiles, self._works.journals)) if self._order.resume else 0
        missing = max(0, 1 - left / tiles)
        whole_s = plan.estimated_time_s if tile_s is None else tile_s * size_px[0] * size_px[1] / tile_px
        return RasterPlan(
            plan=plan,
            triples=tuple(triple.bands for triple in self.reading.triples),
            tiles=tiles,
            dtype=raster.dtype,
            validity=raster.validity,
            work_bytes=self._works.size_bytes(size_px, self.reading.forms(), masked=masked),
            target_bytes=needed_bytes(raster, self._order.target),
            unallocated_bytes=self._works.missing_bytes(size_px, self.reading.forms(), masked=masked),
            free_bytes=free_bytes(self._place.path.parent),
            left_tiles=left,
            measured_tile_s=tile_s,
            estimated_s=whole_s * count * missing,
        )

    def _telling(self, tiles: Tiles) -> int:
        """A tile amid the image that is mostly valid, if there is one."""
        order = sorted(range(tiles.count), key=lambda number: abs(number - tiles.count // 2))
        source = self.reading.sample_source()
        for number in order[:_CANDIDATES]:
            _, valid = source.native(tiles.source(number))
            if np.count_nonzero(valid) > _MOSTLY_VALID * valid.size:
                return number
        return order[0]
