"""Between the messages of a stream and the gateway's own types."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.convert import duration_message, parameters_of, plan_message, priority_of, sample_type_name
from hndsr_gateway.errors import ChecksumMismatchError, OverloadedError, StreamProtocolError, UnavailableError
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
from hndsr_gateway.types import Priority
from hndsr_gateway.wire import find_record, record


def start_of(request: bytes) -> StreamStart:
    """What a stream's caller asks for, with nothing checked.

    Raises:
        StreamProtocolError: if it begins with something else.
        ChecksumMismatchError: if it is no message.
    """
    message = _request(request)
    if message.WhichOneof("message") != "start":
        raise StreamProtocolError("the stream does not begin with a start")
    start = message.start
    return StreamStart(
        size=(start.source_height_px, start.source_width_px),
        sample_type=sample_type_name(start.sample_type),
        parameters=parameters_of(start.parameters),
        cores=start.cores_per_tile,
        digest=start.required_digest,
        priority=priority_of(start.priority, Priority.BATCH),
    )


def strip_of(request: bytes) -> Strip:
    """A strip as it was sent, with nothing checked.

    Raises:
        StreamProtocolError: if it is none.
        ChecksumMismatchError: if it is no message.
    """
    strip, pixels = _pixels_apart(request) or _strip_message(request)
    return Strip((strip.row, strip.column), strip.y_px, pixels, strip.mask, strip.checksum, strip.last)


def _pixels_apart(request: bytes) -> tuple[pb.SourceStrip, memoryview] | None:
    """A strip, and its pixels where they lie in the request; None where it is not as clients write it."""
    whole = memoryview(request)
    outer = find_record(whole, pb.UpscaleStreamRequest.STRIP_FIELD_NUMBER)
    if outer is None or (outer.start, outer.stop) != (0, len(whole)):
        return None
    content = whole[outer.content :]
    pixels = find_record(content, pb.SourceStrip.PIXELS_FIELD_NUMBER)
    if pixels is None:
        return None
    try:
        others = pb.SourceStrip.FromString(b"".join((content[: pixels.start], content[pixels.stop :])))
    except DecodeError:
        return None
    return None if others.pixels else (others, content[pixels.content : pixels.stop])


def _strip_message(request: bytes) -> tuple[pb.SourceStrip, bytes]:
    message = _request(request)
    kind = message.WhichOneof("message")
    if kind != "strip":
        raise StreamProtocolError(f"{kind or 'nothing'} comes where a strip is to come")
    return message.strip, message.strip.pixels


def _request(request: bytes) -> pb.UpscaleStreamRequest:
    try:
        return pb.UpscaleStreamRequest.FromString(request)
    except DecodeError as error:
        raise ChecksumMismatchError("a message cannot be read", field="message") from error


def answer_bytes(answer: Answer) -> bytes:
    """What a stream's caller is told, as it goes over the wire."""
    return strip_bytes(answer) if isinstance(answer, Strip) else _message(answer).SerializeToString()


def strip_bytes(strip: Strip) -> bytes:
    """An UpscaleStreamResponse with a strip."""
    row, column = strip.place
    before = pb.TargetStrip(row=row, column=column, y_px=strip.y).SerializeToString()
    after = pb.TargetStrip(mask=bytes(strip.mask), checksum=strip.checksum, last=strip.last).SerializeToString()
    pixels = record(pb.TargetStrip.PIXELS_FIELD_NUMBER, strip.pixels)
    return b"".join(record(pb.UpscaleStreamResponse.STRIP_FIELD_NUMBER, before, *pixels, after))


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
