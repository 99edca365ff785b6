"""The eight ways to lay a picture on a grid of pixels: quarter turns and flips, numbered 0 (as it is) to 7.

Number `4·t + 2·v + h` transposes (t), then turns upside down (v), then mirrors (h). Positions are (y, x) from the
picture's centre, so that they need no size.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

COUNT: Final = 8
SAME: Final = 0


def _matrix(orientation: int) -> Int[np.ndarray, "2 2"]:
    signs = np.diag([-1 if orientation & 2 else 1, -1 if orientation & 1 else 1])
    return signs @ (np.array([[0, 1], [1, 0]]) if orientation & 4 else np.eye(2, dtype=np.int64))


MATRICES: Final[Int[np.ndarray, "8 2 2"]] = np.stack([_matrix(orientation) for orientation in range(COUNT)])
"""What each orientation does to a position."""


def _number(matrix: Int[np.ndarray, "2 2"]) -> int:
    return next(number for number in range(COUNT) if np.array_equal(MATRICES[number], matrix))


INVERSE: Final[Int[np.ndarray, "8"]] = np.array([_number(matrix.T) for matrix in MATRICES])
"""The orientation that takes each one back."""
AFTER: Final[Int[np.ndarray, "8 8"]] = np.array([[_number(late @ early) for early in MATRICES] for late in MATRICES])
"""`AFTER[late, early]`: the orientation that both together make."""


def turned(picture: Shaped[np.ndarray, "_height _width"], orientation: int) -> Shaped[np.ndarray, "_h _w"]:
    """A picture laid down in an orientation."""
    laid = picture.T if orientation & 4 else picture
    laid = laid[::-1] if orientation & 2 else laid
    return laid[:, ::-1] if orientation & 1 else laid


def moved(
    positions: Float[np.ndarray, "count 2"], orientations: Int[np.ndarray, "count"]
) -> Float[np.ndarray, "count 2"]:
    """Where positions come to lie, each in an orientation of its own."""
    return np.einsum("nij,nj->ni", MATRICES[orientations].astype(positions.dtype), positions)
