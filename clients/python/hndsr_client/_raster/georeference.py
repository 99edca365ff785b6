"""Where the pixels of a target are, and what else stays true of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from hndsr_client._raster.description import Georeference, GroundPoint
from hndsr_client.errors import ArgumentError

Transform = tuple[float, float, float, float, float, float]

_HALF = Fraction(1, 2)
# Names are compared without what is neither a letter nor a digit, in upper case.
_UNTRUE = re.compile(
    r"^STATISTICS|HISTOGRAM|SAMPLEVALUE$"
    r"|(?<!SPECTRAL)(?<!RADIOMETRIC)(?<!TEMPORAL)RESOLUTION|GSD|PIXEL.*SIZE|(PIXEL|LINE|SAMPLE).*SPACING"
    r"|(NUM|NUMBEROF|NUMBER|N|IMAGE|RASTER)(ROWS|COLS|COLUMNS|LINES|SAMPLES|PIXELS|BANDS)$"
    r"|^(IMAGE|RASTER|TIFFTAGIMAGE)?(ROWS|COLS|COLUMNS|LINES|SAMPLES|BANDS|WIDTH|HEIGHT|LENGTH)$"
    r"|^OVRRESAMPLINGALG$|^LAYOUT|^HNDSR"
)


def scaled(georeference: Georeference, *, scale: Fraction, origin_px: tuple[int, int]) -> Georeference:
    """That of a target; every number of it is computed exactly and rounded once.

    Args:
        georeference: Of the source.
        scale: Target pixels per source pixel.
        origin_px: Row and column of the source where the target begins.

    Raises:
        ArgumentError: A coefficient is no number.
    """
    transform, rpcs = georeference.transform, georeference.rpcs
    return replace(
        georeference,
        transform=None if transform is None else _scaled_transform(transform, scale, origin_px),
        points=tuple(_scaled_point(point, scale, origin_px) for point in georeference.points),
        rpcs=None if rpcs is None else _scaled_rpcs(rpcs, scale, origin_px),
    )


def true_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those that are as true of the target as of its source: none of statistics, of pixel sizes and counts, of how a
    file lies on the disk, and of how a raster was upscaled before.
    """
    return {name: text for name, text in tags.items() if not _UNTRUE.search(re.sub(r"[^A-Z0-9]", "", name.upper()))}


def _scaled_transform(transform: Transform, scale: Fraction, origin_px: tuple[int, int]) -> Transform:
    a, b, c, d, e, f = (Fraction(one) for one in transform)
    row, column = origin_px
    return (
        float(a / scale),
        float(b / scale),
        float(a * column + b * row + c),
        float(d / scale),
        float(e / scale),
        float(d * column + e * row + f),
    )


def _scaled_point(point: GroundPoint, scale: Fraction, origin_px: tuple[int, int]) -> GroundPoint:
    return replace(
        point,
        row_px=float((Fraction(point.row_px) - origin_px[0]) * scale),
        column_px=float((Fraction(point.column_px) - origin_px[1]) * scale),
    )


def _scaled_rpcs(rpcs: Mapping[str, str], scale: Fraction, origin_px: tuple[int, int]) -> dict[str, str]:
    """Offsets count from the centre of the first pixel."""
    made = dict(rpcs)
    for axis, origin in zip(("LINE", "SAMP"), origin_px, strict=True):
        offset, size = f"{axis}_OFF", f"{axis}_SCALE"
        if offset in rpcs:
            made[offset] = repr(float((_number(rpcs, offset) - origin + _HALF) * scale - _HALF))
        if size in rpcs:
            made[size] = repr(float(_number(rpcs, size) * scale))
    return made


def _number(rpcs: Mapping[str, str], name: str) -> Fraction:
    """A coefficient, behind which its unit may stand."""
    try:
        return Fraction(rpcs[name].split()[0])
    except (IndexError, ValueError) as error:
        raise ArgumentError(f"the source's RPC {name} is {rpcs[name]!r}, accepted is a number; mend it") from error
