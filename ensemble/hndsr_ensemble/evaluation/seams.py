"""Whether the eye could find where a model's windows meet."""

from __future__ import annotations

import math

from hndsr_ensemble.evaluation.metrics import Rgb, gradient_ratio_at
from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.scale import Scale


def window_edges(axis: Axis) -> list[int]:
    """Target pixels where a core and its window begin, and where the window before ends: between them, they blend."""
    starts = [axis.window_start(index) for index in range(1, axis.windows)]
    edges = {edge for start in starts for edge in (start, start + axis.window.overlap_px)}
    return sorted(edge for edge in edges if edge < axis.target_length)


def seam_ratio(image: Rgb, source_size: tuple[int, int], scale: Scale, window: WindowGeometry) -> float:
    """Mean gradient across the windows' edges over that across the median border; NaN for an image of one window.

    1 is no visible seam. A picture's own borders may lie on edges too: compare with the same ratio of the truth or of
    another method.

    Args:
        image: the stitched result.
        source_size: height and width of its source.
        scale: from source to target.
        window: of the model.
    """
    rows, columns = (window_edges(Axis(length, scale, window)) for length in source_size)
    return gradient_ratio_at(image, rows, columns) if rows or columns else math.nan
