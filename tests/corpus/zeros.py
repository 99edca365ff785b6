"""Deflate streams that inflate to gigabytes, made without inflating anything."""

from __future__ import annotations

import struct
import zlib

BLOCK = 2**20
ADLER_MODULUS = 65521


def deflated_zeros(size: int) -> bytes:
    """A zlib stream of so many zero bytes, a thousandth as long."""
    blocks, rest = divmod(size, BLOCK)
    return b"\x78\x01" + _piece(BLOCK) * blocks + _piece(rest) + b"\x03\x00" + struct.pack(">I", _adler(size))


def _piece(size: int) -> bytes:
    """Raw deflate of zeros that neither refers back nor ends the stream."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(bytes(size)) + deflate.flush(zlib.Z_FULL_FLUSH)


def _adler(size: int) -> int:
    return (size % ADLER_MODULUS) << 16 | 1
