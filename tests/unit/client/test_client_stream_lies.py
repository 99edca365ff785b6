"""Streams that lie: strips, plans and starts that were changed on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from unit.client.stream_gateway import (
    Relay,
    gateway,
    relay,
    relayed,
)
from unit.client.stream_relays import (
    LARGE,
    MODEL,
    SOURCE,
    OnResponse,
    Responses,
    aborting,
    always,
    at_strips,
    changed,
    target,
    third,
)

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import (
    AnswerError,
    Client,
)

__all__ = ["gateway", "relay", "relayed", "target"]


BROKEN_STRIPS = {
    "pixels": changed(pixels=lambda pixels: bytes([pixels[0] ^ 1]) + pixels[1:]),
    "fewer_pixels": changed(pixels=lambda pixels: pixels[:-1]),
    "mask": changed(mask=lambda _: b"\x01"),
    "row": changed(row=lambda row: row + 1),
    "unknown_row": changed(row=lambda row: row + 1000),
    "y": changed(y_px=lambda y_px: y_px + 1),
    "last": changed(last=lambda last: not last),
    "checksum": changed(checksum=lambda checksum: checksum ^ 1),
}


@pytest.mark.parametrize("broken", BROKEN_STRIPS.values(), ids=BROKEN_STRIPS)
def test_stream_goes_on_after_a_strip_that_was_changed(
    relay: Relay, relayed: Client, target: np.ndarray, broken: OnResponse
) -> None:
    relay.on_response = at_strips(third, broken)
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def resealed(**fields: Any) -> OnResponse:
    """Other fields in a strip, with the checksum that goes with them: a server that is wrong."""

    def change(response: pb.UpscaleStreamResponse, context: Any) -> Responses:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it makes wrong

        changed(**fields)(response, context)
        response.strip.checksum = checksum(response.strip)
        return [response]

    return change


WRONG_STRIPS = {
    "no_such_tile": (resealed(row=lambda _: 1000), "which the plan does not have"),
    "tile_not_sent": (resealed(row=lambda _: 6, column=lambda _: 6), "which was not sent"),
    "from_the_middle": (resealed(y_px=lambda y_px: y_px + 1), "which cannot be"),
    "part_of_a_row": (resealed(pixels=lambda pixels: pixels[:-1]), "which cannot be"),
    "too_many_rows": (resealed(pixels=lambda pixels: pixels * 2), "which cannot be"),
    "no_rows": (resealed(pixels=lambda _: b""), "which cannot be"),
    "not_the_last": (resealed(last=lambda _: False), "another number of rows"),
    "short_mask": (resealed(mask=lambda _: b"\x01"), "a mask of 1 bytes"),
}


@pytest.mark.parametrize(("wrong", "told"), WRONG_STRIPS.values(), ids=WRONG_STRIPS)
def test_stream_gives_up_on_a_server_that_is_always_wrong(
    relay: Relay, relayed: Client, wrong: OnResponse, told: str
) -> None:
    relay.on_response = at_strips(always, wrong)
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(LARGE, patience_s=0.2, **MODEL)
    assert relay.streams > 1


def test_stream_refuses_strips_of_two_tiles_at_a_time(relay: Relay, relayed: Client) -> None:
    halves: list[pb.UpscaleStreamResponse] = []

    def halved(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it makes wrong

        strip = response.strip
        half = pb.TargetStrip(row=strip.row, column=strip.column, pixels=strip.pixels[: len(strip.pixels) // 2])
        half.checksum = checksum(half)
        halves.append(pb.UpscaleStreamResponse(strip=half))
        return [halves[-1]]

    relay.on_response = at_strips(always, halved)
    with pytest.raises(AnswerError, match="between strips of another"):
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)


def test_stream_puts_strips_together(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    def cut(response: pb.UpscaleStreamResponse, _: Any) -> Iterator[pb.UpscaleStreamResponse]:
        from hndsr_client._stream.strips import checksum  # noqa: PLC0415  beside what it cuts

        whole = response.strip
        height_px = {0: 224, 1: 256}[whole.row]
        row_bytes = len(whole.pixels) // height_px
        for y_px in range(0, height_px, 100):
            strip = pb.TargetStrip(row=whole.row, column=whole.column, y_px=y_px, last=y_px + 100 >= height_px)
            strip.pixels = whole.pixels[y_px * row_bytes : (y_px + 100) * row_bytes]
            strip.checksum = checksum(strip)
            yield pb.UpscaleStreamResponse(strip=strip)

    relay.on_response = at_strips(always, cut)
    assert np.array_equal(relayed.upscale_array(SOURCE, **MODEL).image, target)


def test_stream_takes_a_tile_once(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    relay.on_response = at_strips(always, lambda response, _: [response, response])
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 0
    assert np.array_equal(result.image, target)


@pytest.mark.parametrize("kind", ["progress", "none"])
def test_stream_passes_over_what_says_nothing_new(relay: Relay, relayed: Client, kind: str) -> None:
    more = pb.UpscaleStreamResponse(progress=pb.StreamProgress() if kind == "progress" else None)
    relay.on_response = lambda response, _: [more, response] if response.HasField("strip") else [response]
    assert relayed.upscale_array(SOURCE, **MODEL).tiles == 4


@pytest.mark.parametrize("kind", ["second plan", "strip before the plan"])
def test_stream_refuses_messages_out_of_turn(relay: Relay, relayed: Client, kind: str) -> None:
    strip = pb.UpscaleStreamResponse(strip=pb.TargetStrip())

    def on_response(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        if not response.HasField("plan"):
            return [response]
        return [response, response] if kind == "second plan" else [strip, response]

    relay.on_response = on_response
    with pytest.raises(AnswerError, match="the server answered a"):
        relayed.upscale_array(SOURCE, patience_s=0.2, **MODEL)


def plan_changed(change: Callable[[pb.Plan], object]) -> OnResponse:
    def on_response(response: pb.UpscaleStreamResponse, _: Any) -> Responses:
        if response.HasField("plan"):
            change(response.plan.plan)
        return [response]

    return on_response


CHANGED_PLANS = {
    "digest": (lambda plan: setattr(plan, "digest", "0" * 64), "another digest"),
    "span": (lambda plan: setattr(plan.row_spans[0], "source_stop_px", 1), "another digest"),
    "revision": (lambda plan: setattr(plan, "revision", "other"), "another digest"),
    "seed": (lambda plan: setattr(plan.options, "seed", 5), "another digest"),
    "model": (lambda plan: setattr(plan, "model", "other"), "the model other, asked for was bicubic"),
    "size": (lambda plan: setattr(plan, "source_width_px", 5), "the source size"),
    "scale": (lambda plan: setattr(plan, "scale_numerator", 5), "the scale 5/1, asked for was 4/1"),
}


@pytest.mark.parametrize(("change", "told"), CHANGED_PLANS.values(), ids=CHANGED_PLANS)
def test_stream_refuses_a_plan_that_was_changed(
    relay: Relay, relayed: Client, change: Callable[[pb.Plan], object], told: str
) -> None:
    relay.on_response = plan_changed(change)
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(SOURCE, **MODEL)
    assert relay.streams == 3


CHANGED_STARTS = {
    "scale": (lambda start: setattr(start.parameters, "scale", "3"), "the scale"),
    "steps": (lambda start: setattr(start.parameters.options, "steps", 7), "the steps 7, asked for was 5"),
    "texture": (lambda start: setattr(start.parameters.options, "texture", 0.5), "the texture"),
    "seed": (lambda start: setattr(start.parameters.options, "seed", 7), "the seed 7, asked for was 5"),
    "range": (lambda start: setattr(start.parameters.value_ranges[0], "minimum", 1), "another digest"),
    "sample type": (lambda start: setattr(start, "sample_type", pb.SAMPLE_TYPE_UINT16), "another digest"),
    "cores": (lambda start: setattr(start, "cores_per_tile", 3), "the cores_per_tile 3, asked for was 2"),
}


@pytest.mark.parametrize(("change", "told"), CHANGED_STARTS.values(), ids=CHANGED_STARTS)
def test_stream_notices_that_its_start_was_changed(
    relay: Relay, relayed: Client, change: Callable[[pb.StreamStart], object], told: str
) -> None:
    def on_request(request: pb.UpscaleStreamRequest) -> pb.UpscaleStreamRequest:
        if request.HasField("start"):
            change(request.start)
        return request

    relay.on_request = on_request
    chosen = {"scale": 4, "steps": 5, "texture": 1.0, "seed": 5, "value_ranges": [(0, 200)] * 3}
    with pytest.raises(AnswerError, match=told):
        relayed.upscale_array(SOURCE, cores_per_tile=2, **chosen)


def test_stream_takes_a_plan_that_was_changed_once(relay: Relay, relayed: Client, target: np.ndarray) -> None:
    relay.on_response = plan_changed(lambda plan: relay.streams == 1 and setattr(plan, "digest", "0" * 64))
    result = relayed.upscale_array(SOURCE, **MODEL)
    assert result.reconnections == 1
    assert np.array_equal(result.image, target)


def test_stream_ignores_options_of_a_model_that_takes_none(relay: Relay, relayed: Client) -> None:
    assert relayed.upscale_array(SOURCE, steps=5, seed=3, **MODEL).plan.options.steps == 0


def test_stream_goes_on_with_the_plan_it_had(relay: Relay, relayed: Client) -> None:
    relay.on_response = at_strips(
        third, lambda _, context: aborting(context, grpc.StatusCode.UNAVAILABLE, "STREAM_STALLED")
    )
    plan = relayed.upscale_array(SOURCE, scale=4).plan
    start = [request.start for request in relay.requests if request.HasField("start")][1]
    assert (start.required_digest, start.parameters.required_revision) == (plan.digest, plan.revision)
    assert (start.cores_per_tile, start.parameters.model, start.parameters.scale) == (1, "hndsr", "4/1")
    assert start.parameters.options.steps == plan.options.steps
