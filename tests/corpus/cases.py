"""All good and hostile image files of the corpus, by name."""

from __future__ import annotations

from corpus import (
    flips,
    foreign,
    jpeg_damage,
    jpeg_kinds,
    limits,
    png_bombs,
    png_damage,
    png_kinds,
    tiff_bombs,
    tiff_damage,
    tiff_gdal,
    tiff_kinds,
    webp_cases,
)
from corpus.case import Case

MODULES = (
    *(foreign, png_kinds, png_damage, png_bombs, jpeg_kinds, jpeg_damage),
    *(webp_cases, tiff_kinds, tiff_gdal, tiff_damage, tiff_bombs, flips),
)
LISTED = tuple(case for module in MODULES for case in module.cases())
CASES: dict[str, Case] = {case.name: case for case in LISTED}
GROUPS = tuple(dict.fromkeys(case.group for case in LISTED))
LIMITS: dict[str, Case] = {case.name: case for case in limits.cases()}
"""What a decoder reads and a gateway refuses, for the target's sake."""
