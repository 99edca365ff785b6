"""What is asked for of a raster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from hndsr_client._core.parameters import UpscaleParameters
from hndsr_client._core.requests import Priority
from hndsr_client._raster.choices import RasterSource, RasterTarget
from hndsr_client.errors import ArgumentError

AnySource = str | os.PathLike[str] | RasterSource
AnyTarget = str | os.PathLike[str] | RasterTarget


@dataclass(frozen=True)
class RasterOrder:
    """What is asked for."""

    source: RasterSource
    target: RasterTarget
    parameters: UpscaleParameters
    job: str | os.PathLike[str] | None = None
    resume: bool = True
    cores_per_tile: int | None = None
    priority: Priority | None = None
    is_named: bool = True
    """Whether it was said what the target is called."""

    def plan_arguments(self, sample_type: str) -> dict[str, Any]:
        """What is asked of a server that plans it, beside the size of the source."""
        return {"sample_type": sample_type, "cores_per_tile": self.cores_per_tile, **self.parameters}


def order_of(source: AnySource, target: AnyTarget | None, parameters: UpscaleParameters, **how: Any) -> RasterOrder:
    """The order, of paths as of choices.

    Raises:
        ArgumentError: The value ranges stand where they mean nothing.
    """
    if parameters.get("value_ranges") is not None:
        raise ArgumentError("value_ranges goes with arrays; the ranges of a raster are RasterSource's")
    source = source if isinstance(source, RasterSource) else RasterSource(source)
    _check_path("source", source.path)
    is_named, target = target is not None, "target.tif" if target is None else target
    target = target if isinstance(target, RasterTarget) else RasterTarget(target)
    _check_path("target", target.path)
    return RasterOrder(source, target, parameters, is_named=is_named, **how)


def _check_path(name: str, path: Any) -> None:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"the {name} is {path!r}, accepted is a path, or an address of what is read")
