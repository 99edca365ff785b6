"""Results say what the responses said."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from fractions import Fraction

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import AnswerError, Client, results
from hndsr_client._core import responses
from hndsr_client.testing._servicer import REVISION

IMAGE = np.zeros((5, 7, 3), np.uint8)

RENAMED = {"scale_numerator": "scale", "scale_denominator": "scale", "latency": "latency_s"}


@pytest.mark.parametrize(
    ("result", "message", "more"),
    [
        (results.ServiceInfo, pb.GetModelInfoResponse, set()),
        (results.ModelInfo, pb.ModelInfo, set()),
        (results.Limits, pb.Limits, set()),
        (results.Options, pb.UpscaleOptions, set()),
        (results.Span, pb.Span, set()),
        (results.Plan, pb.Plan, {"windows", "estimated_time_s"}),
        (results.UpscaleMetadata, pb.UpscaleMetadata, {"quality"}),
        (results.Quality, pb.Quality, set()),
        (results.QualityReport, pb.QualityReport, set()),
    ],
)
def test_results_have_every_field_of_the_contract(result: type, message: type, more: set[str]) -> None:
    contract = {RENAMED.get(field.name, field.name) for field in message.DESCRIPTOR.fields}
    assert {field.name for field in fields(result)} == contract | more


def test_info_names_models_and_limits(client: Client) -> None:
    assert client.info() == results.ServiceInfo(
        models=(
            results.ModelInfo(
                name="nearest",
                description="Nearest neighbour",
                revision=REVISION,
                min_scale="1.5",
                max_scale="8",
                default_scale="4",
                default_options=results.Options(steps=4, texture=1.0, seed=0),
                generative=True,
                engine="numpy",
                device="cpu",
                window_px=256,
                stride_px=224,
            ),
        ),
        default_model="nearest",
        limits=results.Limits(
            max_source_px=16_000_000,
            max_target_px=64_000_000,
            max_message_bytes=2**29,
            max_steps=100,
            max_texture=1.5,
            formats=("png", "raw", "jpeg", "webp", "tiff"),
            max_concurrent_requests=4,
            max_queue_depth=32,
            max_streams=16,
        ),
        gateway_version="0.1.0",
    )


def test_plan_gives_spans_and_estimate(client: Client) -> None:
    assert client.plan(5, 7, scale="22/7") == results.Plan(
        source_height_px=5,
        source_width_px=7,
        target_height_px=16,
        target_width_px=22,
        scale=Fraction(22, 7),
        model="nearest",
        revision=REVISION,
        row_spans=(results.Span(0, 1, 0, 5, 0, 16),),
        column_spans=(results.Span(0, 1, 0, 7, 0, 22),),
        digest="2c09b0f9864cf72f5a6e167a93e574b532f656fa35a7d9d5a5d936730eae6a8a",
        cores_per_tile=3,
        options=results.Options(steps=4, texture=1.0, seed=0),
        windows=9,
        estimated_time_s=2.5,
    )


def test_upscale_tells_what_was_done(client: Client) -> None:
    assert client.upscale(IMAGE, scale=3.14, steps=0, texture=0.1).metadata == results.UpscaleMetadata(
        target_height_px=16,
        target_width_px=22,
        model="nearest",
        revision=REVISION,
        options=results.Options(steps=0, texture=0.1, seed=0),
        scale=Fraction(157, 50),
        tiles=1,
        windows=9,
        cache_hits=2,
        empty_windows=0,
        computed_windows=7,
        out_of_range_samples=0,
        latency_s=0.25,
        engine="numpy",
        device="cpu",
        format="raw",
        source_format="raw",
        quality=None,
    )


def test_results_are_frozen(client: Client) -> None:
    with pytest.raises(FrozenInstanceError):
        client.info().default_model = "other"


METADATA = pb.UpscaleMetadata(scale_numerator=4, scale_denominator=1)


@pytest.mark.parametrize(
    "response",
    [
        pb.UpscaleResponse(metadata=METADATA),
        pb.UpscaleResponse(encoded=b"png", metadata=METADATA),
        pb.UpscaleResponse(raw=pb.RawImage(height_px=1, width_px=1), metadata=METADATA),
    ],
    ids=["nothing", "a_file", "no_sample_type"],
)
def test_read_upscaled_refuses_other_answers(response: pb.UpscaleResponse) -> None:
    with pytest.raises(AnswerError):
        responses.read_upscaled(response)


def test_read_encoded_refuses_raw_pixels() -> None:
    with pytest.raises(AnswerError, match="answered raw where encoded was asked for"):
        responses.read_encoded(pb.UpscaleResponse(raw=pb.RawImage(), metadata=METADATA))


def test_read_quality_refuses_an_answer_without_one() -> None:
    with pytest.raises(AnswerError, match="no quality"):
        responses.read_quality(pb.CompareResponse())


def test_read_metadata_refuses_a_scale_without_denominator() -> None:
    with pytest.raises(AnswerError, match="denominator"):
        responses.read_metadata(pb.UpscaleResponse())


def test_read_metadata_refuses_formats_of_later_versions() -> None:
    with pytest.raises(AnswerError, match="format 99"):
        responses.read_metadata(pb.UpscaleResponse(metadata=pb.UpscaleMetadata(scale_denominator=1, format=99)))


def test_read_metadata_takes_sources_of_formats_of_later_versions() -> None:
    metadata = pb.UpscaleMetadata(scale_denominator=1, source_format=99)
    assert responses.read_metadata(pb.UpscaleResponse(metadata=metadata)).source_format == "unspecified"


def test_read_info_passes_over_formats_of_later_versions() -> None:
    limits = pb.Limits(formats=[pb.IMAGE_FORMAT_WEBP, 99])
    assert responses.read_info(pb.GetModelInfoResponse(limits=limits)).limits.formats == ("webp",)
