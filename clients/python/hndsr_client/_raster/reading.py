"""A raster as it is read: which bands go together, which part of it, and how its samples travel."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_client._core.pixels import BANDS
from hndsr_client._raster.bands import Triple, band_numbers, band_of, triples_of
from hndsr_client._raster.choices import NodataRule, RasterSource
from hndsr_client._raster.dataset import Dataset
from hndsr_client._raster.description import Raster, Validity
from hndsr_client._raster.measure import Span, blocks, measure, passes
from hndsr_client._raster.region import region_of
from hndsr_client._raster.source import TripleSource
from hndsr_client._raster.target import target_raster, target_validity
from hndsr_client._raster.values import TargetForm, Transfer, check_steps, transfer_of
from hndsr_client._stream.asked import Fact
from hndsr_client.errors import BEGIN_ANEW, ArgumentError

_PROBE_PX = 64
_FEW = 0.05
"""Of the samples of an alpha band: edges of what is transparent may be blurred."""
Range = tuple[float, float]
Spans = tuple[Span, ...]


class Reading(AbstractContextManager["Reading"]):
    """An open raster and all choices about it.

    Attributes:
        dataset: The raster.
        triples: The bands that are upscaled together.
        region: What part of it is read.
        dtype: Of the bands that are read.
        validity: What says which pixels of the target are valid.
        nodata: What its invalid samples are, None for 0.
        ranges: The values of each written band that are mapped to the ends of the networks' input, once `settle` was
            called; None where that is all that the type holds.
    """

    def __init__(self, choice: RasterSource, *, lossy: bool = False) -> None:
        """Open it, and refuse what cannot be read so.

        Args:
            choice: What it is, and how it is taken.
            lossy: Whether the target's format changes samples.

        Raises:
            ArgumentError: The raster is of a kind that is not read, or a choice does not go with it.
            LocalFileError: It cannot be read.
        """
        self._choice = choice
        self.dataset = Dataset(choice)
        try:
            raster = self.dataset.raster
            self.triples: tuple[Triple, ...] = triples_of(raster, choice.bands)
            self.region = region_of(choice.region, raster)
            if raster.alpha is not None and choice.bands in (None, "all"):
                self._check_alpha(raster.alpha)
            self.dtype = band_of(raster, self.triples[0].bands[0]).dtype
            self._rule: NodataRule = choice.nodata_rule or ("all" if self.dtype == "uint8" else "any")
            _check_choice(choice, self.dtype)
            truth = target_validity(raster, self.triples, choice.nodata, polygons=self.region.has_polygons, lossy=lossy)
            self.validity: Validity = truth[0]
            self.nodata = truth[1]
            read = sorted({band for triple in self.triples for band in triple.bands})
            _check_ranges(choice.ranges, read, np.dtype(self.dtype))
        except BaseException:
            self.dataset.close()
            raise
        self._spans: tuple[Spans, ...] = ()
        self.ranges: tuple[Range, ...] | None = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the raster."""
        self.dataset.close()

    @property
    def raster(self) -> Raster:
        """All that the raster says of itself."""
        return self.dataset.raster

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read on this machine, the region's file too."""
        region = self._choice.region
        named = (Path(os.fsdecode(region)),) if isinstance(region, (str, os.PathLike)) else ()
        return (*self.dataset.files, *named)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of what is read."""
        return self.region.height_px, self.region.width_px

    @property
    def sample_type(self) -> str:
        """In which samples travel."""
        return self._transfer(None).wire

    @property
    def is_masked(self) -> bool:
        """Whether any pixel can be invalid, so that masks travel."""
        return self.sample_source().mask is not None

    @property
    def measured_px(self) -> int:
        """How many pixels must be read before the ranges are known."""
        return sum(self._measured_px)

    def measure(self, on_progress: Callable[[int, int], object]) -> tuple[Spans, ...]:
        """The extremes and ranges of every band's valid samples; nothing is read where nothing needs to be.

        Args:
            on_progress: Told how many pixels were read, and how many will be.

        Raises:
            LocalFileError: The raster cannot be read.
            SourceChangedError: It was changed meanwhile.
        """
        size_px, clip, totals = self.size_px, self._choice.clip, self._measured_px
        windows = blocks(size_px, self.dataset.block_px, origin_px=self._corner)
        given = [self._given(triple) for triple in self.triples]

        def measured(index: int) -> Spans:
            before = sum(totals[:index])
            return measure(
                self._source(self.triples[index], self._transfer(None)),
                windows,
                percentiles=self._choice.percentiles,
                given=given[index],
                clip=clip,
                bands=self.triples[index].bands,
                on_progress=lambda done: on_progress(before + done, sum(totals)),
            )

        spans = tuple(measured(index) for index in range(len(self.triples)))
        self.dataset.check_unchanged()
        return spans

    def settle(self, spans: tuple[Spans, ...]) -> None:
        """Take what was measured, now or by an earlier run.

        Raises:
            ArgumentError: Outliers make the steps between values of floating point too coarse.
        """
        self._spans = spans
        if self.dtype.startswith("float"):
            for triple, each in zip(self.triples, spans, strict=True):
                for band, one in zip(triple.bands, each, strict=True):
                    check_steps((one.low, one.high), (one.range_low, one.range_high), band=band)
        if self.dtype != "uint8" or self._choice.ranges is not None:
            self.ranges = tuple(
                (one.range_low, one.range_high)
                for triple, each in zip(self.triples, spans, strict=True)
                for one in (each[channel] for channel in triple.channels)
            )

    def source(self, index: int) -> TripleSource:
        """What is upscaled as one image."""
        return self._source(self.triples[index], self._transfer(index))

    def sample_source(self) -> TripleSource:
        """The first triple before it is settled how its samples travel: any of their type, where they are valid."""
        spans = ((0.0, 1.0),) * BANDS
        return self._source(self.triples[0], Transfer(np.dtype(self.dtype), spans, clips=True))

    def value_ranges(self, index: int) -> list[Range] | None:
        """The ranges of a triple as they travel."""
        if self.ranges is None:
            return None
        transfer = self._transfer(index)
        return [
            transfer.wire_range(channel, span.range_low, span.range_high)
            for channel, span in enumerate(self._spans[index])
        ]

    def forms(self) -> list[TargetForm]:
        """How the target of each triple lies in its work file."""
        return [self.form(index) for index in range(len(self.triples))]

    def form(self, index: int) -> TargetForm:
        """How a triple's target lies in its work file."""
        return TargetForm(
            transfer=self._transfer(index),
            channels=self.triples[index].channels,
            nodata=self.nodata,
            alpha=index == 0 and self.validity == "alpha",
        )

    def target(self, *, scale: Fraction, size_px: tuple[int, int], tags: Mapping[str, str]) -> Raster:
        """What will be true of the target."""
        return target_raster(
            self.raster,
            self.triples,
            scale=scale,
            origin_px=self._corner,
            size_px=size_px,
            validity=self.validity,
            nodata=self.nodata,
            tags=tags,
        )

    def choices(self, index: int) -> dict[str, Fact]:
        """What a triple's job must keep to of what the caller chose, by names for people."""
        choice = self._choice
        return {
            "bands": " and ".join(",".join(map(str, triple.bands)) for triple in self.triples),
            "triple": index + 1,
            "region": self.region.facts(),
            "nodata": "of the source" if choice.nodata is None else repr(float(choice.nodata)),
            "nodata rule": self._rule,
            "ranges": self._range_rule(self.triples[index]),
            "clip": "none" if choice.clip is None else _text(choice.clip),
            "invalid samples": repr(self.nodata),
            "validity": self.validity,
        }

    def notes(self, index: int) -> dict[str, Fact]:
        """The same, and what was measured."""
        measured = json.dumps([[astuple(one) for one in spans] for spans in self._spans])
        return {**self.choices(index), "measured": measured, "transfer": self._transfer(index).facts()}

    @property
    def _measured_px(self) -> list[int]:
        """Of each triple."""
        read_px = self.size_px[0] * self.size_px[1]
        return [read_px * passes(self.dtype, self._given(triple), self._choice.clip) for triple in self.triples]

    def _check_alpha(self, band: int) -> None:
        """Refuse to guess what an alpha band is that looks like none: near infrared is often called so.

        Raises:
            ArgumentError: Many of its samples, in some places of the region, lie between transparent and opaque.
        """
        rows, columns = (_probes(*axis) for axis in zip(self._corner, self.size_px, strict=True))
        probes = [self.dataset.read((row, column), [band]).ravel() for row in rows for column in columns]
        samples = np.concatenate(probes)
        opaque = samples.max() if samples.dtype.kind == "f" else np.iinfo(samples.dtype).max
        if np.count_nonzero((samples != 0) & (samples != opaque)) > _FEW * samples.size:
            others = ",".join(map(str, band_numbers(self.raster)[:BANDS]))
            raise ArgumentError(
                f"band {band} is called alpha, but has many values between transparent and opaque; if it is a band like"
                f" the others, name it: bands=[({others}), ({band},{band},{band})] (hndsr: --bands {others} --bands"
                f" {band}); if it is alpha, any value but 0 is valid: bands=[({others})] (hndsr: --bands {others})"
            )

    @property
    def _corner(self) -> tuple[int, int]:
        return self.region.row_px, self.region.column_px

    def _range_rule(self, triple: Triple) -> str:
        given = self._given(triple)
        if all(one is not None for one in given):
            return "; ".join(_text(one) for one in given if one is not None)
        rule = f"percentiles {_text(self._choice.percentiles)}"
        return "; ".join(rule if one is None else _text(one) for one in given)

    def _given(self, triple: Triple) -> tuple[Range | None, ...]:
        """The range that is known before anything is measured, for each band."""
        ranges = self._choice.ranges
        if ranges is None:
            return ((0.0, 255.0),) * 3 if self.dtype == "uint8" else (None,) * 3
        if isinstance(ranges, Mapping):
            whole = (0.0, 255.0) if self.dtype == "uint8" else None
            return tuple(ranges.get(band, whole) for band in triple.bands)
        return (ranges,) * 3

    def _source(self, triple: Triple, transfer: Transfer) -> TripleSource:
        return TripleSource(
            self.dataset,
            triple.bands,
            region=self.region,
            nodata={band: self._nodata(band) for band in self._judged(triple)},
            rule=self._rule,
            transfer=transfer,
            masked=self.validity == "mask",
        )

    def _judged(self, triple: Triple) -> tuple[int, ...]:
        """The bands that decide whether a pixel is valid: of all triples where the target has one mask for all."""
        if self.validity in {"alpha", "mask"}:
            return tuple(sorted({band for each in self.triples for band in each.bands}))
        return triple.bands

    def _nodata(self, band: int) -> float | None:
        return band_of(self.raster, band).nodata if self._choice.nodata is None else self._choice.nodata

    def _transfer(self, index: int | None) -> Transfer:
        """How a triple's samples travel; without spans, as long as these are not known."""
        if index is None or not self._spans:
            return transfer_of(self.dtype, None, self._choice.clip)
        spans = tuple((one.low, one.high) for one in self._spans[index])
        return transfer_of(self.dtype, spans, self._choice.clip)


def _probes(start_px: int, size_px: int) -> list[slice]:
    """Three pieces of an axis."""
    length = min(size_px, _PROBE_PX)
    starts = [start_px + (size_px - length) * part // 2 for part in range(3)]
    return [slice(start, start + length) for start in starts]


def spans_of(note: Fact) -> tuple[Spans, ...]:
    """What was measured, as a job's journal has it.

    Raises:
        ArgumentError: It is no such text.
    """
    try:
        return tuple(tuple(Span(*map(float, one)) for one in spans) for spans in json.loads(str(note)))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"what the job's journal says was measured cannot be read; {BEGIN_ANEW}") from error


def _text(ends: Range) -> str:
    return f"{float(ends[0])!r} to {float(ends[1])!r}"


def _check_choice(choice: RasterSource, dtype: str) -> None:
    low, high = _numbers("percentiles", choice.percentiles)
    if not 0 <= low < high <= 100:
        raise ArgumentError(f"percentiles is {choice.percentiles}, accepted are two of 0 to 100, the lower first")
    if choice.nodata_rule not in {None, "any", "all"}:
        raise ArgumentError(f"nodata_rule is {choice.nodata_rule!r}, accepted are 'any' and 'all'")
    if choice.clip is not None:
        _check_ends("clip", choice.clip)
        if not dtype.startswith("float"):
            raise ArgumentError(f"clip is for samples of floating point, those of the source are {dtype}")
    if choice.nodata is not None:
        _check_nodata(choice.nodata, np.dtype(dtype))


def _check_ranges(ranges: Range | Mapping[int, Range] | None, bands: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse ranges of bands that are not read, or of values that the type does not have."""
    if ranges is None:
        return
    named = ranges if isinstance(ranges, Mapping) else dict.fromkeys(bands, ranges)
    for band, ends in named.items():
        if band not in bands:
            raise ArgumentError(f"ranges names band {band}, upscaled are {', '.join(map(str, bands))}")
        low, high = _check_ends(f"ranges of band {band}", ends)
        if dtype.kind != "f" and not np.iinfo(dtype).min <= low < high <= np.iinfo(dtype).max:
            limits = np.iinfo(dtype)
            raise ArgumentError(f"ranges of band {band} is {ends}, {dtype} goes from {limits.min} to {limits.max}")


def _check_ends(name: str, ends: Any) -> Range:
    low, high = _numbers(name, ends)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ArgumentError(f"{name} is {ends!r}, accepted are two numbers, the lower first")
    return low, high


def _numbers(name: str, ends: Any) -> tuple[float, float]:
    try:
        low, high = ends
        return float(low), float(high)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} is {ends!r}, accepted are two numbers, the lower first") from error


def _check_nodata(nodata: Any, dtype: np.dtype[Any]) -> None:
    try:
        value = float(nodata)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"nodata is {nodata!r}, accepted is a number") from error
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        if not (value.is_integer() and limits.min <= value <= limits.max):
            raise ArgumentError(
                f"nodata is {nodata!r}, accepted is an integer from {limits.min} to {limits.max}, the source's type"
            )
