"""EXIF blocks, and what their orientations do to pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

ORIENTATION, SHORT = 274, 3


def exif_block(orientation: int, *, order: str = "<", behind: bytes = b"") -> bytes:
    """A TIFF-structured block of one tag, without the prefix that JPEG wants."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHIHH", ORIENTATION, SHORT, 1, orientation, 0)
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(f"{order}I", 0) + behind


def orientations(stored: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Every orientation with what stored pixels look like upright.

    Source: Exif 2.32, 4.6.4 A, where the 0th row and the 0th column are.
    """
    turned = np.swapaxes(stored, 0, 1)
    views = [stored, stored[:, ::-1], stored[::-1, ::-1], stored[::-1]]
    views += [turned, turned[:, ::-1], turned[::-1, ::-1], turned[::-1]]
    return enumerate(map(np.ascontiguousarray, views), start=1)
