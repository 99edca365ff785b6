"""EXIF blocks: how the pixels lie, and what of the block stays true when they are turned and enlarged.

Values are kept byte for byte, in the byte order of their block.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from hndsr_gateway.images.ifd import (
    PLAIN_TYPES,
    Directory,
    Field,
    Structure,
    StructureError,
    pack_directory,
    pack_header,
    pointer,
)

PREFIX = b"Exif\0\0"
MAX_BYTES = 65_527
"""A block and its prefix fit into one segment of a JPEG file."""

ORIENTATION, EXIF_POINTER, GPS_POINTER = 274, 34_665, 34_853

KEPT = frozenset({270, 271, 272, 305, 306, 315, 316, 33_432, *range(0x9C9B, 0x9CA0)})
"""Of the first directory: description, make, model, software, time, artist, host, copyright, and Windows' own texts.
All else there says how the pixels are stored."""

DROPPED = frozenset(
    {
        *(37_121, 37_122),  # components and bits of the compressed pixels
        *(37_396, 41_492),  # subject area and location, in pixels
        37_500,  # the maker's note, full of offsets and sizes
        *(40_962, 40_963),  # width and height
        40_965,  # directory of interoperability
        41_484,  # spatial frequency response
        *(41_486, 41_487, 41_488),  # pixels of the sensor per length
    }
)
"""Of the EXIF directory."""


DESCRIPTION = 270
OF_PIXELS = (b'{"shape"', b"ImageJ=", b"<?xml", b"<OME")
"""How programs begin a description that says size and order of the pixels: tifffile, ImageJ, OME."""


@dataclass(frozen=True, slots=True)
class Exif:
    """What is kept of an EXIF block."""

    order: str
    main: dict[int, Field]
    details: dict[int, Field]
    place: dict[int, Field]

    def packed(self) -> bytes:
        """The block as files have it, with its prefix; no bytes where nothing is left or it is too large."""
        start = len(pack_header(self.order, 0))
        behind = start + len(pack_directory(self.main | self._pointers(0)[0], self.order, offset=start))
        pointers, directories = self._pointers(behind)
        fields = self.main | pointers
        block = pack_header(self.order, start) + pack_directory(fields, self.order, offset=start) + directories
        return PREFIX + block if fields and len(block) <= MAX_BYTES else b""

    def located(self, offset: int) -> tuple[dict[int, Field], bytes]:
        """The fields of a first directory, and the directories that they point to, which lie at `offset`."""
        pointers, directories = self._pointers(offset)
        return self.main | pointers, directories

    def _pointers(self, offset: int) -> tuple[dict[int, Field], bytes]:
        pointers, directories = dict[int, Field](), b""
        for tag, fields in ((EXIF_POINTER, self.details), (GPS_POINTER, self.place)):
            if fields:
                pointers[tag] = pointer(offset + len(directories), self.order)
                directories += pack_directory(fields, self.order, offset=offset + len(directories))
        return pointers, directories


def orientation(block: bytes) -> int:
    """How the pixels are to be turned, 1 (not at all) to 8; 1 where that is not said."""
    with contextlib.suppress(StructureError):
        structure = Structure(block.removeprefix(PREFIX))
        said = structure.integers(structure.directory(structure.first).entries.get(ORIENTATION))
        return said[0] if said and 1 <= said[0] <= 8 else 1
    return 1


def kept(block: bytes) -> bytes:
    """What stays true of an EXIF block or TIFF file, as a block; no bytes if that is nothing or is broken."""
    with contextlib.suppress(StructureError):
        return parse(block).packed()
    return b""


def parse(block: bytes) -> Exif:
    """What stays true of an EXIF block or TIFF file.

    Raises:
        StructureError: if it is broken.
    """
    structure = Structure(block.removeprefix(PREFIX))
    first = structure.directory(structure.first)
    details = _directory(structure, first, EXIF_POINTER)
    place = _directory(structure, first, GPS_POINTER)
    main = _fields(structure, first, first.entries.keys() & KEPT)
    if DESCRIPTION in main and main[DESCRIPTION].value.startswith(OF_PIXELS):
        del main[DESCRIPTION]
    return Exif(
        structure.order,
        main=main,
        details=_fields(structure, details, details.entries.keys() - DROPPED),
        place=_fields(structure, place, place.entries.keys()),
    )


def _directory(structure: Structure, first: Directory, tag: int) -> Directory:
    where = structure.integers(first.entries.get(tag))
    return structure.directory(where[0]) if where else Directory({}, 0)


def _fields(structure: Structure, directory: Directory, tags: Iterable[int]) -> dict[int, Field]:
    chosen = ((tag, directory.entries[tag]) for tag in sorted(tags))
    return {
        tag: Field(entry.kind, entry.count, structure.value(entry))
        for tag, entry in chosen
        if entry.kind <= PLAIN_TYPES and entry.count
    }
