"""The fake server that is shipped refuses and answers as a gateway of its limits does."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import grpc
import numpy as np
import pytest
from contract.fake_server_calls import CALLS, MODEL, REVISION, Request
from contract.fake_server_streams import STREAMS, Stream, changed_start
from fakes import FakeBackend
from grpc import StatusCode
from in_process import Client, connected, refusal, run, running
from PIL import Image
from streams import Target

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing import FakeServer
from hndsr_client.testing._failures import CODES, DELAYS_S
from hndsr_client.testing._parameters import Served
from hndsr_client.testing._plans import make_plan
from hndsr_ensemble.geometry import Span
from hndsr_ensemble.manifest import Options
from hndsr_ensemble.scale import Scale
from hndsr_gateway import errors
from hndsr_gateway.errors import (
    GatewayError,
    InvalidRequestError,
    OverloadedError,
    QuotaExceededError,
    UnavailableError,
)
from hndsr_gateway.status import status_of
from hndsr_gateway.types import Plan

LIMITS = {
    "max_source_px": 16_000_000,
    "max_concurrent_requests": 4,
    "max_queue_depth": 32,
    "max_streams": 16,
    "cores_per_tile": 3,
}
"""Settings of a gateway with the fake's limits."""

DTYPES = {pb.SAMPLE_TYPE_UINT8: "u1", pb.SAMPLE_TYPE_UINT16: "<u2"}


@dataclass(frozen=True)
class Seen:
    """What came of one call at the gateway and at the fake."""

    reason: str
    gateway: Any
    fake: Any


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[Client, Client]]:
    """Clients of a gateway and of the fake."""
    with FakeServer(models=(MODEL, "bicubic"), revision=REVISION) as server:
        async with running(FakeBackend(), **LIMITS) as gateway, connected(server.target) as fake:
            yield gateway, fake


@pytest.fixture(scope="module")
def seen() -> dict[str, Seen]:
    """What came of every call, refusals without their texts."""
    found = {}

    async def test() -> None:
        async with both() as (gateway, fake):
            for name, (message, reason) in CALLS.items():
                found[name] = Seen(reason, await outcome(gateway, message), await outcome(fake, message))

    run(test())
    return found


@pytest.fixture(scope="module")
def streamed() -> dict[str, Seen]:
    """What came of every stream, refusals without their texts."""
    found = {}

    async def test() -> None:
        async with both() as (gateway, fake):
            for name, stream in STREAMS.items():
                seen = [await stream_outcome(client, stream) for client in (gateway, fake)]
                found[name] = Seen(stream.reason, *seen)

    run(test())
    return found


async def outcome(client: Client, message: Request) -> Any:
    """What a program can tell of an answer, or of a refusal."""
    stub = client.upscale
    methods = {
        pb.GetModelInfoRequest: (stub.GetModelInfo, told_info),
        pb.PlanUpscaleRequest: (stub.PlanUpscale, told_plan),
        pb.UpscaleRequest: (stub.Upscale, told_upscaled),
        pb.CompareRequest: (stub.Compare, told_compared),
    }
    method, told = methods[type(message)]
    call = method(message)
    try:
        return told(await call)
    except grpc.aio.AioRpcError:
        return replace(await refusal(call), text="")


def told_info(answer: pb.GetModelInfoResponse) -> Any:
    own = {"description", "engine", "device"}
    default = next(model for model in answer.models if model.name == answer.default_model)
    model = {field.name: str(value) for field, value in default.ListFields() if field.name not in own}
    limits = {field.name: value for field, value in answer.limits.ListFields()}
    limits["formats"] = sorted(answer.limits.formats)
    return [one.name for one in answer.models], answer.default_model, model, limits, answer.gateway_version


def told_plan(answer: pb.PlanUpscaleResponse) -> Any:
    return told_cut(answer.plan)


def told_cut(plan: pb.Plan) -> Any:
    """A plan but for the source that each tile needs."""
    own = {"digest", "row_spans", "column_spans"}
    facts = {field.name: str(value) for field, value in plan.ListFields() if field.name not in own}
    return facts, [[told_span(span) for span in spans] for spans in (plan.row_spans, plan.column_spans)]


def told_upscaled(answer: pb.UpscaleResponse) -> Any:
    metadata = answer.metadata
    size = metadata.target_height_px, metadata.target_width_px
    scale = metadata.scale_numerator, metadata.scale_denominator
    names = metadata.model, metadata.revision, metadata.format, metadata.source_format
    measured = (answer.quality.border_px, answer.quality.result.data_range, answer.quality.bicubic.data_range)
    image = told_raw(answer.raw) if answer.HasField("raw") else told_file(answer.encoded)
    return image, size, scale, names, str(metadata.options), measured


def told_raw(image: pb.RawImage) -> Any:
    return image.height_px, image.width_px, image.sample_type, len(image.pixels), image.mask


def told_file(encoded: bytes) -> Any:
    """Format, size, mode and alpha; bits and colour are the 25th and 26th byte of a PNG file."""
    image = Image.open(io.BytesIO(encoded))
    alpha = image.getchannel("A").tobytes() if "A" in image.mode else b""
    return image.format, image.size, image.mode, encoded[24:26] if image.format == "PNG" else b"", alpha


def told_compared(answer: pb.CompareResponse) -> Any:
    quality = answer.quality
    size = answer.height_px, answer.width_px
    return size, answer.border_px, round(quality.psnr_db, 6), quality.HasField("ssim"), quality.data_range


async def stream_outcome(client: Client, stream: Stream) -> Any:
    """What a program can tell of a stream's answers, or of a refusal."""
    answers = asyncio.ensure_future(stream_answers(client, stream))
    try:
        return told_stream(await answers, stream.first.start.sample_type)
    except grpc.aio.AioRpcError:
        return replace(await refusal(answers), text="")


async def stream_answers(client: Client, stream: Stream) -> list[pb.UpscaleStreamResponse]:
    planned: asyncio.Future[pb.Plan] = asyncio.get_running_loop().create_future()

    async def messages() -> AsyncIterator[pb.UpscaleStreamRequest]:
        if stream.first is None:
            return
        yield stream.first
        for message in stream.after(await planned):
            yield message

    answers = []
    async for answer in client.upscale.UpscaleStream(messages()):
        answers.append(answer)
        if answer.HasField("plan"):
            planned.set_result(answer.plan.plan)
    return answers


def told_stream(answers: list[pb.UpscaleStreamResponse], sample_type: int) -> Any:
    """Tiles may come in any order, their strips may not."""
    kinds = [answer.WhichOneof("message") for answer in answers]
    assert (kinds[0], kinds[-1]) == ("plan", "summary")
    plan, summary = answers[0].plan.plan, answers[-1].summary
    target, rows_px = Target(plan, np.dtype(DTYPES[sample_type])), set()
    for strip in (answer.strip for answer in answers if answer.HasField("strip")):
        target.add(strip)
        rows_px.add((strip.row, strip.column, strip.y_px, len(strip.pixels)))
    assert not target.pixels[~target.mask].any()
    counts = len(target.order), summary.tiles, summary.failed_tiles
    return told_cut(plan), sorted(rows_px), target.mask.tobytes(), set(kinds), counts


def told_span(span: pb.Span) -> Any:
    return span.core_start, span.core_stop, span.target_start_px, span.target_stop_px


@pytest.mark.parametrize("name", [name for name, (_, reason) in CALLS.items() if not reason])
def test_fake_answers_as_the_gateway_does(seen: dict[str, Seen], name: str) -> None:
    assert seen[name].fake == seen[name].gateway


@pytest.mark.parametrize("name", [name for name, (_, reason) in CALLS.items() if reason])
def test_fake_refuses_as_the_gateway_does(seen: dict[str, Seen], name: str) -> None:
    assert seen[name].fake == seen[name].gateway


@pytest.mark.parametrize("name", CALLS)
def test_gateway_answers_or_refuses_as_the_table_says(seen: dict[str, Seen], name: str) -> None:
    assert getattr(seen[name].gateway, "reason", "") == seen[name].reason


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if not stream.reason])
def test_fake_answers_streams_as_the_gateway_does(streamed: dict[str, Seen], name: str) -> None:
    assert streamed[name].fake == streamed[name].gateway


@pytest.mark.parametrize("name", [name for name, stream in STREAMS.items() if stream.reason])
def test_fake_refuses_streams_as_the_gateway_does(streamed: dict[str, Seen], name: str) -> None:
    assert streamed[name].fake == streamed[name].gateway


@pytest.mark.parametrize("name", STREAMS)
def test_gateway_answers_or_refuses_streams_as_the_table_says(streamed: dict[str, Seen], name: str) -> None:
    assert getattr(streamed[name].gateway, "reason", "") == streamed[name].reason


@pytest.mark.parametrize("name", ["8 bits", "16 bits", "value ranges", "options", "tiles of 2 cores", "large tiles"])
def test_fake_names_a_plan_as_the_gateway_would(name: str) -> None:
    start = STREAMS[name].first.start
    plan = make_plan(start, Served((MODEL,), REVISION))
    assert plan.digest == gateway_plan(plan, start).digest


def gateway_plan(plan: pb.Plan, start: pb.StreamStart) -> Plan:
    options = plan.options
    return Plan(
        source=(plan.source_height_px, plan.source_width_px),
        target=(plan.target_height_px, plan.target_width_px),
        scale=Scale(plan.scale_numerator, plan.scale_denominator),
        model=plan.model,
        revision=plan.revision,
        options=Options(steps=options.steps, texture=options.texture, seed=options.seed),
        value_ranges=tuple((band.minimum, band.maximum) for band in start.parameters.value_ranges),
        sample_type=np.dtype(DTYPES[start.sample_type]).name,
        cores_per_tile=plan.cores_per_tile,
        row_spans=tuple(gateway_span(span) for span in plan.row_spans),
        column_spans=tuple(gateway_span(span) for span in plan.column_spans),
    )


def gateway_span(span: pb.Span) -> Span:
    source, target = (span.source_start_px, span.source_stop_px), (span.target_start_px, span.target_stop_px)
    return Span(span.core_start, span.core_stop, *source, *target)


def test_digest_of_a_plan_starts_a_stream_at_the_fake_as_at_the_gateway() -> None:
    found = []

    async def test() -> None:
        first = STREAMS["16 bits"].first
        fields = ("source_height_px", "source_width_px", "sample_type", "parameters", "cores_per_tile")
        request = pb.PlanUpscaleRequest(**{name: getattr(first.start, name) for name in fields})
        async with both() as clients:
            for client in clients:
                digest = (await client.upscale.PlanUpscale(request)).plan.digest
                answers = await stream_answers(client, Stream(changed_start(first, required_digest=digest)))
                found.append(answers[0].plan.plan.digest == digest)

    run(test())
    assert found == [True, True]


def leaves() -> dict[str, type[GatewayError]]:
    known = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GatewayError)]
    return {error.reason: error for error in known if error is not InvalidRequestError}


def test_fake_knows_the_gateways_statuses() -> None:
    assert {reason: StatusCode[code] for reason, code in CODES.items()} == {
        reason: status_of(error.__new__(error)) for reason, error in leaves().items()
    }


def test_fake_knows_which_reasons_come_with_a_delay() -> None:
    delayed = (OverloadedError, QuotaExceededError, UnavailableError)
    assert set(DELAYS_S) == {reason for reason, error in leaves().items() if issubclass(error, delayed)}
