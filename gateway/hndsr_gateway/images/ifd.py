"""Directories of TIFF structures, which TIFF files and EXIF blocks are made of: read within bounds, and written.

Source: TIFF 6.0, section 2; BigTIFF as libtiff specifies it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, by its type."""
UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
SHORT, LONG, UNDEFINED = 3, 4, 7
PLAIN_TYPES = 12
"""Types of classic structures up to this one are values; the next, IFD, is an offset."""
MAX_ENTRIES = 65_535
INLINE_BYTES = 4


class StructureError(ValueError):
    """The structure points outside of itself or says what cannot be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the value of a tag lies."""

    kind: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return SIZES[self.kind] * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """Entries by tag, and where the next directory lies, 0 behind the last."""

    entries: dict[int, Entry]
    following: int


@dataclass(frozen=True, slots=True)
class Field:
    """A value as it is written, in the byte order of its structure."""

    kind: int
    count: int
    value: bytes


class Structure:
    """A TIFF structure, classic or big.

    Raises:
        StructureError: if it does not begin as one, and by all methods for what lies outside of it.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        try:
            self.order = {b"II": "<", b"MM": ">"}[content[:2]]
        except KeyError:
            raise StructureError("it has no byte order") from None
        version = self._unpack("H", 2)[0]
        if version not in {42, 43}:
            raise StructureError("it has no known version")
        self._big = version == 43
        self.first: int = self._unpack("Q", 8)[0] if self._big else self._unpack("I", 4)[0]

    def directory(self, offset: int) -> Directory:
        """The directory that lies there; of a tag that comes twice the first counts, as in libtiff."""
        number, record, inline = ("Q", "HHQ", 12) if self._big else ("H", "HHI", 8)
        (count,) = self._unpack(number, offset)
        if count > MAX_ENTRIES:
            raise StructureError(f"a directory has {count} entries")
        start, step = offset + struct.calcsize(number), 20 if self._big else 12
        entries = dict[int, Entry]()
        for position in range(start, start + step * count, step):
            tag, kind, length = self._unpack(record, position)
            if kind in SIZES:
                fits = SIZES[kind] * length <= step - inline
                value = position + inline if fits else self._unpack("Q" if self._big else "I", position + inline)[0]
                entries.setdefault(tag, Entry(kind, length, value))
        return Directory(entries, self._unpack("Q" if self._big else "I", start + step * count)[0])

    def value(self, entry: Entry) -> bytes:
        """The bytes of a value."""
        self.check(entry.offset, entry.size)
        return self._content[entry.offset : entry.offset + entry.size]

    def check(self, offset: int, size: int) -> None:
        """Whether a stretch lies within."""
        if offset + size > len(self._content):
            raise StructureError("it points behind its end")

    def integers(self, entry: Entry | None, *, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The numbers of an entry, which must be unsigned, or the default where there is none."""
        if entry is None:
            return default
        if entry.kind not in UNSIGNED:
            raise StructureError("a number is of another type")
        return struct.unpack(f"{self.order}{entry.count}{UNSIGNED[entry.kind]}", self.value(entry))

    def number(self, directory: Directory, tag: int, *, default: int | None = None) -> int:
        """The first number of a tag, or the default where it is left out."""
        numbers = self.integers(directory.entries.get(tag), default=() if default is None else (default,))
        if not numbers:
            raise StructureError(f"tag {tag} is missing")
        return numbers[0]

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self._content, offset)
        except (struct.error, OverflowError) as error:
            raise StructureError("it is cut off") from error


def pack_header(order: str, first: int) -> bytes:
    """The eight bytes that a classic structure begins with."""
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, first)


def pack_record(tag: int, field: Field, order: str, *, offset: int) -> bytes:
    """One record of a directory whose value lies at `offset` unless it fits within."""
    inline = field.value.ljust(INLINE_BYTES, b"\0") if is_inline(field) else struct.pack(order + "I", offset)
    return struct.pack(order + "HHI", tag, field.kind, field.count) + inline


def is_inline(field: Field) -> bool:
    """Whether a value lies in its record."""
    return len(field.value) <= INLINE_BYTES


def pack_directory(fields: Mapping[int, Field], order: str, *, offset: int) -> bytes:
    """A last directory that lies at `offset`, sorted by tag, with its values behind it."""
    values = b""
    records = b""
    behind = offset + 2 + 12 * len(fields) + 4
    for tag, field in sorted(fields.items()):
        records += pack_record(tag, field, order, offset=behind + len(values))
        if not is_inline(field):
            values += field.value + bytes(len(field.value) % 2)
    return struct.pack(order + "H", len(fields)) + records + bytes(4) + values


def pointer(offset: int, order: str) -> Field:
    """A field that points to a directory."""
    return Field(LONG, 1, struct.pack(order + "I", offset))
