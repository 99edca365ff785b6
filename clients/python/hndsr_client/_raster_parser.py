"""The options of rasters, and what is asked for by them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any, get_args

from hndsr_client._raster.choices import (
    Compression,
    NodataRule,
    RasterFormat,
    RasterSource,
    RasterTarget,
    Resampling,
)
from hndsr_client.errors import ArgumentError

NEGATIVE_VALUE = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)
PIXELS = {
    "bands": "--bands",
    "ranges": "--range",
    "percentiles": "--percentiles",
    "nodata": "--nodata",
    "nodata_rule": "--nodata-rule",
    "clip": "--clip",
    "window": "--window",
    "region": "--region",
}
WRITING = {
    "format": "--format",
    "compress": "--compress",
    "level": "--level",
    "block_px": "--block",
    "overviews": "--no-overviews",
    "resampling": "--resampling",
}
Range = tuple[int | None, tuple[float, float]]


class PathsParser(argparse.ArgumentParser):
    """Takes paths before, between and behind options, and values that begin with a minus sign."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._negative_number_matcher = NEGATIVE_VALUE
        self._mixing = False

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  it takes all that the overloads do
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """What a subcommand is parsed by; `argparse` has no other way to mix its options with paths."""
        # Mixing forgets that what stands behind the marker is no option, and has no need of it.
        if self._mixing or "--" in (args or ()):
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False


def add_pixels(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what of a raster is upscaled."""
    group = parser.add_argument_group("which pixels of a raster")
    group.add_argument(
        "--bands",
        metavar="B,B,B",
        type=_bands,
        action="append",
        help="three bands, counted from 1, to upscale as one image, such as 4,3,2; one alone stands for three times "
        "itself; may be repeated; all: every band (default: the only one, or all three there are)",
    )
    group.add_argument(
        "--range",
        dest="ranges",
        metavar="[BAND=]LOW,HIGH",
        type=_range,
        action="append",
        help="values that the networks' input spans, of all bands or of one; may be repeated (default: all of uint8, "
        "else --percentiles)",
    )
    group.add_argument(
        "--percentiles", metavar="LOW,HIGH", type=_pair, help="where ranges are measured (default 0.1,99.9)"
    )
    group.add_argument("--nodata", metavar="VALUE", type=float, help="value of no data, in place of the file's own")
    group.add_argument(
        "--nodata-rule",
        choices=get_args(NodataRule),
        help="a pixel is invalid if any or all of its bands are nodata (default: all of uint8, else any)",
    )
    group.add_argument("--clip", metavar="LOW,HIGH", type=_pair, help="cut off values of floating point beyond these")
    part = group.add_mutually_exclusive_group()
    part.add_argument("--window", metavar="COLUMN,ROW,WIDTH,HEIGHT", type=_window, help="this part, in pixels")
    part.add_argument("--region", metavar="FILE", help="the part within the polygons of a GeoJSON file")


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a raster is written."""
    group = parser.add_argument_group("how to write a raster")
    group.add_argument(
        "--format",
        choices=get_args(RasterFormat),
        help="cloud-optimized GeoTIFF, plain GeoTIFF or zarr (default: by the extension, cog of .tif)",
    )
    group.add_argument("--compress", choices=get_args(Compression), help="how (default deflate)")
    group.add_argument("--level", type=int, metavar="N", help="of deflate, 1 to 12, and zstd, 1 to 22")
    group.add_argument("--block", dest="block_px", type=int, metavar="PX", help="side of its blocks (default 512)")
    group.add_argument(
        "--no-overviews", dest="overviews", action="store_false", default=None, help="without reduced copies"
    )
    group.add_argument("--resampling", choices=get_args(Resampling), help="of the reduced copies (default average)")


def source_of(arguments: argparse.Namespace, path: str) -> RasterSource:
    """The raster to read.

    Raises:
        ArgumentError: Options that contradict each other.
    """
    more = _given(arguments, "percentiles", "nodata", "nodata_rule", "clip")
    return RasterSource(
        path,
        bands=_all_bands(arguments.bands),
        ranges=_all_ranges(arguments.ranges),
        region=arguments.region if arguments.window is None else arguments.window,
        **more,
    )


def target_of(arguments: argparse.Namespace, path: str) -> RasterTarget:
    """The raster to make."""
    return RasterTarget(path, **_given(arguments, *WRITING, "quality", "overwrite"))


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _all_bands(given: Sequence[Any] | None) -> Any:
    if given is None or "all" not in given:
        return given
    if len(given) > 1:
        raise ArgumentError("--bands all stands for every band; give it alone")
    return "all"


def _all_ranges(given: Sequence[Range] | None) -> Any:
    if given is None:
        return None
    by_band = dict(given)
    if len(by_band) < len(given):
        raise ArgumentError("--range is given twice for the same bands")
    if None not in by_band:
        return by_band
    if len(by_band) > 1:
        raise ArgumentError("--range goes for all bands, LOW,HIGH, or for one each, BAND=LOW,HIGH")
    return by_band[None]


def _bands(text: str) -> Any:
    if text == "all":
        return text
    numbers = _integers(text)
    if numbers is None or len(numbers) not in {1, 3}:
        raise argparse.ArgumentTypeError(f"{text!r} is no three bands such as 4,3,2, no single one, and not all")
    return numbers * 3 if len(numbers) == 1 else numbers


def _range(text: str) -> Range:
    band, separator, pair = text.rpartition("=")
    if separator and not band.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not BAND=LOW,HIGH")
    return int(band) if separator else None, _pair(pair)


def _pair(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH") from error
    if not math.isfinite(low) or not math.isfinite(high):
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH, two finite numbers")
    return low, high


def _window(text: str) -> tuple[int, ...]:
    numbers = _integers(text)
    if numbers is None or len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN,ROW,WIDTH,HEIGHT, in whole pixels")
    return numbers


def _integers(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        return None
