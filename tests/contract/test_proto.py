"""The contract's messages and the gateway's types say the same."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import bicubic_manifest, drawing_manifest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import MAX_STEPS, MAX_TEXTURE, Options
from hndsr_ensemble.scale import MAX_TERM, Scale
from hndsr_ensemble.tile_service import PIXELS
from hndsr_ensemble.tiles import TileStats
from hndsr_gateway import convert
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.images.picture import ImageFormat
from hndsr_gateway.jobs import Degradation, Quality, QualityReport, UpscaleAnswer
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, OptionChoices, Parameters, Plan, Raster, Upscaled

PROTO = Path(pb.__file__).with_name("upscale.proto").read_text(encoding="utf-8")
SAMPLE_TYPES = [name for name, value in pb.SampleType.items() if value]
FORMATS = [name for name, value in pb.ImageFormat.items() if value]


def names(message: Any) -> set[str]:
    """All fields of a message type."""
    return set(message.DESCRIPTOR.fields_by_name)


def unset(message: Any) -> set[str]:
    """The fields of a message that hold nothing, those of the messages in it included."""
    found = {field.name: value for field, value in message.ListFields()}
    inner = {f"{name}.{field}" for name, one in found.items() if hasattr(one, "ListFields") for field in unset(one)}
    return (names(message) - set(found)) | inner


def description() -> ModelDescription:
    return ModelDescription(drawing_manifest(), "revision", "engine", "device", window_s=0.25, step_s=0.5)


def upscaled() -> Upscaled:
    """A result in which nothing is zero."""
    geometry, scale = bicubic_manifest().geometry, Scale(7, 2)
    rows, columns = Axis(2, scale, geometry), Axis(200, scale, geometry)
    target = (rows.target_length, columns.target_length)
    mask = np.ones(target, dtype=bool)
    mask[0, 0] = False
    return Upscaled(
        Raster(np.ones((*target, 3), np.uint16), mask),
        Plan(
            source=(2, 200),
            target=target,
            scale=scale,
            model="hndsr",
            revision="revision",
            options=Options(steps=1, texture=0.5, seed=1),
            value_ranges=((0, 100),) * 3,
            sample_type="uint16",
            cores_per_tile=1,
            row_spans=rows.spans(1),
            column_spans=columns.spans(1),
        ),
        description(),
        TileStats(windows=9, cache_hits=3, empty_windows=2, out_of_range=1),
    )


def answer() -> UpscaleAnswer:
    """Pixels with everything that can be said of them."""
    report = QualityReport(Quality(40.0, 0.9, 255.0), Quality(39.0, 0.8, 255.0))
    degradation = Degradation(UnavailableError(), "hndsr", Options(steps=4, texture=1.0, seed=7))
    return UpscaleAnswer(upscaled(), ImageFormat.PNG, None, None, report, 1.000000001, degradation)


def response(**changes: Any) -> pb.UpscaleResponse:
    return pb.UpscaleResponse.FromString(convert.upscale_response(replace(answer(), **changes)))


def test_sample_types_of_the_contract_are_those_that_are_converted() -> None:
    assert set(convert.SAMPLE_TYPES) == {pb.SampleType.Value(name) for name in SAMPLE_TYPES}


@pytest.mark.parametrize("name", SAMPLE_TYPES)
def test_sample_type_is_named_after_its_array_type(name: str) -> None:
    assert convert.SAMPLE_TYPES[pb.SampleType.Value(name)].name == name.removeprefix("SAMPLE_TYPE_").lower()


def test_sample_types_of_the_contract_are_those_of_the_tiling_model() -> None:
    assert {dtype.name for dtype in convert.SAMPLE_TYPES.values()} == {dtype.name for dtype in PIXELS.values()}


@pytest.mark.parametrize("name", SAMPLE_TYPES)
def test_raw_pixels_come_back_as_they_were_written(name: str) -> None:
    dtype = convert.SAMPLE_TYPES[pb.SampleType.Value(name)]
    pixels = np.arange(24, dtype=dtype).reshape(2, 4, 3) * 9
    message = pb.RawImage.FromString(b"".join(convert.raw_parts(Raster(pixels))))
    found = convert.raster_of(message, field="raw")
    np.testing.assert_array_equal(found.pixels, pixels)


@pytest.mark.parametrize("name", FORMATS)
def test_every_image_format_can_be_asked_for(name: str) -> None:
    chosen = pb.ImageFormat.Value(name)
    output = convert.output_of(pb.UpscaleRequest(output_format=chosen))
    assert (output.format, output.pixels) == (convert.FORMATS.get(chosen), name == "IMAGE_FORMAT_RAW")


def test_every_file_format_of_the_gateway_has_a_number() -> None:
    assert set(convert.FORMATS.values()) == set(ImageFormat)


def test_upscale_response_fills_every_field_of_its_metadata() -> None:
    assert unset(response().metadata) == set()


def test_upscale_response_fills_every_field_of_raw_pixels() -> None:
    assert unset(response().raw) == set()


def test_upscale_response_fills_every_field_of_its_quality() -> None:
    assert unset(response().quality) == set()


def test_upscale_response_holds_the_file_where_there_is_one() -> None:
    assert response(encoded=b"file").encoded == b"file"


def test_plan_response_fills_every_field() -> None:
    message = convert.plan_response(upscaled().plan, estimated_s=1.000000001)
    assert unset(message) == set()


def test_plan_digest_stays_what_journals_hold() -> None:
    assert upscaled().plan.digest == "8d250216eaf41ada5e2db45b68b499448b4dcbc580cd0b8106138d15f1b75d0f"


def test_plan_response_fills_every_field_of_a_span() -> None:
    assert unset(convert.plan_response(upscaled().plan, estimated_s=1.0).plan.column_spans[-1]) == set()


def test_model_message_fills_every_field() -> None:
    assert unset(convert.model_message(description())) == set()


def test_limits_message_fills_every_field() -> None:
    assert unset(convert.limits_message(Settings())) == set()


def test_parameters_of_the_contract_are_those_of_the_gateway() -> None:
    assert names(pb.UpscaleParameters) == {field.name for field in fields(Parameters)}


@pytest.mark.parametrize("options", [OptionChoices, Options])
def test_options_of_the_contract_are_those_of_the_gateway(options: type) -> None:
    assert names(pb.UpscaleOptions) == {field.name for field in fields(options)}


def test_parameters_are_read_from_every_field() -> None:
    message = pb.UpscaleParameters(
        model="model",
        scale="2",
        options=pb.UpscaleOptions(steps=3, texture=0.5, seed=4),
        value_ranges=[pb.ValueRange(minimum=5, maximum=6)],
        required_revision="revision",
    )
    read = Parameters("model", "2", OptionChoices(3, 0.5, 4), ((5.0, 6.0),), "revision")
    assert (unset(message), convert.parameters_of(message)) == (set(), read)


@pytest.mark.parametrize(
    "words",
    [
        f"Diffusion steps, 0 to {MAX_STEPS};",
        f"residual, 0 to {MAX_TEXTURE:g};",
        f"must not exceed {MAX_TERM:,}.",
    ],
)
def test_comments_of_the_contract_name_the_limits_that_are_checked(words: str) -> None:
    assert words in " ".join(PROTO.replace("//", " ").split())
