"""JPEG files that are cut, contradict themselves, are of a kind that is not read, or cost more than they are worth."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from corpus import jpeg_writer as w
from corpus.case import (
    BOMB,
    DAMAGED,
    EMPTY,
    JPEG,
    TOO_LARGE,
    UNSUPPORTED,
    Accepted,
    Case,
    Sized,
    constant,
    cuts,
    either,
    refused,
)
from corpus.jpeg_writer import DHT, DQT, EOI, PICTURE, SOF0, SOF2, SOI, SOS, changed, jpeg, marker, segment, segments

BASELINE, PROGRESSIVE = jpeg(subsampling=0), jpeg(subsampling=0, progressive=True)
RIGHT = Accepted(PICTURE, JPEG, tolerance=w.TOLERANCE)
ANY = Sized((PICTURE.shape[0], PICTURE.shape[1]), JPEG)
KIND = (DAMAGED, UNSUPPORTED)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _cut()
    yield from _frames()
    yield from _order()
    yield from _tables()
    yield from _scans()
    yield from _bombs()


def _cut() -> Iterator[Case]:
    for process, content in {"baseline": BASELINE, "progressive": PROGRESSIVE}.items():
        for name, cut in cuts(segments(content)[:-1]):
            reasons = KIND if len(cut) < 4 else (DAMAGED,)
            yield refused(f"jpeg-cut/{process}-{name}", constant(cut), *reasons)
        yield either(f"jpeg-cut/{process}-without-end", constant(content[:-2]), RIGHT)
        yield either(f"jpeg-cut/{process}-half-of-the-end", constant(content[:-1]), RIGHT)
    for percent in (1, 10, 25, 50, 75, 90):
        cut = w.cut_scan(BASELINE, percent)
        yield refused(f"jpeg-cut/scan-at-{percent}-percent", constant(cut))
        yield refused(f"jpeg-cut/scan-at-{percent}-percent-with-end", constant(cut + EOI))
    restarts = w.cut_scan(jpeg(restart_marker_blocks=1), 50)
    yield refused("jpeg-cut/scan-with-restarts-with-end", constant(restarts + EOI))


def _frames() -> Iterator[Case]:
    height, width = PICTURE.shape[:2]
    for name, size in {"65535x65535": (65535, 65535), "65535x500": (65535, 500), "5657x5657": (5657, 5657)}.items():
        yield refused(f"jpeg/frame-{name}", constant(_sized(BASELINE, *size)), TOO_LARGE)
        content = _sized(PROGRESSIVE, *size, kind=SOF2)
        yield refused(f"jpeg/frame-{name}-progressive", constant(content), TOO_LARGE)
    yield refused("jpeg/frame-0-rows", constant(_sized(BASELINE, 0, width)), *KIND, EMPTY)
    with_lines = _sized(BASELINE, 0, width)[:-2] + segment(0xDC, struct.pack(">H", height)) + EOI
    yield either("jpeg/frame-0-rows-and-dnl", constant(with_lines), RIGHT, *KIND, EMPTY)
    yield refused("jpeg/frame-0-columns", constant(_sized(BASELINE, height, 0)), *KIND, EMPTY)
    yield refused("jpeg/frame-much-taller", constant(_sized(BASELINE, 5000, width)))
    yield refused("jpeg/frame-a-block-taller", constant(_sized(BASELINE, height + 8, width)))
    yield either(
        "jpeg/frame-a-block-shorter", constant(_sized(BASELINE, height - 8, width)), Sized((height - 8, width), JPEG)
    )
    for name, value in {"12-bit": 12, "16-bit": 16, "0-bit": 0, "255-bit": 255, "2-bit": 2}.items():
        yield refused(f"jpeg/frame-{name}", constant(w.with_frame(BASELINE, at=0, value=bytes([value]))), *KIND)
    for count in (0, 2, 4, 5, 255):
        yield refused(
            f"jpeg/frame-of-{count}-bands", constant(w.with_frame(BASELINE, at=5, value=bytes([count]))), *KIND
        )
    for sampling in (0x00, 0x55, 0x01, 0xFF):
        content = w.with_frame(BASELINE, at=7, value=bytes([sampling]))
        yield refused(f"jpeg/frame-sampling-{sampling:02x}", constant(content), *KIND)
    for kind in (0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCD, 0xCE, 0xCF):
        yield refused(f"jpeg/frame-kind-{kind:02x}", constant(changed(BASELINE, SOF0, partial(_renamed, kind))), *KIND)
    arithmetic = changed(BASELINE, SOF0, partial(_renamed, 0xC9))
    yield either("jpeg/huffman-called-arithmetic", constant(arithmetic), ANY, *KIND)


def _renamed(kind: int, part: bytes) -> bytes:
    return part[:1] + bytes([kind]) + part[2:]


def _sized(content: bytes, height: int, width: int, *, kind: int = SOF0) -> bytes:
    return w.with_frame(content, at=1, value=struct.pack(">HH", height, width), kind=kind)


def _order() -> Iterator[Case]:
    parts = segments(BASELINE)
    by_kind = {marker(part): part for part in parts}
    rest = [part for part in parts[1:] if marker(part) not in {SOF0, SOS, EOI[1]}]
    wrong = {
        "no-frame": [*rest, by_kind[SOS], EOI],
        "no-scan": [*rest, by_kind[SOF0], EOI],
        "scan-before-frame": [*rest, by_kind[SOS], by_kind[SOF0], EOI],
        "two-frames": [*rest, by_kind[SOF0], by_kind[SOF0], by_kind[SOS], EOI],
        "only-the-end": [EOI],
        "two-beginnings": [SOI, *rest, by_kind[SOF0], by_kind[SOS], EOI],
    }
    for name, pieces in wrong.items():
        yield refused(f"jpeg/{name}", constant(SOI + b"".join(pieces)))
    frames = [by_kind[SOF0], _sized(SOI + by_kind[SOF0] + EOI, 9_000, 9_000)[2:-2]]
    two = SOI + b"".join([*rest, *frames, by_kind[SOS], EOI])
    yield refused("jpeg/two-frames-of-two-sizes", constant(two), DAMAGED, TOO_LARGE)
    for length in (0, 1):
        lie = w.inserted(BASELINE, b"\xff\xe5" + struct.pack(">H", length) + b"text")
        yield refused(f"jpeg/segment-of-length-{length}", constant(lie))
    yield refused("jpeg/segment-beyond-the-end", constant(SOI + b"\xff\xe5\xff\xff" + BASELINE[2:40]))


def _tables() -> Iterator[Case]:
    own = jpeg(subsampling=0, optimize=True)
    for name, kind in {"quantisation": DQT, "huffman": DHT}.items():
        content = b"".join(part for part in segments(own) if marker(part) != kind)
        yield refused(f"jpeg/no-{name}-table", constant(content))
        empty = changed(own, kind, lambda part: segment(marker(part), b""))
        yield refused(f"jpeg/{name}-table-of-no-bytes", constant(empty))
        cut = changed(own, kind, lambda part: segment(marker(part), part[4:-1]))
        yield refused(f"jpeg/{name}-table-short", constant(cut))
    content = b"".join(part for part in segments(BASELINE) if marker(part) != DHT)
    yield either("jpeg/no-huffman-table-but-the-one-of-annex-k", constant(content), RIGHT)
    overfull = changed(BASELINE, DHT, lambda part: part[:5] + b"\xff" * 16 + part[21:])
    yield refused("jpeg/huffman-table-overfull", constant(overfull))
    numbered = changed(BASELINE, DHT, lambda part: part[:4] + b"\x0f" + part[5:])
    yield refused("jpeg/huffman-table-number-15", constant(numbered))
    zeros = changed(BASELINE, DQT, lambda part: part[:5] + bytes(64) + part[69:])
    yield either("jpeg/quantisation-by-0", constant(zeros), ANY)


def _scans() -> Iterator[Case]:
    heads = {
        "0-bands": b"\0",
        "5-bands": b"\x05",
        "band-unknown": b"\x03\x09",
        "band-twice": b"\x03\x01\x00\x01",
    }
    for name, value in heads.items():
        content = changed(BASELINE, SOS, lambda part, value=value: part[:4] + value + part[4 + len(value) :])
        yield refused(f"jpeg/scan-{name}", constant(content))
    progressive = segments(PROGRESSIVE)
    first = next(number for number, part in enumerate(progressive) if marker(part) == SOS)
    only = b"".join([*progressive[: first + 1], EOI])
    yield either("jpeg/progressive-of-one-scan", constant(only), ANY)
    restarts = jpeg(restart_marker_blocks=1, subsampling=0)
    position = restarts.index(b"\xff\xd3")
    yield refused("jpeg/restarts-out-of-order", constant(restarts[:position] + b"\xff\xd7" + restarts[position + 2 :]))
    yield either("jpeg/restart-gone", constant(restarts[:position] + restarts[position + 2 :]), ANY)
    scan = next(part for part in segments(BASELINE) if marker(part) == SOS)
    ones = scan[:14] + b"\xff\x00" * (len(scan) // 2)
    yield refused("jpeg/scan-of-ones", constant(changed(BASELINE, SOS, lambda _: ones)))


def _bombs() -> Iterator[Case]:
    yield refused("bomb/jpeg-20000-scans", partial(_many_scans, 20_000), BOMB)
    yield refused("bomb/jpeg-200000-scans", partial(_many_scans, 200_000), BOMB)
    yield refused("bomb/jpeg-1000-scans-over-the-limit", partial(_many_scans, 1_000, side=40_000), TOO_LARGE)


def _many_scans(count: int, *, side: int = 3_976) -> bytes:
    """A grey progressive picture of so many scans, each of which says in a few bytes that nothing changes."""
    flat = segments(jpeg(np.full((8, 8), 128, np.uint8), progressive=True))
    first = next(number for number, part in enumerate(flat) if marker(part) == SOS)
    frame = w.with_frame(b"".join([*flat[:first], EOI]), at=1, value=struct.pack(">HH", side, side), kind=SOF2)
    blocks = (-(-side // 8)) ** 2
    return frame[:-2] + _direct_scan(blocks) + _band_table() + _band_scan(blocks) * count + EOI


def _direct_scan(blocks: int) -> bytes:
    """All DC coefficients 0: a table whose only code is one bit long, once for each block."""
    table = segment(DHT, b"\x00" + bytes([1]) + bytes(15) + b"\x00")
    bits = np.zeros(-(-blocks // 8) * 8, np.uint8)
    bits[blocks:] = 1
    stuffed = np.packbits(bits).tobytes().replace(b"\xff", b"\xff\0")
    return table + segment(SOS, b"\x01\x01\x00\x00\x00\x00") + stuffed


def _band_table() -> bytes:
    """Two codes: 0 ends the bands of 2^14 blocks and as many as 14 more bits say, 10 of one."""
    return segment(DHT, b"\x10" + bytes([1, 1]) + bytes(14) + b"\xe0\x00")


def _band_scan(blocks: int) -> bytes:
    """All AC coefficients of all blocks 0, by runs of 2^14 to 2^15 - 1 blocks."""
    bits = ""
    while blocks >= 2**14:
        run = min(blocks, 2**15 - 1)
        bits += "0" + format(run - 2**14, "014b")
        blocks -= run
    bits += "10" * blocks
    bits += "1" * (-len(bits) % 8)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return segment(SOS, b"\x01\x01\x00\x01\x3f\x00") + packed
