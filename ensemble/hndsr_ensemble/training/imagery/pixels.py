"""Pixels of image files, by GDAL: colours as they are, luminance in pieces of bounded size, and which are valid."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import rasterio
from jaxtyping import Bool, Float32, Shaped
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window

from hndsr_ensemble.training.imagery.sources import REMOTE, read_remote

LARGEST_PIECE_PX: Final = 2048
PIECE_OVERLAP_PX: Final = 256
"""What neighbouring pieces share, so that a small crop on their border lies within one."""
LARGEST_SIDE_PX: Final = 8192
"""A longer side is halved until it fits, so that an image has a bounded number of pieces."""
BT601: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""Luminance of red, green and blue."""
CLIPPED_PERCENT: Final = 1.0
"""Of samples that are not bytes, what lies outside the grey levels at either end."""

BANDS: Final = 3

UndecodableError = RasterioError
"""What `opened` and reading from it raise for what GDAL cannot decode."""

_opening: Final = Lock()


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of an image, read at a fraction of its resolution."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    reduction: int


@contextmanager
def opened(path: str, content: bytes | None = None) -> Iterator[Any]:
    """An image as a dataset of rasterio.

    Args:
        path: on this machine, or a URL.
        content: of a URL, where it has been read already.

    Raises:
        UndecodableError: GDAL reads no such file.
        OSError: it cannot be read.
    """
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_ERROR_ON_LIBJPEG_WARNING="YES", GDAL_PAM_ENABLED="NO"))
        name = Path(path)
        if REMOTE in path or content is not None:
            name = stack.enter_context(MemoryFile(read_remote(path) if content is None else content)).name
        # Filters of warnings belong to the whole process, which threads must not change at the same time.
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(name)
        yield stack.enter_context(dataset)


def read_rgb(dataset: Any, window: Window | None = None) -> Shaped[np.ndarray, "height width 3"]:
    """The first three bands of an image or a window of it; of fewer the first three times, of a palette its colours.

    Raises:
        UndecodableError: GDAL cannot decode it.
    """
    bands = _coloured(dataset, dataset.read(_colour_bands(dataset), window=window))
    return np.ascontiguousarray(np.broadcast_to(bands, (BANDS, *bands.shape[1:])).transpose(1, 2, 0))


def invalid_share(dataset: Any) -> float:
    """Share of the pixels that hold nothing, as nodata, a mask or opacity say.

    Raises:
        UndecodableError: GDAL cannot decode it.
    """
    if all(MaskFlags.all_valid in flags for flags in dataset.mask_flag_enums):
        return 0.0
    width, height = dataset.width, dataset.height
    rows = max(1, LARGEST_PIECE_PX**2 // width)
    windows = [Window(0, top, width, min(rows, height - top)) for top in range(0, height, rows)]
    return sum(int((dataset.dataset_mask(window=window) == 0).sum()) for window in windows) / (width * height)


def read_luminance(
    dataset: Any, piece: Piece
) -> tuple[Float32[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """Luminance in grey levels of 8 bits, and which pixels hold something; the others have the mean of these.

    Samples that are not bytes are stretched from their lowest to their highest percent.

    Raises:
        UndecodableError: GDAL cannot decode it.
    """
    window = Window(piece.left_px, piece.top_px, piece.width_px, piece.height_px)
    shape = (math.ceil(piece.height_px / piece.reduction), math.ceil(piece.width_px / piece.reduction))
    resampling = Resampling.nearest if _has_palette(dataset) else Resampling.average
    indexes = _colour_bands(dataset)
    samples = dataset.read(indexes, window=window, out_shape=(len(indexes), *shape), resampling=resampling)
    bands = _coloured(dataset, samples).astype(np.float32)
    grey = np.tensordot(BT601, bands, 1) if len(bands) == BANDS else bands[0]
    valid = (dataset.dataset_mask(window=window, out_shape=shape) > 0) & np.isfinite(grey)
    if not valid.any():
        return np.zeros(shape, np.float32), valid
    if samples.dtype != np.uint8:
        low, high = np.percentile(grey[valid], [CLIPPED_PERCENT, 100 - CLIPPED_PERCENT])
        grey = (grey - low) * (255 / max(float(high - low), 1e-12))
    return np.where(valid, grey, grey[valid].mean()).astype(np.float32), valid


def pieces_of(width_px: int, height_px: int) -> list[Piece]:
    """Pieces that cover an image: one where its sides have up to 2,048 px, else more of that size at most."""
    reduction = 1
    while max(width_px, height_px) > LARGEST_SIDE_PX * reduction:
        reduction *= 2
    columns, rows = _intervals(width_px, reduction), _intervals(height_px, reduction)
    return [Piece(left, top, right - left, bottom - top, reduction) for top, bottom in rows for left, right in columns]


def _intervals(side_px: int, reduction: int) -> list[tuple[int, int]]:
    """Equal intervals along a side; neighbours overlap."""
    largest, overlap = LARGEST_PIECE_PX * reduction, PIECE_OVERLAP_PX * reduction
    count = 1 if side_px <= largest else math.ceil((side_px - overlap) / (largest - overlap))
    length = math.ceil((side_px + (count - 1) * overlap) / count)
    starts = [round(at * (side_px - length) / max(1, count - 1)) for at in range(count)]
    return [(start, min(start + length, side_px)) for start in starts]


def _colour_bands(dataset: Any) -> list[int]:
    return [1, 2, 3] if dataset.count >= BANDS else [1]


def _has_palette(dataset: Any) -> bool:
    return bool(dataset.count == 1 and dataset.colorinterp[0] == ColorInterp.palette)


def _coloured(dataset: Any, bands: Shaped[np.ndarray, "_bands _h _w"]) -> Shaped[np.ndarray, "_colours _h _w"]:
    if not _has_palette(dataset):
        return bands
    palette = dataset.colormap(1)
    colours = np.array([palette.get(index, (0, 0, 0, 0))[:3] for index in range(max(palette) + 1)], np.uint8)
    return np.moveaxis(colours[np.minimum(bands[0], len(colours) - 1)], -1, 0)
