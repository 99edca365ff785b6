"""Windows that tiles share, kept on the device under the rule of the window cache."""

from __future__ import annotations

import weakref

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.tile_job import Place, TileJob


class KeptWindows:
    """Windows on the device, of which a `WindowCache` decides which are kept.

    It is given arrays of their shape and size that take no memory; a window goes with the array that stands for it.
    """

    def __init__(self, cache: WindowCache) -> None:
        self._cache = cache
        self._windows: dict[int, Tensor] = {}

    def get(self, key: bytes, *, for_good: bool = False) -> Shaped[Tensor, "p p 3"] | None:
        """As `WindowCache.get`."""
        array = self._cache.get(key, for_good=for_good)
        return None if array is None else self._windows.get(id(array))

    def put(self, key: bytes, window: Shaped[Tensor, "p p 3"], *, lasting: bool) -> None:
        """As `WindowCache.put`; a window of a key that is there takes its place."""
        array = self._cache.get(key)
        if array is None:
            array = np.broadcast_to(np.zeros((), dtype=f"u{window.element_size()}"), window.shape)
            weakref.finalize(array, self._windows.pop, id(array), None)
            self._windows[id(array)] = window
            self._cache.put(key, array, lasting=lasting)
        else:
            self._windows[id(array)] = window

    def clear(self) -> None:
        """Give back the memory of all of them."""
        self._windows.clear()


class Seams:
    """The windows of one tile that its neighbours share: only these are hashed.

    Args:
        job: the tile.
        revision: of the window model as it runs here.
        kept: by all tiles.
    """

    def __init__(self, job: TileJob, revision: str, kept: KeptWindows) -> None:
        self._job, self._revision, self._kept = job, revision, kept

    def take(self, place: Place) -> Shaped[Tensor, "p p 3"] | None:
        """A window that a tile above or to the left made, if it is still there."""
        before = place[0] < self._job.row_span.core_start or place[1] < self._job.column_span.core_start
        key = self._key(place) if before else None
        return None if key is None else self._kept.get(key, for_good=self._job.is_needed_no_more(place))

    def keys(self, numbers: list[int]) -> dict[int, bytes]:
        """Keys of those windows that a tile below or to the right needs, by their number in `job.places()`."""
        places = list(self._job.places())
        needed = [number for number in numbers if self._is_needed(places[number])]
        keys = ((number, self._key(places[number])) for number in needed)
        return {number: key for number, key in keys if key is not None}

    def keep(self, keys: dict[int, bytes], windows: Shaped[Tensor, "n p p 3"]) -> None:
        """Keep windows of `keys`, copied from all of the tile's."""
        places = list(self._job.places())
        for number, key in keys.items():
            self._kept.put(key, windows[number].clone(), lasting=self._job.is_needed_below(places[number]))

    def _is_needed(self, place: Place) -> bool:
        return self._job.is_needed_below(place) or self._job.is_needed_beside(place)

    def _key(self, place: Place) -> bytes | None:
        samples = self._job.samples(place)
        return None if samples is None else self._job.key(place, samples, self._revision)
