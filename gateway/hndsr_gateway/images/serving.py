"""What a worker does: jobs, one after another, until the gateway is gone."""

from __future__ import annotations

import errno
import faulthandler
import functools
import os
import socket
import traceback
from collections.abc import Callable
from typing import Protocol

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images.exchange import (
    LONGEST_TRACEBACK,
    REFUSALS,
    Answer,
    Channel,
    Decoded,
    DecodeJob,
    Encoded,
    Failed,
    Job,
    OutOfMemory,
    Ready,
    Refused,
    Request,
    Response,
)
from hndsr_gateway.images.layout import pack, unpack
from hndsr_gateway.images.limits import Allowance, give_memory_back, restrict
from hndsr_gateway.images.memory import SharedMemory
from hndsr_gateway.images.picture import Encoding, Enlarged, Picture

_NO_MEMORY = (errno.ENOMEM, errno.EFBIG)


class Decoder(Protocol):
    """Reads an image file."""

    def __call__(
        self, encoded: bytes, *, max_px: int, enlarged: Enlarged | None, measured: Callable[[int], None]
    ) -> Picture:
        """The picture of a file, whose pixels are said to `measured` before they take memory.

        Raises:
            InvalidRequestError: the caller can mend it.
        """


class Encoder(Protocol):
    """Makes an image file."""

    def __call__(self, picture: Picture, encoding: Encoding) -> bytes:
        """The file of a picture."""


def inherited_channel() -> Channel:
    """The socket that the gateway left as standard input, taken away from there."""
    channel = Channel(socket.socket(fileno=os.dup(0)))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return channel


def serve(channel: Channel, *, decode: Decoder, encode: Encoder) -> None:
    """Announce itself, then answer jobs until the gateway closes its end."""
    faulthandler.enable()
    restrict()
    allowance = Allowance()
    bounded = functools.partial(decode, measured=allowance.add_pixels)
    try:
        channel.send(Response(number=0, answer=Ready()))
        while (received := channel.receive())[0]:
            request = Request.model_validate_json(received[0])
            allowance.grant(request.job.memory_bytes)
            answer, result = _answer(request.job, received[1], bounded, encode)
            del received
            channel.send(Response(number=request.number, answer=answer), result)
            del result
            give_memory_back()
    except ConnectionError:  # the gateway is gone
        return


def _answer(
    job: Job, memory: SharedMemory | None, decode: Callable[..., Picture], encode: Encoder
) -> tuple[Answer, SharedMemory | None]:
    try:
        return _done(job, memory, decode, encode)
    except MemoryError:
        return OutOfMemory(), None
    except InvalidRequestError as error:
        known = REFUSALS.get(type(error).__name__) is type(error)
        return (Refused.of(error) if known else _failed(error)), None
    except Exception as error:  # noqa: BLE001 - the gateway logs whatever it is
        out_of_memory = isinstance(error, OSError) and error.errno in _NO_MEMORY
        return (OutOfMemory() if out_of_memory else _failed(error)), None


def _done(
    job: Job, memory: SharedMemory | None, decode: Callable[..., Picture], encode: Encoder
) -> tuple[Answer, SharedMemory]:
    if memory is None:
        raise ValueError("a job came without its memory")
    if isinstance(job, DecodeJob):
        picture, result = pack(decode(_read_and_closed(memory), max_px=job.max_px, enlarged=job.enlarged))
        return Decoded(picture=picture), result
    return Encoded(), SharedMemory.holding([encode(unpack(job.picture, memory), job.encoding)])


def _read_and_closed(memory: SharedMemory) -> bytes:
    content = memory.read()
    memory.close()
    return content


def _failed(error: Exception) -> Failed:
    return Failed(traceback="".join(traceback.format_exception(error))[-LONGEST_TRACEBACK:])
