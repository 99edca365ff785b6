"""An HTTP/2 connection whose frames a test makes by itself, as no well-behaved client would."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
"""What every frame begins with."""
FRAME_BYTES = 2**14
"""The most that a frame may hold unless more was agreed on."""
WINDOW_BYTES = 2**16 - 1
"""What may be sent on a stream, and on the connection, before the other side says more."""
UPSCALE, INFO = "/hndsr.v1.UpscaleService/Upscale", "/hndsr.v1.UpscaleService/GetModelInfo"
STREAM = "/hndsr.v1.UpscaleService/UpscaleStream"


def header_block(path: str, *more: tuple[str, str]) -> bytes:
    """The headers of a call, whatever was sent before them."""
    headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
    headers += [("content-type", "application/grpc"), ("te", "trailers"), *more]
    return Encoder().encode(headers)


def literal(name: bytes, value: bytes) -> bytes:
    """One more header for a block, as it is: hpack's own encoder takes minutes for large ones."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(content: bytes) -> bytes:
    """Source: RFC 7541, 5.1, with a prefix of 7 bits."""
    if len(content) < 127:
        return bytes([len(content)])
    written, left = bytearray([127]), len(content) - 127
    while left >= 128:
        written.append(left % 128 + 128)
        left //= 128
    return bytes([*written, left])


def head(number: int, block: bytes, *flags: str) -> bytes:
    """The frames that open a stream with a block of any size."""
    parts = [block[start : start + FRAME_BYTES] for start in range(0, len(block), FRAME_BYTES)]
    frames: list[Frame] = [HeadersFrame(number, parts[0], flags=list(flags))]
    frames += [ContinuationFrame(number, part) for part in parts[1:]]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


def headers(number: int, block: bytes, *flags: str) -> bytes:
    """The frame that opens a stream."""
    return HeadersFrame(number, block, flags=["END_HEADERS", *flags]).serialize()


def data(number: int, content: bytes, *flags: str) -> bytes:
    """A frame of a message."""
    return DataFrame(number, content, flags=list(flags)).serialize()


def reset(number: int) -> bytes:
    """The frame that gives a stream up."""
    return RstStreamFrame(number, error_code=8).serialize()


def ping() -> bytes:
    """A frame that asks for an answer."""
    return PingFrame(0, opaque_data=b"seen-it?").serialize()


def settings(values: dict[int, int] | None = None) -> bytes:
    """A frame of settings."""
    return SettingsFrame(0, settings=values or {}).serialize()


def message(content: bytes = b"", *, size_bytes: int | None = None) -> bytes:
    """A gRPC message, or the beginning of one that says it is larger."""
    return b"\0" + (len(content) if size_bytes is None else size_bytes).to_bytes(4, "big") + content


class RawConnection:
    """What a test sends, and what came back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._decoder = reader, writer, Decoder()
        self.counts: Counter[str] = Counter()
        """Frames that came, by their kind."""
        self.windows: Counter[int] = Counter()
        """What may be sent more, by stream; 0: on the connection."""
        self.peer_settings: dict[int, int] = {}
        self.answers: dict[int, dict[str, str]] = {}
        """Headers and trailers that came, by stream."""
        self.resets: dict[int, int] = {}
        self.goaway: GoAwayFrame | None = None
        self.closed = asyncio.Event()
        """Set when the server has closed the connection."""
        self._changed = asyncio.Event()

    async def send(self, *frames: bytes) -> None:
        """Send as fast as the way takes it; nothing more once the server has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(b"".join(frames))
            await self._writer.drain()

    async def until(self, count: int, kind: str, number: int = 0) -> None:
        """Wait for so many frames of a kind, or the end of the connection, or of the stream that is named."""
        while self.counts[kind] < count and not self.closed.is_set():
            if "grpc-status" in self.answers.get(number, {}):
                return
            self._changed.clear()
            await self._changed.wait()

    async def ended(self, number: int) -> dict[str, str]:
        """The headers and trailers of a stream once the status is among them."""
        while "grpc-status" not in self.answers.get(number, {}) and not self.closed.is_set():
            self._changed.clear()
            await self._changed.wait()
        return self.answers.get(number, {})

    async def pinged(self) -> None:
        """Wait until the server has answered a ping, and so has seen what was sent before."""
        await self.send(ping())
        await self.until(self.counts["PingFrame"] + 1, "PingFrame")

    async def more(self, number: int, window_bytes: int) -> None:
        """Let the server send so much more on a stream."""
        await self.send(WindowUpdateFrame(number, window_increment=window_bytes).serialize())

    def drop(self) -> None:
        """Close the socket without a word."""
        self._writer.transport.abort()

    async def read(self) -> None:
        """Read to the end."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(HEAD_BYTES)
                frame, size_bytes = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self._reader.readexactly(size_bytes)))
                self._note(frame)
                self._changed.set()
        self.closed.set()
        self._changed.set()

    def _note(self, frame: Frame) -> None:
        self.counts[type(frame).__name__] += 1
        if isinstance(frame, WindowUpdateFrame):
            self.windows[frame.stream_id] += frame.window_increment
        elif isinstance(frame, SettingsFrame):
            self.peer_settings |= frame.settings
            if "ACK" not in frame.flags:
                self._writer.write(SettingsFrame(0, flags=["ACK"]).serialize())
        elif isinstance(frame, HeadersFrame):
            self.answers.setdefault(frame.stream_id, {}).update(self._decoder.decode(frame.data))
        elif isinstance(frame, RstStreamFrame):
            self.resets[frame.stream_id] = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame


@contextlib.asynccontextmanager
async def raw_connection(address: str, first: dict[int, int] | None = None) -> AsyncIterator[RawConnection]:
    """A connection whose settings are agreed on."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = RawConnection(reader, writer)
    reading = asyncio.create_task(connection.read())
    try:
        await connection.send(PREFACE, settings(first))
        await connection.until(1, "SettingsFrame")
        yield connection
    finally:
        reading.cancel()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
