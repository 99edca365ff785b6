"""Messages as bytes, so that large fields are copied once or never; by way of a message object it were several times.

Source: https://protobuf.dev/programming-guides/encoding, "Message Structure" and "Length-Delimited Records".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Part = bytes | memoryview

VARINT, LENGTH_DELIMITED = 0, 2
"""Wire types of numbers, and of bytes and messages."""
VARINT_BITS = 64
FIXED_BYTES = {1: 8, 5: 4}
"""Content of the wire types that always have the same size."""


class Record(NamedTuple):
    """Where a field of bytes, or of a message, lies in a message; its content reaches to its end."""

    start: int
    content: int
    stop: int


def record(number: int, *parts: Part) -> tuple[Part, ...]:
    """A field of bytes, or of a message, whose content is the parts in a row."""
    size_bytes = sum(memoryview(part).nbytes for part in parts)
    return bytes((number << 3 | LENGTH_DELIMITED, *_varint(size_bytes))), *parts


def find_record(message: memoryview, number: int) -> Record | None:
    """The first such field of that number; None where there is none, or the message ends too early."""
    at = 0
    try:
        while at < len(message):
            start = at
            key, at = _read_varint(message, at)
            kind = key & 7
            if kind == LENGTH_DELIMITED:
                size_bytes, content = _read_varint(message, at)
                at = content + size_bytes
                if key >> 3 == number:
                    return Record(start, content, at) if at <= len(message) else None
            else:
                at = _read_varint(message, at)[1] if kind == VARINT else at + FIXED_BYTES[kind]
    except LookupError:
        pass
    return None


def _varint(value: int) -> Iterator[int]:
    while value >= 0x80:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number, and where it ends.

    Raises:
        LookupError: if it does not end in time.
    """
    value, shift = 0, 0
    while (byte := message[at]) >= 0x80:
        if shift >= VARINT_BITS:
            raise LookupError
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | byte << shift, at + 1
