"""A TIFF file's own tags, changed where they are.

Source: TIFF 6.0, section 2; BigTIFF, "Specification"; GDAL's tag GDAL_METADATA, 42112.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_GDAL_METADATA = 42112


def clear_band_domain(file: BinaryIO, domain: str) -> None:
    """Put what the tags of bands say of this domain into the default one; no byte of the file moves.

    Raises:
        ValueError: It is no TIFF file with GDAL's metadata.
        OSError: It cannot be written.
    """
    mark = f' domain="{domain}"'.encode()
    offset, length = _metadata_place(file)
    file.seek(offset)
    text = file.read(length)
    file.seek(offset)
    file.write(text.replace(mark, b" " * len(mark)))


def _metadata_place(file: BinaryIO) -> tuple[int, int]:
    """Offset and length of the text in the file's first directory."""
    file.seek(0)
    header = file.read(16)
    order = {b"II": "<", b"MM": ">"}[header[:2]]
    is_big = struct.unpack(order + "H", header[2:4])[0] == 43
    start = struct.unpack(order + "Q", header[8:16])[0] if is_big else struct.unpack(order + "I", header[4:8])[0]
    counted, entry = (order + "Q", order + "HHQQ") if is_big else (order + "H", order + "HHII")
    file.seek(start)
    (count,) = struct.unpack(counted, file.read(struct.calcsize(counted)))
    for _ in range(count):
        tag, _, length, offset = struct.unpack(entry, file.read(struct.calcsize(entry)))
        if tag == _GDAL_METADATA:
            return offset, length
    raise ValueError("the file has no metadata of GDAL")
