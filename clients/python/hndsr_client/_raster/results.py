"""What callers are told of rasters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hndsr_client.results import Plan

Stage = Literal["measuring", "upscaling", "writing", "checking"]


@dataclass(frozen=True)
class RasterProgress:
    """How far a raster has come; an earlier run may have left some of it."""

    stage: Stage
    """The value ranges are measured, tiles upscaled, the target written, and what was written is checked."""
    done: int
    total: int | None
    """Source pixels of "measuring", target pixels of "upscaling" (over all triples of bands) and "checking", bytes of
    "writing", where nobody knows how many there will be."""
    tiles_done: int
    tiles_total: int
    """Over all triples of bands; 0 before they are planned."""
    resumed_tiles: int
    """Tiles that an earlier run has left."""
    elapsed_s: float
    """Since this run began."""


@dataclass(frozen=True)
class RasterResult:
    """A raster that was made."""

    path: Path
    format: str
    """ "cog", "gtiff" or "zarr"."""
    height_px: int
    width_px: int
    bands: int
    """Beside alpha."""
    dtype: str
    model: str
    revision: str
    ranges: tuple[tuple[float, float], ...] | None
    """The values of each band that were mapped to the ends of the networks' input; None: all that uint8 holds."""
    tiles: int
    """Over all triples of bands."""
    resumed_tiles: int
    out_of_range_samples: int
    """Interpolated, since their source lies outside the ranges; those of tiles that this run made."""
    invalid_px: int
    """Target pixels without a valid source, of the triple of bands that has the most."""
    reconnections: int
    cache_hits: int
    computed_windows: int
    empty_windows: int
    size_bytes: int
    """Of the file, or of all files of the folder."""
    elapsed_s: float


@dataclass(frozen=True)
class RasterPlan:
    """What upscaling a raster would take; nothing was written."""

    plan: Plan
    """Of each triple of bands; its estimated time is that of one."""
    triples: tuple[tuple[int, int, int], ...]
    """The bands that are upscaled together, from 1."""
    tiles: int
    """Over all triples."""
    dtype: str
    validity: str
    """What says which target pixels are valid: "all", "nodata", "mask" or "alpha"."""
    work_bytes: int
    """Of the files that a job keeps beside the target until it is whole."""
    target_bytes: int
    """About what the target takes while it is written: as if lossless compression gained nothing; of JPEG and WebP a
    third of that."""
    unallocated_bytes: int
    """Of the work files, what an earlier run has not taken of the disk yet."""
    free_bytes: int
    """On the target's file system."""
    left_tiles: int
    """Tiles that a job begun earlier has left; they need not be made again."""
    measured_tile_s: float | None
    """Of one tile that was upscaled to know; None where none was."""
    estimated_s: float
    """Of upscaling what is missing: by the measured tile, else by the server's own estimate for an idle server. The
    target is written and checked after that."""


@dataclass(frozen=True)
class Verification:
    """Whether a raster is, sample by sample, what was made."""

    path: Path
    tiles: int
    bad_tiles: tuple[tuple[int, int], ...]
    """Rows and columns, in the plan, of tiles whose samples are not what they were."""
    missing_tiles: int
    """Of a job: tiles still to be made."""
    unfinished: bool
    """There is no target yet, but a job that makes it; what was compared are its files."""
    lossy: bool
    """The file's compression changes samples, so that only its size and its mask could be checked."""

    @property
    def ok(self) -> bool:
        """Whether all is there and as it was made."""
        return not self.bad_tiles and not self.unfinished
