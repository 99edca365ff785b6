"""Streams of a live gateway as sequences of steps, legal and illegal, one letter each.

Every legal tile is answered once by the right bytes, every illegal message ends the stream with its reason, and nothing
is left behind.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

from live import LiveGateway
from stream_conversation import ORDER, TILES_AT_ONCE, Conversation, Step
from streams import checksum

from hndsr.v1 import upscale_pb2 as pb

TIGHT = {"max_streams": 2, "stream_tiles": TILES_AT_ONCE, "stream_bytes": 2**22, "max_stream_bytes": 2**23}
"""Settings that have room for two streams: whatever is left behind keeps a later one out."""
PATIENCE_S, IMPATIENCE_S = 60.0, 0.2
"""How long gateways wait for their callers: of scripts without a silence, and with one."""
TILE, CHECKSUM = "TILE_MISMATCH", "CHECKSUM_MISMATCH"
MAX_BYTES = 40
PLACES = b"012345678"
"""Letters that choose the tile that is begun next."""
SILENCE = ord("W")
TOKENS = (b"STTH", b"StnH", b"S8TF", b"SttW")


def seeds() -> list[bytes]:
    """Each step before a start, behind it, within a tile and behind tiles."""
    return [before + bytes([letter]) for before in (b"", b"S", b"St", b"S0T4T8T") for letter in STEPS]


def check(script: bytes) -> None:
    """Play a script in a stream of its own; letters that mean nothing are left out.

    Raises:
        FindingError: if the gateway does other than the contract says.
    """
    with begun(impatient=SILENCE in script) as conversation:
        for letter in script[:MAX_BYTES]:
            if letter in PLACES:
                conversation.choose(PLACES.index(letter))
            elif letter in STEPS:
                conversation.play(STEPS[letter])


def begun(*, impatient: bool) -> Conversation:
    """A stream in which nothing is sent yet."""
    return Conversation(gateway(impatient=impatient), impatient=impatient)


@functools.cache
def gateway(*, impatient: bool) -> LiveGateway:
    """The one that all patient, or all impatient, scripts talk to."""
    return LiveGateway(**TIGHT, stream_stall_s=IMPATIENCE_S if impatient else PATIENCE_S)


def _strip(reason: str, within_tile: str = "", *, sign: bool = True, **fields: Callable[[Any], Any]) -> Step:
    """A step that sends the next strip with changed fields, and what the gateway says to that."""

    async def step(conversation: Conversation) -> None:
        message = pb.UpscaleStreamRequest()
        message.CopyFrom(await conversation.next_strip())
        for name, change in fields.items():
            setattr(message.strip, name, change(getattr(message.strip, name)))
        if sign:
            message.strip.checksum = checksum(message.strip)
        said = within_tile if within_tile and conversation.within_tile else reason
        await conversation.violate(message.SerializeToString(), said if conversation.started else ORDER)

    return step


def _message(content: bytes, reason: str) -> Step:
    """A step that sends what is no strip."""
    return lambda conversation: conversation.violate(content, reason)


STEPS: dict[int, Step] = {
    ord(letter): step
    for letter, step in {
        "S": Conversation.start,
        "s": Conversation.start_wrong,
        "T": Conversation.tile,
        "t": Conversation.strip,
        "F": Conversation.failing_tile,
        "R": Conversation.drain,
        "H": Conversation.end,
        "X": Conversation.cancel,
        "W": Conversation.be_silent,
        "C": _strip(CHECKSUM, sign=False, checksum=lambda value: value ^ 1),
        "Y": _strip(ORDER, y_px=lambda y: y + 1),
        "Z": _strip(TILE, pixels=lambda pixels: pixels[:-1]),
        "L": _strip(TILE, last=lambda last: not last),
        "M": _strip(TILE, mask=lambda _: b"\x01"),
        "P": _strip(TILE, ORDER, row=lambda _: 9),
        "E": _message(b"", ORDER),
        "G": _message(b"\xff", CHECKSUM),
    }.items()
}
"""What a letter does."""
LEGAL = b"".join((b"S" * 2, b"T" * 12, b"t" * 8, b"F" * 2, b"R" * 2, PLACES))
"""Letters that are chosen half of the time, as often as they stand here: most others end the stream."""


def mutated(script: bytes, most_bytes: int, seed: int) -> bytes:
    """A script with some letters more, fewer, or others."""
    rng, letters = random.Random(seed), bytearray(script)  # noqa: S311 - it hides nothing
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(letters))
        letters[at : at + rng.choice((0, 0, 1, 2))] = bytes(
            rng.choices(rng.choice((LEGAL, bytes(STEPS))), k=rng.randint(0, 2))
        )
    return bytes(letters[:most_bytes])
