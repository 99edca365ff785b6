"""What the gateway and a worker tell each other: one JSON message at a time, with at most one memory beside it.

The gateway trusts no message: whoever breaks an image library from within must not get further than its worker.
"""

from __future__ import annotations

import array
import socket
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hndsr_gateway.errors import (
    DamagedImageError,
    DecompressionBombError,
    EmptyImageError,
    ImageTooLargeError,
    InvalidRequestError,
    UnsupportedFormatError,
)
from hndsr_gateway.images.errors import ExchangeError
from hndsr_gateway.images.layout import PictureLayout
from hndsr_gateway.images.memory import SharedMemory
from hndsr_gateway.images.picture import Encoding, Enlarged

LONGEST_MESSAGE_BYTES = 1 << 16
LONGEST_TRACEBACK = 8_000
LONGEST_REFUSAL = 500

REFUSALS: dict[str, type[InvalidRequestError]] = {
    error.__name__: error
    for error in (
        DamagedImageError,
        DecompressionBombError,
        EmptyImageError,
        ImageTooLargeError,
        UnsupportedFormatError,
    )
}
"""What reading an image file may refuse; anything else is a defect of ours."""


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class DecodeJob(_Message):
    """Read the image file in the memory; the answer is `Decoded`."""

    kind: Literal["decode"] = "decode"
    max_px: int
    enlarged: Enlarged | None
    memory_bytes: int
    """What the worker may take beside the pixels that it finds, for itself and again for the answer."""


class EncodeJob(_Message):
    """Make an image file of the picture in the memory; the answer is `Encoded`."""

    kind: Literal["encode"] = "encode"
    picture: PictureLayout
    encoding: Encoding
    memory_bytes: int
    """What the worker may take, its pixels included, for itself and again for the answer."""


class Ready(_Message):
    """The worker has imported everything."""

    kind: Literal["ready"] = "ready"


class Decoded(_Message):
    """The memory holds a picture."""

    kind: Literal["decoded"] = "decoded"
    picture: PictureLayout


class Encoded(_Message):
    """The memory holds an image file."""

    kind: Literal["encoded"] = "encoded"


class Refused(_Message):
    """The caller asked for something impossible."""

    kind: Literal["refused"] = "refused"
    error: str
    happened: str = Field(max_length=LONGEST_REFUSAL)
    field: str = Field(pattern="^[a-z_.]{1,64}$")

    @classmethod
    def of(cls, error: InvalidRequestError) -> Refused:
        """An error on its way to the gateway."""
        happened = str(error).removesuffix(f"; {error.remedy}")[:LONGEST_REFUSAL]
        return cls(error=type(error).__name__, happened=happened, field=error.field)

    def as_error(self) -> InvalidRequestError:
        """The error once more, in printable characters.

        Raises:
            ExchangeError: there is no error of that name.
        """
        if self.error not in REFUSALS:
            raise ExchangeError(f"no error is called {printable(self.error)}")
        # Each class writes its message from facts of its own, which the message already holds.
        error = REFUSALS[self.error].__new__(REFUSALS[self.error])
        InvalidRequestError.__init__(error, printable(self.happened), field=self.field)
        return error


class OutOfMemory(_Message):
    """More memory was asked for than the job may take."""

    kind: Literal["out_of_memory"] = "out_of_memory"


class Failed(_Message):
    """Something unforeseen was raised."""

    kind: Literal["failed"] = "failed"
    traceback: str


Job = DecodeJob | EncodeJob
Answer = Ready | Decoded | Encoded | Refused | OutOfMemory | Failed


class Request(_Message):
    """A job, numbered within its worker."""

    number: int
    job: Annotated[DecodeJob | EncodeJob, Field(discriminator="kind")]


class Response(_Message):
    """The answer to the job of that number; `Ready` answers none and has 0."""

    number: int
    answer: Annotated[Ready | Decoded | Encoded | Refused | OutOfMemory | Failed, Field(discriminator="kind")]


def printable(text: str) -> str:
    """Text that cannot act on terminals or forge lines of a log."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class Channel:
    """One end of a socket that keeps the bounds of messages and carries descriptors."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    @staticmethod
    def pair() -> tuple[Channel, Channel]:
        """Two ends.

        Raises:
            OSError: there are no more descriptors.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Channel(ours), Channel(theirs)

    def send(self, message: Request | Response, memory: SharedMemory | None = None) -> None:
        """Send a message, and the memory beside it.

        Raises:
            OSError: the other side is gone.
        """
        content = message.model_dump_json().encode()
        socket.send_fds(self.socket, [content], [memory.descriptor] if memory else [])

    def receive(self) -> tuple[bytes, SharedMemory | None]:
        """The next message, not yet understood; empty at the end.

        Raises:
            OSError: the other side is gone, or nothing is there and the socket does not block.
            ExchangeError: it is longer than any message of ours, or carries more.
        """
        # recv_fds would let processes that are started at this moment inherit the descriptor: it drops its flags.
        content, ancillary, flags, _ = self.socket.recvmsg(
            LONGEST_MESSAGE_BYTES, socket.CMSG_LEN(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
        )
        memories = [SharedMemory(descriptor) for part in ancillary for descriptor in array.array("i", part[2])]
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(memories) > 1:
            for memory in memories:  # now: whoever keeps the error keeps them with its traceback
                memory.close()
            raise ExchangeError("a message is too long, or carries more than one memory")
        return content, memories[0] if memories else None


def understood(content: bytes, *, number: int) -> Answer:
    """A worker's answer to the job of that number.

    Raises:
        ExchangeError: it is none, or to another job.
    """
    try:
        response = Response.model_validate_json(content)
    except ValidationError as error:
        raise ExchangeError(f"a message that is none: {error.error_count()} faults") from error
    if response.number != number:
        raise ExchangeError(f"job {number} is answered as job {response.number}")
    return response.answer
