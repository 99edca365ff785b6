"""Good files with bytes changed at random: refused, or read to a picture of the right size, never anything else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import jpeg_writer, png_writer, webp_writer
from corpus.case import IMAGE_REASONS, JPEG, PNG, TIFF, WEBP, Case, Sized, either, noise, smooth
from corpus.tiff_gdal import written
from corpus.tiff_writer import DEFLATE, page, tiff

SEEDS = 40
SIZE = (40, 56)
PICTURE = smooth(SIZE)
SOF_BYTES = 9
FILES = {
    "png": (PNG, png_writer.png(noise((*SIZE, 3)), interlace=1, filters=range(5))),
    "jpeg": (JPEG, jpeg_writer.jpeg(PICTURE, restart_marker_rows=1)),
    "progressive": (JPEG, jpeg_writer.jpeg(PICTURE, progressive=True)),
    "webp-lossy": (WEBP, webp_writer.webp(PICTURE, lossless=False, quality=90)),
    "webp-lossless": (WEBP, webp_writer.webp(noise((*SIZE, 4)))),
    "tiff": (TIFF, tiff(page(noise((*SIZE, 3), 16), compression=DEFLATE, rows=8))),
    "tiff-of-gdal": (TIFF, written(PICTURE, compress="lzw", tiled=True, blockxsize=16, blockysize=16, nodata=40)),
}


def cases() -> Iterator[Case]:
    """So many of each file."""
    for name, (image_format, content) in FILES.items():
        for seed in range(SEEDS):
            build = partial(_flipped, content, seed)
            yield either(f"flips/{name}-{seed}", build, Sized(SIZE, image_format), *IMAGE_REASONS)


def _flipped(content: bytes, seed: int) -> bytes:
    """One to eight bytes of a file changed, none of those that say how large it is."""
    rng = np.random.default_rng(seed)
    changed = np.frombuffer(content, np.uint8).copy()
    places = rng.integers(0, len(content), 2 ** int(rng.integers(0, 4)))
    places = places[~np.isin(places, _sizes(content))]
    changed[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
    return changed.tobytes()


def _sizes(content: bytes) -> np.ndarray:
    """Where formats without checksums keep height and width."""
    frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    if content.startswith(b"\xff\xd8"):
        return np.arange(frame, frame + 2 + SOF_BYTES)
    if content.startswith(b"RIFF"):
        return np.arange(20, 40)
    if content.startswith(b"II"):
        directory = int.from_bytes(content[4:8], "little")
        return np.arange(directory, directory + 2 + 3 * 12)
    return np.arange(0)
