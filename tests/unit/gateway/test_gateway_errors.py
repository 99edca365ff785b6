"""Every reason reaches the caller with its status and details, and nothing unforeseen reaches anybody."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fakes import FakeBackend
from grpc import StatusCode
from in_process import Client, Refusal, png, raw, refusal, request, run, running, scene

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway import errors
from hndsr_gateway.errors import GatewayError

INVALID = StatusCode.INVALID_ARGUMENT
RAISED: list[tuple[GatewayError, StatusCode, str, float | None]] = [
    (errors.GatewayError("text"), StatusCode.INTERNAL, "", None),
    (errors.InvalidRequestError("text", field="some.field"), INVALID, "some.field", None),
    (errors.ImageTooLargeError(which="source", height=2, width=3, limit_px=5), INVALID, "image", None),
    (errors.AnswerTooLargeError(size_bytes=2, limit_bytes=1), INVALID, "output_format", None),
    (errors.SideTooLongError(length=3, limit=2), INVALID, "image", None),
    (errors.EmptyImageError(), INVALID, "image", None),
    (errors.UnsupportedFormatError("text"), INVALID, "encoded", None),
    (errors.DamagedImageError("text"), INVALID, "encoded", None),
    (errors.DecompressionBombError(what="memory", limit="1 MiB"), INVALID, "encoded", None),
    (errors.OutputUnsupportedError("text"), INVALID, "output_format", None),
    (errors.ReferenceMismatchError("text"), INVALID, "reference", None),
    (errors.RawImageError("text", field="raw.mask"), INVALID, "raw.mask", None),
    (errors.ScaleOutOfRangeError("text"), INVALID, "parameters.scale", None),
    (errors.OptionOutOfRangeError(option="steps", value=101, limit=100), INVALID, "parameters.options.steps", None),
    (errors.PlanIncompatibleError("text"), INVALID, "cores_per_tile", None),
    (errors.StreamProtocolError("text"), INVALID, "message", None),
    (errors.TileMismatchError("text"), INVALID, "strip", None),
    (errors.ChecksumMismatchError("changed"), INVALID, "strip.checksum", None),
    (errors.BackendMismatchError(), StatusCode.INTERNAL, "", None),
    (errors.NotFiniteError(), StatusCode.INTERNAL, "", None),
    (errors.ValueRangeError("0…1 is no range"), INVALID, "parameters.value_ranges", None),
    (errors.ModelNotFoundError(name="a", served=["b"]), StatusCode.NOT_FOUND, "", None),
    (errors.RevisionChangedError(required="a", served="b"), StatusCode.FAILED_PRECONDITION, "", None),
    (errors.UnauthenticatedError("text"), StatusCode.UNAUTHENTICATED, "", None),
    (errors.PermissionDeniedError(name="a", scope="info"), StatusCode.PERMISSION_DENIED, "", None),
    (errors.OverloadedError("text", retry_delay_s=2.5), StatusCode.RESOURCE_EXHAUSTED, "", 2.5),
    (errors.BeyondQuotaError(target_px=9, limit_px=5), StatusCode.INVALID_ARGUMENT, "image", None),
    (errors.TileBeyondQuotaError(target_px=9, limit_px=5), INVALID, "start.cores_per_tile", None),
    (
        errors.QuotaExceededError(subject="a", quota="5 calls a minute", left=0, retry_delay_s=2.5),
        StatusCode.RESOURCE_EXHAUSTED,
        "",
        2.5,
    ),
    (errors.UnavailableError(retry_delay_s=0.25), StatusCode.UNAVAILABLE, "", 0.25),
    (errors.StreamStalledError("text"), StatusCode.UNAVAILABLE, "", 1.0),
    (errors.RequestTimeoutError(), StatusCode.DEADLINE_EXCEEDED, "", None),
]
REASONS = {
    *("INTERNAL", "INVALID_REQUEST", "IMAGE_TOO_LARGE", "EMPTY_IMAGE", "UNSUPPORTED_FORMAT", "RAW_IMAGE_INVALID"),
    *("SCALE_OUT_OF_RANGE", "OPTION_OUT_OF_RANGE", "VALUE_RANGE_INVALID", "MODEL_NOT_FOUND", "REVISION_CHANGED"),
    *("UNAUTHENTICATED", "PERMISSION_DENIED", "QUOTA_EXCEEDED"),
    *("OVERLOADED", "BACKEND_UNAVAILABLE", "DEADLINE_EXCEEDED"),
    *("IMAGE_DAMAGED", "DECOMPRESSION_BOMB", "OUTPUT_UNSUPPORTED", "REFERENCE_MISMATCH"),
    *("PLAN_INCOMPATIBLE", "BACKEND_MISMATCH", "NOT_FINITE"),
    *("STREAM_PROTOCOL", "TILE_MISMATCH", "CHECKSUM_MISMATCH", "STREAM_STALLED"),
}


def refused(call: Any, backend: FakeBackend | None = None, **settings: Any) -> Refusal:
    """How a gateway of its own refuses `call(client)`."""
    refusals = []

    async def test() -> None:
        async with running(backend or FakeBackend(), **settings) as client:
            refusals.append(await refusal(call(client)))

    run(test())
    return refusals[0]


def upscale(message: pb.UpscaleRequest) -> Any:
    return lambda client: client.upscale.Upscale(message)


def failing(error: BaseException) -> FakeBackend:
    backend = FakeBackend()
    backend.tile_errors[0] = error
    return backend


def upscale_anything(client: Client) -> Any:
    return client.upscale.Upscale(request(raw(scene((5, 7))), required_revision="revision-1"))


@pytest.mark.parametrize(
    ("error", "code", "field", "retry_delay_s"), RAISED, ids=[type(row[0]).__name__ for row in RAISED]
)
def test_error_reaches_the_caller_with_status_and_details(
    error: GatewayError, code: StatusCode, field: str, retry_delay_s: float | None
) -> None:
    expected = Refusal(code, str(error), error.reason, field, retry_delay_s)
    assert refused(upscale_anything, failing(error)) == expected


def test_revision_that_changes_under_a_caller_who_requires_none_can_be_tried_again() -> None:
    backend = failing(errors.RevisionChangedError(required="a", served="b"))
    assert refused(upscale(request(raw(scene((5, 7))))), backend).reason == "BACKEND_UNAVAILABLE"


def test_error_table_has_every_error() -> None:
    defined = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GatewayError)}
    assert {type(error) for error, *_ in RAISED} == defined


def test_error_reasons_are_the_documented_ones() -> None:
    assert {error.reason for error, *_ in RAISED} == REASONS


PNG, RAW = png(scene((5, 7))), raw(scene((5, 7)))
RAW_16 = raw(scene((5, 7), "uint16"))
BAND = {"minimum": 0, "maximum": 255}


def raw_with(**changes: Any) -> pb.RawImage:
    """Raw pixels of 5 x 7 px with some fields changed."""
    return pb.RawImage(**{"height_px": 5, "width_px": 7, "sample_type": 1, "pixels": RAW.pixels, **changes})


def ranges(*bands: dict[str, float]) -> list[pb.ValueRange]:
    return [pb.ValueRange(**band) for band in bands]


REFUSED: list[tuple[str, pb.UpscaleRequest, str, str]] = [
    ("no image", pb.UpscaleRequest(), "EMPTY_IMAGE", "image"),
    ("empty file", request(b""), "EMPTY_IMAGE", "image"),
    ("GIF", request(b"GIF89a"), "UNSUPPORTED_FORMAT", "encoded"),
    ("half a PNG", request(PNG[:99]), "IMAGE_DAMAGED", "encoded"),
    ("16-bit pixels as JPEG", request(RAW_16, output_format=3), "OUTPUT_UNSUPPORTED", "output_format"),
    ("mask as JPEG", request(raw_with(mask=b"\x7f" * 5), output_format=3), "OUTPUT_UNSUPPORTED", "output_format"),
    ("unknown output format", request(PNG, output_format=9), "OUTPUT_UNSUPPORTED", "output_format"),
    ("quality 0", request(PNG, output_format=3, encoding={"quality": 0}), "OPTION_OUT_OF_RANGE", "encoding.quality"),
    (
        *("lossless JPEG", request(PNG, output_format=3, encoding={"lossless": True})),
        *("OUTPUT_UNSUPPORTED", "encoding.lossless"),
    ),
    ("reference of another size", request(RAW, reference=RAW), "REFERENCE_MISMATCH", "reference"),
    ("reference that is no image", request(RAW, reference=b"GIF89a"), "UNSUPPORTED_FORMAT", "reference"),
    ("reference without a pixel", request(RAW, reference=raw_with(width_px=0)), "EMPTY_IMAGE", "reference.raw"),
    (
        *("reference of another type", request(RAW, scale="2", reference=raw(scene((10, 14), "uint16")))),
        *("REFERENCE_MISMATCH", "reference"),
    ),
    ("no sample type", request(raw_with(sample_type=0)), "RAW_IMAGE_INVALID", "raw.sample_type"),
    ("unknown sample type", request(raw_with(sample_type=9)), "RAW_IMAGE_INVALID", "raw.sample_type"),
    ("no rows", request(raw_with(height_px=0)), "EMPTY_IMAGE", "image"),
    ("no columns", request(raw_with(width_px=0)), "EMPTY_IMAGE", "image"),
    ("too few pixels", request(raw_with(height_px=6)), "RAW_IMAGE_INVALID", "raw.pixels"),
    ("too many pixels", request(raw_with(width_px=6)), "RAW_IMAGE_INVALID", "raw.pixels"),
    ("2^64 px", request(raw_with(height_px=2**32 - 1, width_px=2**32 - 1)), "RAW_IMAGE_INVALID", "raw.pixels"),
    ("uint8 sent as uint16", request(raw_with(sample_type=2)), "RAW_IMAGE_INVALID", "raw.pixels"),
    ("short mask", request(raw_with(mask=b"\xff" * 4)), "RAW_IMAGE_INVALID", "raw.mask"),
    ("long mask", request(raw_with(mask=b"\xff" * 6)), "RAW_IMAGE_INVALID", "raw.mask"),
    *(
        (f"scale {text!r}", request(RAW, scale=text), "SCALE_OUT_OF_RANGE", "parameters.scale")
        for text in ("0", "-4", "1.49", "8.000001", "four", "4e0", "inf", "nan", "4/0", "1/", "2.00000001", "4" * 10**6)
    ),
    (
        *("steps", request(RAW, model="hndsr", options=pb.UpscaleOptions(steps=101))),
        *("OPTION_OUT_OF_RANGE", "parameters.options.steps"),
    ),
    *(
        (
            *(f"texture {texture}", request(RAW, model="hndsr", options=pb.UpscaleOptions(texture=texture))),
            *("OPTION_OUT_OF_RANGE", "parameters.options.texture"),
        )
        for texture in (-0.1, 1.51, float("nan"), float("inf"))
    ),
    *(
        (f"ranges {bands}", request(RAW, value_ranges=ranges(*bands)), "VALUE_RANGE_INVALID", "parameters.value_ranges")
        for bands in (
            [BAND],
            [BAND] * 4,
            [BAND, BAND, {"minimum": 0, "maximum": 256}],
            [BAND, BAND, {"minimum": -1, "maximum": 255}],
            [BAND, BAND, {"minimum": 5, "maximum": 5}],
            [BAND, BAND, {"minimum": 9, "maximum": 5}],
            [BAND, BAND, {"minimum": 0, "maximum": float("nan")}],
            [BAND, BAND, {"minimum": float("-inf"), "maximum": 255}],
        )
    ),
    ("unknown model", request(RAW, model="swin"), "MODEL_NOT_FOUND", ""),
    ("other revision", request(RAW, required_revision="revision-0"), "REVISION_CHANGED", ""),
]


@pytest.mark.parametrize(("message", "reason", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_upscale_refuses_what_cannot_be_served(message: pb.UpscaleRequest, reason: str, field: str) -> None:
    found = refused(upscale(message))
    assert (found.reason, found.field) == (reason, field)


def test_upscale_refuses_a_raw_source_over_the_limit() -> None:
    found = refused(upscale(request(RAW)), max_source_px=34)
    assert (found.reason, found.field, "34 px" in found.text) == ("IMAGE_TOO_LARGE", "raw", True)


def test_upscale_refuses_a_png_source_over_the_limit() -> None:
    assert refused(upscale(request(PNG)), max_source_px=34).reason == "IMAGE_TOO_LARGE"


def test_upscale_refuses_a_target_over_the_limit() -> None:
    found = refused(upscale(request(RAW, scale="2")), max_target_px=139)
    assert (found.reason, "target" in found.text, "139" in found.text) == ("IMAGE_TOO_LARGE", True, True)


def test_upscale_sends_nothing_to_the_backend_when_it_refuses() -> None:
    backend = FakeBackend()
    refused(upscale(request(RAW, value_ranges=ranges(BAND))), backend)
    assert backend.calls == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source_height_px": 0}, "EMPTY_IMAGE"),
        ({"source_width_px": 0}, "EMPTY_IMAGE"),
        ({"source_width_px": 2**32 - 1}, "IMAGE_TOO_LARGE"),
        ({"cores_per_tile": 17}, "PLAN_INCOMPATIBLE"),
        ({"parameters": pb.UpscaleParameters(scale="9")}, "SCALE_OUT_OF_RANGE"),
        ({"parameters": pb.UpscaleParameters(model="swin")}, "MODEL_NOT_FOUND"),
        ({"parameters": pb.UpscaleParameters(options=pb.UpscaleOptions(steps=101))}, "OPTION_OUT_OF_RANGE"),
        ({"parameters": pb.UpscaleParameters(required_revision="revision-0")}, "REVISION_CHANGED"),
    ],
    ids=str,
)
def test_plan_refuses_what_cannot_be_planned(changes: dict[str, Any], reason: str) -> None:
    message = pb.PlanUpscaleRequest(**{"source_height_px": 5, "source_width_px": 7, **changes})
    assert refused(lambda client: client.upscale.PlanUpscale(message)).reason == reason


@pytest.mark.parametrize("parameters", [{"model": "x" * 10**6}, {"required_revision": "x" * 10**6}], ids=list)
def test_error_stays_readable_when_the_caller_sent_a_long_name(parameters: dict[str, str]) -> None:
    found = refused(upscale(request(RAW, **parameters)))
    assert (found.reason in {"MODEL_NOT_FOUND", "REVISION_CHANGED"}, len(found.text) < 300) == (True, True)


def test_error_text_names_what_is_served_when_a_model_is_not_found() -> None:
    assert "hndsr, bicubic" in refused(upscale(request(RAW, model="swin"))).text


def test_every_call_is_unavailable_when_nothing_is_served() -> None:
    backend, found = FakeBackend(), []

    async def test() -> None:
        async with running(backend, health_interval_s=0.01) as client:
            backend.describe_error = errors.UnavailableError()
            described = backend.descriptions
            await backend.until(lambda: backend.descriptions >= described + 2)
            for call in (
                client.upscale.GetModelInfo(pb.GetModelInfoRequest()),
                client.upscale.PlanUpscale(pb.PlanUpscaleRequest(source_height_px=5, source_width_px=7)),
                client.upscale.Upscale(request(RAW)),
            ):
                answer = await refusal(call)
                found.append((answer.code, answer.reason))

    run(test())
    assert found == [(StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE")] * 3


def test_unforeseen_error_is_answered_with_a_fixed_text() -> None:
    found = refused(upscale_anything, failing(ZeroDivisionError("secret path")))
    assert found == Refusal(StatusCode.INTERNAL, str(GatewayError("the server failed")), "INTERNAL", "", None)


def test_unforeseen_error_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    cause = ZeroDivisionError("secret path")
    with caplog.at_level(logging.ERROR, "hndsr_gateway"):
        refused(upscale_anything, failing(cause))
    logged = [record.exc_info for record in caplog.records if record.name.startswith("hndsr_gateway")]
    assert [information[1] for information in logged if information] == [cause]


def test_refused_request_is_logged_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hndsr_gateway.interceptors"):
        refused(upscale(request(RAW, model="swin")))
    logged = [record for record in caplog.records if record.name == "hndsr_gateway.interceptors"]
    assert [(record.levelname, record.exc_info) for record in logged] == [("INFO", None)]
