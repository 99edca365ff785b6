"""What a raster is read from, by way of others: a virtual dataset may name virtual datasets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

_VIRTUAL = ".vrt"
_MOST = 10_000
"""Virtual datasets that are looked into."""


def all_files(names: Sequence[str]) -> list[str]:
    """The names that GDAL gives a dataset's files, and those of the virtual datasets among them."""
    return list(_found(names))


def _found(names: Sequence[str]) -> Iterator[str]:
    waiting, seen = list(names), set[str]()
    while waiting and len(seen) < _MOST:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        if name.lower().endswith(_VIRTUAL):
            waiting += _files_of(name)


def _files_of(name: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(name) as dataset:
                return list(dataset.files)
        except RasterioError:  # what cannot be opened is said when it is read
            return []
