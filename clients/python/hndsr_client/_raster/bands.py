"""Which bands of a raster are upscaled together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hndsr_client._core.pixels import BANDS
from hndsr_client._raster.description import Band, Raster
from hndsr_client.errors import ArgumentError

Numbers = tuple[int, int, int]
BandsChoice = Sequence[Sequence[int]] | Literal["all"] | None

_NAMED = 12
"""Bands that a message names."""


@dataclass(frozen=True)
class Triple:
    """Three bands that are upscaled as one image."""

    bands: Numbers
    """Numbers in the file, from 1; a band may be there more than once."""
    channels: tuple[int, ...]
    """Which of the three are written: those whose band occurs for the first time in the run."""

    @property
    def written(self) -> tuple[int, ...]:
        """Numbers of the bands that are written."""
        return tuple(self.bands[channel] for channel in self.channels)


def triples_of(raster: Raster, choice: BandsChoice) -> tuple[Triple, ...]:
    """The triples of a run, as `RasterSource.bands` asks for them.

    Raises:
        ArgumentError: Another number of bands than three needs a choice, or the choice names what there is not.
    """
    chosen = _default(raster) if choice is None else _all(raster) if choice == "all" else _checked(raster, choice)
    triples: list[Triple] = []
    seen: set[int] = set()
    for bands in chosen:
        channels = tuple(i for i, band in enumerate(bands) if band not in seen and band not in bands[:i])
        if not channels:
            raise ArgumentError(f"the bands {_typed([bands])} were all named before; leave them out")
        triples.append(Triple(bands, channels))
        seen.update(bands)
    _check_types(raster, sorted(seen))
    return tuple(triples)


def named_bands(choice: BandsChoice) -> frozenset[int]:
    """The bands that a choice names, as far as it is one: what is wrong with it is said by `triples_of`."""
    if choice is None or choice == "all":
        return frozenset()
    try:
        return frozenset(int(number) for triple in choice for number in triple)
    except (TypeError, ValueError):
        return frozenset()


def band_numbers(raster: Raster) -> tuple[int, ...]:
    """Numbers in the file of a source's bands, which leave out that of alpha."""
    count = len(raster.bands) + (raster.alpha is not None)
    return tuple(number for number in range(1, count + 1) if number != raster.alpha)


def band_of(raster: Raster, number: int) -> Band:
    """What a source's band says of itself, by its number in the file."""
    behind_alpha = raster.alpha is not None and number > raster.alpha
    return raster.bands[number - 1 - behind_alpha]


def _default(raster: Raster) -> list[Numbers]:
    if len(raster.bands) in {1, BANDS}:
        return _all(raster)
    numbers = band_numbers(raster)
    example = (*numbers, *numbers[-1:] * BANDS)[:BANDS]
    raise ArgumentError(
        f"the raster has {_described(raster)}; name those to upscale together, three at a time, for instance"
        f" bands=[{example}] (hndsr: --bands {_typed([example])}), or take all with bands='all' (hndsr: --bands all)"
    )


def _all(raster: Raster) -> list[Numbers]:
    numbers = band_numbers(raster)
    filled = (*numbers, *numbers[-1:] * (-len(numbers) % BANDS))
    return [(filled[i], filled[i + 1], filled[i + 2]) for i in range(0, len(filled), BANDS)]


def _checked(raster: Raster, choice: Sequence[Sequence[int]]) -> list[Numbers]:
    try:
        triples = [tuple(int(number) for number in triple) for triple in choice]
        is_whole = triples == [tuple(triple) for triple in choice]
    except (TypeError, ValueError) as error:
        raise _no_triples(choice) from error
    if not triples or not is_whole or any(len(triple) != BANDS for triple in triples):
        raise _no_triples(choice)
    for number in (number for triple in triples for number in triple):
        if number == raster.alpha:
            raise ArgumentError(f"band {number} is alpha, which goes along by itself; choose of {_described(raster)}")
        if number not in band_numbers(raster):
            raise ArgumentError(f"there is no band {number}; the raster has {_described(raster)}")
    return [(first, second, third) for first, second, third in triples]


def _no_triples(choice: object) -> ArgumentError:
    return ArgumentError(
        f"the bands are {choice!r}, accepted are None, 'all' and triples of numbers, for instance [(4, 3, 2)] or"
        " [(8, 8, 8)] (hndsr: --bands 4,3,2)"
    )


def _check_types(raster: Raster, numbers: Sequence[int]) -> None:
    types = {number: band_of(raster, number).dtype for number in numbers}
    if len(set(types.values())) > 1:
        named = _listed(f"{number} {dtype}" for number, dtype in types.items())
        raise ArgumentError(
            f"the bands are of several types: {named}; choose such as are of one, bands=… (hndsr: --bands), in one run"
        )


def _described(raster: Raster) -> str:
    names = zip(band_numbers(raster), raster.bands, strict=True)
    named = _listed(f"{number} {_name(band)}".rstrip() for number, band in names)
    alpha = "" if raster.alpha is None else f", and alpha, {raster.alpha}"
    return f"{len(raster.bands)} band{'s' * (len(raster.bands) != 1)}: {named}{alpha}"


def _name(band: Band) -> str:
    parts = [band.name or "", "" if band.color == "undefined" else f"({band.color})" if band.name else band.color]
    return " ".join(part for part in parts if part)


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    rest = [f"{len(every) - _NAMED} more"] if len(every) > _NAMED else []
    return ", ".join(every[:_NAMED] + rest)


def _typed(triples: Iterable[Sequence[int]]) -> str:
    return " ".join(",".join(str(number) for number in triple) for triple in triples)
