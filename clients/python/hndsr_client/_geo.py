"""What of the SDK needs the extra `geo`, imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from hndsr_client.errors import GeoNotInstalledError

_PACKAGES = {"numcodecs", "rasterio", "zarr"}


def geo(module: str) -> Any:
    """A module of `hndsr_client._raster`.

    Raises:
        GeoNotInstalledError: The extra is missing.
    """
    try:
        return import_module(f"hndsr_client._raster.{module}")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _PACKAGES:
            raise
        raise GeoNotInstalledError from error
