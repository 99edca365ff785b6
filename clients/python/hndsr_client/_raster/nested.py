"""What a raster is read from, by way of others: a virtual dataset may name virtual datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rasterio.errors import RasterioError

from hndsr_client._raster.geotiff import opened

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
    try:
        with opened(name) as dataset:
            return list(dataset.files)
    except (RasterioError, UnicodeDecodeError):  # what cannot be opened is said when it is read
        return []
