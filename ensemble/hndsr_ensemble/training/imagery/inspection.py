"""Everything that is learnt of one file by reading it once."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from hndsr_ensemble.training.durable import write_shared
from hndsr_ensemble.training.imagery.keypoints import Keypoints, find_keypoints
from hndsr_ensemble.training.imagery.manifest import Footprint, Image
from hndsr_ensemble.training.imagery.pixels import (
    UndecodableError,
    invalid_share,
    opened,
    pieces_of,
    read_luminance,
)
from hndsr_ensemble.training.imagery.sharpness import sharpness
from hndsr_ensemble.training.imagery.sources import REMOTE, Found, file_sha256, read_remote

UNREADABLE: Final = "cannot be read"
UNDECODABLE: Final = "cannot be decoded"
EMPTY: Final = "empty file"
COMPLEX: Final = "complex samples"


def inspect(found: Found, keypoints_folder: Path) -> Image:
    """Read a file once: its facts, and into `keypoints_folder` its keypoints; a refused image if that fails."""
    try:
        content = read_remote(found.path) if REMOTE in found.path else None
        digest = file_sha256(Path(found.path)) if content is None else hashlib.sha256(content).hexdigest()
    except OSError as error:
        return _refused(found, f"{UNREADABLE}: {error.strerror or error}")
    if found.size_bytes == 0:
        return _refused(found, EMPTY, digest)
    try:
        with opened(found.path, content) as dataset:
            if np.dtype(dataset.dtypes[0]).kind == "c":
                return _refused(found, COMPLEX, digest)
            if dataset.driver == "PNG":
                # Where all rows are read at once, GDAL passes over those that were cut off; here it fails.
                dataset.checksum(1)
            return _decoded(found, digest, dataset, keypoints_folder)
    except (UndecodableError, TypeError) as error:  # TypeError: a sample type that NumPy has not
        reason = " ".join(str(error.__cause__ or error).replace(found.path, Path(found.path).name).split())
        return _refused(found, f"{UNDECODABLE}: {reason}", digest)


def keypoints_path(folder: Path, sha256: str) -> Path:
    """Where the keypoints of a content lie."""
    return folder / sha256[:2] / f"{sha256}.npz"


def read_keypoints(folder: Path, sha256: str) -> list[Keypoints]:
    """The keypoints of each piece of a content.

    Raises:
        OSError, ValueError, KeyError: they are missing or damaged.
    """
    try:
        with np.load(keypoints_path(folder, sha256)) as stored:
            columns = [stored[name] for name in Keypoints._fields]
            ends = stored["ends"]
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    parts = [np.split(column, ends[:-1]) for column in columns]
    return [Keypoints(*piece) for piece in zip(*parts, strict=True)]


def _refused(found: Found, reason: str, sha256: str = "") -> Image:
    return Image(found.path, found.size_bytes, found.modified, sha256=sha256, refused=reason)


def _decoded(found: Found, digest: str, dataset: Any, folder: Path) -> Image:
    keypoints: list[Keypoints] = []
    sharp = sharpness(_pictures(dataset, keypoints))
    _write_keypoints(keypoints_path(folder, digest), keypoints)
    return Image(
        path=found.path,
        size_bytes=found.size_bytes,
        modified=found.modified,
        sha256=digest,
        width_px=dataset.width,
        height_px=dataset.height,
        bands=dataset.count,
        sample_type=dataset.dtypes[0],
        sharpness=sharp,
        invalid_share=invalid_share(dataset),
        footprint=_footprint(dataset),
    )


def _pictures(dataset: Any, keypoints: list[Keypoints]) -> Iterator[Float32[np.ndarray, "_height _width"]]:
    """Each piece's luminance; its keypoints are added on the way, so that one piece is in memory at a time."""
    for piece in pieces_of(dataset.width, dataset.height):
        luminance, valid = read_luminance(dataset, piece)
        keypoints.append(find_keypoints(luminance, valid))
        yield luminance


def _write_keypoints(path: Path, pieces: list[Keypoints]) -> None:
    columns = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in Keypoints._fields}
    content = io.BytesIO()
    np.savez(content, ends=np.cumsum([len(piece.levels) for piece in pieces]), **columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_shared(path, content.getvalue())


def _footprint(dataset: Any) -> Footprint | None:
    if dataset.crs is None or dataset.transform.is_identity or dataset.transform.is_degenerate:
        return None
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    width, height = dataset.width, dataset.height
    around = ((0, 0), (width, 0), (width, height), (0, height))
    corners = tuple((a * x + b * y + c, d * x + e * y + f) for x, y in around)
    pixel = min(math.hypot(a, d), math.hypot(b, e))
    return Footprint(dataset.crs.to_string(), corners, pixel)
