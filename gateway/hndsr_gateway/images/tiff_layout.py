"""The structure of TIFF files, checked before GDAL sees them.

Source: TIFF 6.0; its supplement 1 for ExtraSamples; BigTIFF as libtiff specifies it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hndsr_gateway.errors import DamagedImageError, DecompressionBombError, UnsupportedFormatError
from hndsr_gateway.images.ifd import Directory, Structure, StructureError
from hndsr_gateway.images.tiff_blocks import (
    BANDS,
    BITS,
    COMPRESSION,
    HEIGHT,
    PHOTOMETRIC,
    WIDTH,
    YCBCR,
    check_blocks,
)

SUBFILE, OLD_SUBFILE = 254, 255
ORIENTATION, PALETTE, INK_SET = 274, 320, 332
EXTRA, SAMPLE_FORMAT, ICC, NODATA = 338, 339, 34_675, 42_113
MAX_OVERVIEWS = 100
"""Overviews and masks of a page; halving the largest TIFF down to one pixel takes 32 of each."""
REDUCED, MASK = 1, 4
"""Bits of NewSubfileType."""
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, CMYK = 0, 1, 2, 3, 5
LAB = {8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
ASSOCIATED, UNASSOCIATED = 1, 2
COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32_773, 32_946, 34_887, 34_925, 50_000, 50_001})
"""None, CCITT, LZW, JPEG, deflate, PackBits, LERC, LZMA, ZSTD, WebP."""
OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    **dict.fromkeys((33_003, 33_004, 33_005, 34_712), "JPEG 2000"),
    **dict.fromkeys((50_002, 52_546), "JPEG XL"),
}
KINDS = {1: "unsigned integer", 2: "signed integer", 3: "floating-point", 4: "untyped", 5: "complex", 6: "complex"}
COLOUR_BANDS = {WHITE_IS_ZERO: (1,), BLACK_IS_ZERO: (1, 3), RGB: (3,), INDEXED: (1,), CMYK: (4,), YCBCR: (3,)}
"""Bands of colour by photometric interpretation; GDAL writes three bands of 16 bits as grey ones."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the first page says about its pixels."""

    height: int
    width: int
    bits: int
    bands: int
    photometric: int
    alpha: int
    """0 without, else which of ExtraSamples' kinds of alpha the last band is."""
    upright: bool
    palette: tuple[int, ...]
    nodata: bytes
    icc: bytes

    @property
    def colour_bands(self) -> int:
        """Bands without alpha."""
        return self.bands - bool(self.alpha)


def damaged(how: str) -> DamagedImageError:
    """The error of a TIFF file that contradicts itself."""
    return DamagedImageError(f"the TIFF file {how}")


def unsupported(what: str) -> UnsupportedFormatError:
    """The error of a TIFF file of a kind that is not read."""
    return UnsupportedFormatError(f"the TIFF file {what}")


def measure(encoded: bytes) -> tuple[int, int]:
    """Height and width of the first page.

    Raises:
        DamagedImageError: if it does not say them.
    """
    try:
        structure = Structure(encoded)
        first = next(_directories(structure))
        return structure.number(first, HEIGHT), structure.number(first, WIDTH)
    except StructureError as error:
        raise damaged(f"is damaged: {error}") from error


def inspect(encoded: bytes) -> Layout:
    """What the only page says; its overviews and masks are no pages.

    Raises:
        DamagedImageError: if it is cut off or contradicts itself.
        UnsupportedFormatError: if it is of a kind that is not read.
        DecompressionBombError: if it has more overviews than any honest file.
    """
    try:
        structure = Structure(encoded)
        directories = _directories(structure)
        first = next(directories)
        layout = _layout(structure, first)
        check_blocks(structure, first)
        for number, directory in enumerate(directories, start=1):
            if _is_page(structure, directory):
                raise unsupported("has more than one page")
            if number > MAX_OVERVIEWS:
                raise DecompressionBombError(what="its pixels", limit=f"{MAX_OVERVIEWS} overviews and masks")
            check_blocks(structure, directory)
    except StructureError as error:
        raise damaged(f"is damaged: {error}") from error
    return layout


def _directories(structure: Structure) -> Iterator[Directory]:
    offset, seen = structure.first, set[int]()
    if not offset:
        raise StructureError("it has no page")
    while offset:
        if offset in seen:
            raise StructureError("its pages run in a circle")
        seen.add(offset)
        directory = structure.directory(offset)
        yield directory
        offset = directory.following


def _is_page(structure: Structure, directory: Directory) -> bool:
    kind = structure.number(directory, SUBFILE, default=0)
    old = structure.number(directory, OLD_SUBFILE, default=1)
    return not kind & (REDUCED | MASK) and old != 2


def _layout(structure: Structure, directory: Directory) -> Layout:
    def number(tag: int, default: int | None = None) -> int:
        return structure.number(directory, tag, default=default)

    def value(tag: int) -> bytes:
        entry = directory.entries.get(tag)
        return structure.value(entry) if entry else b""

    if not _is_page(structure, directory):
        raise unsupported("begins with an overview or a mask")
    _check_compression(number(COMPRESSION, 1))
    bands, photometric = number(BANDS, 1), number(PHOTOMETRIC)
    bits = _bits(structure, directory)
    extra = structure.integers(directory.entries.get(EXTRA))
    alpha = extra[-1] if extra and extra[-1] in {ASSOCIATED, UNASSOCIATED} else 0
    _check_bands(bands, photometric, alpha=alpha, bits=bits)
    if photometric == CMYK and number(INK_SET, 1) != 1:
        raise unsupported("has inks other than CMYK")
    return Layout(
        height=number(HEIGHT),
        width=number(WIDTH),
        bits=bits,
        bands=bands,
        photometric=photometric,
        alpha=alpha,
        upright=number(ORIENTATION, 1) == 1,
        palette=structure.integers(directory.entries.get(PALETTE)) if photometric == INDEXED else (),
        nodata=value(NODATA),
        icc=value(ICC),
    )


def _check_compression(scheme: int) -> None:
    if scheme not in COMPRESSIONS:
        raise unsupported(f"is compressed by {OTHER_COMPRESSIONS.get(scheme, f'the scheme {scheme}')}")


def _bits(structure: Structure, directory: Directory) -> int:
    """Bits of a sample, of which all bands must have as many and all be unsigned integers."""
    bits = set(structure.integers(directory.entries.get(BITS), default=(1,)))
    kinds = set(structure.integers(directory.entries.get(SAMPLE_FORMAT), default=(1,)))
    if len(bits) != 1 or len(kinds) != 1:
        raise unsupported("has bands of different sample types")
    (depth,), (kind,) = bits, kinds
    if kind not in {1, 4} or depth not in {1, 2, 4, 8, 16}:
        raise unsupported(f"has {depth}-bit {KINDS.get(kind, 'unknown')} samples")
    return depth


def _check_bands(bands: int, photometric: int, *, alpha: int, bits: int) -> None:
    if photometric in LAB:
        raise unsupported(f"has {LAB[photometric]} colours")
    if photometric not in COLOUR_BANDS:
        raise unsupported(f"has pixels of the photometric interpretation {photometric}")
    if bands - bool(alpha) not in COLOUR_BANDS[photometric]:
        none = " of which none is alpha" if bands in {2, 4} and not alpha else ""
        raise unsupported(f"has {bands} bands{none}")
    if bits == 16 and photometric in {INDEXED, CMYK, YCBCR}:
        raise unsupported("has 16-bit samples that are neither grey nor RGB")
    if bits < 8 and (bands > 1 or photometric in {CMYK, YCBCR}):
        raise unsupported(f"has {bands} bands of {bits}-bit samples")
