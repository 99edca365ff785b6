"""Small files of large pictures: they may be read, but not be enlarged by two."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import png_writer
from corpus.case import TOO_LARGE, Case, refused
from corpus.jpeg_writer import jpeg
from corpus.png_bombs import flat_square
from corpus.tiff_bombs import flat_tiles
from corpus.webp_writer import webp

SIDE_PX = 5_600
"""31.4 million pixels, below the largest source; twice as long, above the largest target."""


def cases() -> Iterator[Case]:
    """All of them, as a gateway with its defaults answers them at scale 2."""
    for colour, depth in ((png_writer.GREY, 1), (png_writer.RGB, 8), (png_writer.RGB_ALPHA, 16)):
        name = f"limit/png-{png_writer.NAMES[colour]}-{depth}"
        yield refused(name, partial(flat_square, SIDE_PX, depth, colour), TOO_LARGE)
    yield refused("limit/jpeg", _flat_jpeg, TOO_LARGE)
    yield refused("limit/jpeg-progressive", partial(_flat_jpeg, progressive=True), TOO_LARGE)
    yield refused("limit/webp", _flat_webp, TOO_LARGE)
    yield refused("limit/tiff", partial(flat_tiles, SIDE_PX), TOO_LARGE)


def _flat() -> np.ndarray:
    return np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)


def _flat_jpeg(*, progressive: bool = False) -> bytes:
    return jpeg(_flat(), progressive=progressive)


def _flat_webp() -> bytes:
    return webp(_flat(), method=0)
