"""Streams of zeros that become gigabytes, made without making those."""

from __future__ import annotations

import struct
import zlib

import numpy as np

BLOCK = 2**20
ADLER_MODULUS = 65521
ZSTANDARD_BLOCK = 2**17


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


def lzw_zeros(size: int) -> bytes:
    """TIFF's LZW of at least so many zero bytes, a thousandth as long.

    Source: TIFF 6.0, section 13.
    """
    clear, end, codes = 256, 257, range(258, 4093)  # each code is one zero longer than the one before
    once = f"{0:09b}" + "".join(f"{code:0{(code + 1).bit_length()}b}" for code in codes) + f"{clear:012b}"
    zeros = sum(range(1, len(codes) + 2))
    bits = f"{clear:09b}" + once * -(-size // zeros) + f"{end:09b}"
    return np.packbits(np.frombuffer(bits.encode(), np.uint8) - ord("0")).tobytes()


def zstandard_zeros(size: int, *, window_exponent: int = 17) -> bytes:
    """A Zstandard frame of so many zero bytes, four bytes for each 128 KiB.

    Source: RFC 8878, section 3.1.1.
    """
    header = b"\x28\xb5\x2f\xfd\x00" + bytes([window_exponent - 10 << 3])
    whole, rest = divmod(size, ZSTANDARD_BLOCK)
    return header + _repeated(ZSTANDARD_BLOCK) * whole + _repeated(rest, last=True)


def _repeated(size: int, *, last: bool = False) -> bytes:
    """A block of Zstandard: one zero, so many times."""
    return (size << 3 | 1 << 1 | last).to_bytes(3, "little") + b"\0"
