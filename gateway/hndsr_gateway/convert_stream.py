"""Between the messages of a stream and the gateway's own types."""

from __future__ import annotations

from collections.abc import Iterator

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.convert import duration_message, parameters_of, plan_message, sample_type_name
from hndsr_gateway.errors import OverloadedError, StreamProtocolError, UnavailableError
from hndsr_gateway.strips import (
    Answer,
    Draining,
    Progress,
    StreamOpened,
    StreamStart,
    Strip,
    Summary,
    TileFailed,
)

LENGTH_DELIMITED = 2
"""The wire type of bytes and messages."""


def start_of(message: pb.UpscaleStreamRequest) -> StreamStart:
    """What a stream's caller asks for, with nothing checked.

    Raises:
        StreamProtocolError: if it begins with something else.
    """
    if message.WhichOneof("message") != "start":
        raise StreamProtocolError("the stream does not begin with a start")
    start = message.start
    return StreamStart(
        size=(start.source_height_px, start.source_width_px),
        sample_type=sample_type_name(start.sample_type),
        parameters=parameters_of(start.parameters),
        cores=start.cores_per_tile,
        digest=start.required_digest,
    )


def strip_of(message: pb.UpscaleStreamRequest) -> Strip:
    """A strip as it was sent, with nothing checked.

    Raises:
        StreamProtocolError: if it is none.
    """
    kind = message.WhichOneof("message")
    if kind != "strip":
        raise StreamProtocolError(f"{kind or 'nothing'} comes where a strip is to come")
    strip = message.strip
    return Strip((strip.row, strip.column), strip.y_px, strip.pixels, strip.mask, strip.checksum, strip.last)


def answer_bytes(answer: Answer) -> bytes:
    """What a stream's caller is told, as it goes over the wire."""
    return strip_bytes(answer) if isinstance(answer, Strip) else _message(answer).SerializeToString()


def strip_bytes(strip: Strip) -> bytes:
    """An UpscaleStreamResponse with a strip, whose pixels are copied once; by way of a message it were four times.

    Source: https://protobuf.dev/programming-guides/encoding, "Length-Delimited Records" and "Message Structure".
    """
    row, column = strip.place
    before = pb.TargetStrip(row=row, column=column, y_px=strip.y).SerializeToString()
    after = pb.TargetStrip(mask=bytes(strip.mask), checksum=strip.checksum, last=strip.last).SerializeToString()
    pixels = _prefix(pb.TargetStrip.PIXELS_FIELD_NUMBER, len(strip.pixels))
    size_bytes = len(before) + len(pixels) + len(strip.pixels) + len(after)
    message = _prefix(pb.UpscaleStreamResponse.STRIP_FIELD_NUMBER, size_bytes)
    return b"".join((message, before, pixels, strip.pixels, after))


def _prefix(field: int, size_bytes: int) -> bytes:
    """What stands before a field of so many bytes."""
    return bytes((field << 3 | LENGTH_DELIMITED, *_varint(size_bytes)))


def _varint(value: int) -> Iterator[int]:
    while value >= 0x80:
        yield value & 0x7F | 0x80
        value >>= 7
    yield value


def _message(answer: StreamOpened | TileFailed | Progress | Draining | Summary) -> pb.UpscaleStreamResponse:
    match answer:
        case StreamOpened():
            return pb.UpscaleStreamResponse(plan=_plan(answer))
        case TileFailed():
            return pb.UpscaleStreamResponse(tile_error=_tile_error(answer))
        case Progress():
            return pb.UpscaleStreamResponse(progress=_progress(answer))
        case Draining():
            draining = pb.Draining(resume_after=duration_message(answer.resume_after_s))
            return pb.UpscaleStreamResponse(draining=draining)
        case Summary():
            return pb.UpscaleStreamResponse(summary=_summary(answer))


def _plan(opened: StreamOpened) -> pb.StreamPlan:
    return pb.StreamPlan(
        plan=plan_message(opened.plan),
        windows=opened.plan.windows,
        estimated_time=duration_message(opened.estimated_s),
        max_in_flight=opened.max_in_flight,
    )


def _tile_error(failed: TileFailed) -> pb.TileError:
    row, column = failed.place
    error = failed.error
    message = pb.TileError(row=row, column=column, reason=error.reason, message=str(error))
    if isinstance(error, (OverloadedError, UnavailableError)):
        message.retry_delay.CopyFrom(duration_message(error.retry_delay_s))
    return message


def _progress(progress: Progress) -> pb.StreamProgress:
    return pb.StreamProgress(
        tiles_done=progress.tiles_done,
        tiles_waiting=progress.tiles_waiting,
        target_px_done=progress.target_px_done,
    )


def _summary(summary: Summary) -> pb.StreamSummary:
    return pb.StreamSummary(
        tiles=summary.tiles,
        failed_tiles=summary.failed_tiles,
        cache_hits=summary.cache_hits,
        empty_windows=summary.empty_windows,
        computed_windows=summary.computed_windows,
        out_of_range_samples=summary.out_of_range_samples,
        elapsed=duration_message(summary.elapsed_s),
        engine=summary.model.engine,
        device=summary.model.device,
    )
