"""The fake server that is shipped refuses and answers as a gateway of its limits does."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from contract.fake_server_calls import CALLS, MODEL, REVISION, Request
from fakes import FakeBackend
from grpc import StatusCode
from in_process import Client, connected, refusal, run, running
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client.testing import FakeServer
from hndsr_client.testing._failures import CODES, DELAYS_S
from hndsr_gateway import errors
from hndsr_gateway.errors import GatewayError, InvalidRequestError, OverloadedError, UnavailableError
from hndsr_gateway.status import status_of

LIMITS = {"max_source_px": 16_000_000, "max_concurrent_requests": 4, "max_queue_depth": 32}
"""Settings of a gateway with the fake's limits."""


@dataclass(frozen=True)
class Seen:
    """What came of one call at the gateway and at the fake."""

    reason: str
    gateway: Any
    fake: Any


@pytest.fixture(scope="module")
def seen() -> dict[str, Seen]:
    """What came of every call, refusals without their texts."""
    found = {}

    async def test() -> None:
        with FakeServer(models=(MODEL, "bicubic"), revision=REVISION) as server:
            async with running(FakeBackend(), **LIMITS) as gateway, connected(server.target) as fake:
                for name, (message, reason) in CALLS.items():
                    found[name] = Seen(reason, await outcome(gateway, message), await outcome(fake, message))

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
    own = {"digest", "row_spans", "column_spans", "cores_per_tile"}
    return {field.name: str(value) for field, value in answer.plan.ListFields() if field.name not in own}


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


@pytest.mark.parametrize("name", [name for name, (_, reason) in CALLS.items() if not reason])
def test_fake_answers_as_the_gateway_does(seen: dict[str, Seen], name: str) -> None:
    assert seen[name].fake == seen[name].gateway


@pytest.mark.parametrize("name", [name for name, (_, reason) in CALLS.items() if reason])
def test_fake_refuses_as_the_gateway_does(seen: dict[str, Seen], name: str) -> None:
    assert seen[name].fake == seen[name].gateway


@pytest.mark.parametrize("name", CALLS)
def test_gateway_answers_or_refuses_as_the_table_says(seen: dict[str, Seen], name: str) -> None:
    assert getattr(seen[name].gateway, "reason", "") == seen[name].reason


def leaves() -> dict[str, type[GatewayError]]:
    known = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GatewayError)]
    return {error.reason: error for error in known if error is not InvalidRequestError}


def test_fake_knows_the_gateways_statuses() -> None:
    assert {reason: StatusCode[code] for reason, code in CODES.items()} == {
        reason: status_of(error.__new__(error)) for reason, error in leaves().items()
    }


def test_fake_knows_which_reasons_come_with_a_delay() -> None:
    delayed = (OverloadedError, UnavailableError)
    assert set(DELAYS_S) == {reason for reason, error in leaves().items() if issubclass(error, delayed)}
