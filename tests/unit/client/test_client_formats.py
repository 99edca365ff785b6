"""Files of every format, and how close results come to a reference."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import ArgumentError, Client, ImageTooLargeError, InvalidRequestError, LocalFileError, Quality
from hndsr_client.testing import FakeServer
from hndsr_client.testing._files import read_file
from hndsr_client.testing._png import write_png
from hndsr_client.testing._servicer import NearestServicer

IMAGE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
TWICE = IMAGE.repeat(2, axis=0).repeat(2, axis=1)
FORMATS = ["png", "jpeg", "webp", "tiff"]
LARGE = np.broadcast_to(np.uint8(0), (10_000, 10_000, 3))


@pytest.fixture
def twice(folder: Path) -> Path:
    path = folder / "twice.png"
    path.write_bytes(write_png(TWICE))
    return path


@pytest.mark.parametrize("file_format", FORMATS)
def test_upscale_encoded_answers_the_format_asked_for(client: Client, source: Path, file_format: str) -> None:
    answer = client.upscale_encoded(source.read_bytes(), format=file_format)
    assert (answer.metadata.format, read_file(answer.content)[1]) == (
        file_format,
        pb.ImageFormat.Value(f"IMAGE_FORMAT_{file_format.upper()}"),
    )


def test_upscale_encoded_leaves_the_format_of_a_file_to_the_server(
    client: Client, service: NearestServicer, source: Path
) -> None:
    client.upscale_encoded(source)
    assert service.requests[0].output_format == pb.IMAGE_FORMAT_UNSPECIFIED


def test_upscale_encoded_makes_png_of_an_array(client: Client) -> None:
    np.testing.assert_array_equal(read_file(client.upscale_encoded(IMAGE, scale=2).content)[0], TWICE)


@pytest.mark.parametrize("file_format", ["PNG", "jpg", "raw", "", 1, ["png"]])
def test_upscale_encoded_refuses_other_formats(client: Client, file_format: object) -> None:
    with pytest.raises(ArgumentError, match="accepted are 'png', 'jpeg', 'webp' and 'tiff'"):
        client.upscale_encoded(IMAGE, format=file_format)


@pytest.mark.parametrize(("options", "sent"), [({"quality": 80}, (80, None)), ({"lossless": False}, (None, False))])
def test_upscale_encoded_sends_how_the_file_is_made(
    client: Client, service: NearestServicer, options: dict[str, object], sent: tuple[object, object]
) -> None:
    client.upscale_encoded(IMAGE, format="webp", **options)
    encoding = service.requests[0].encoding
    assert (
        tuple(getattr(encoding, name) if encoding.HasField(name) else None for name in ("quality", "lossless")) == sent
    )


def test_upscale_encoded_leaves_how_the_file_is_made_to_the_server(client: Client, service: NearestServicer) -> None:
    client.upscale_encoded(IMAGE)
    assert not service.requests[0].HasField("encoding")


@pytest.mark.parametrize("options", [{"quality": -1}, {"quality": "high"}, {"lossless": "no"}], ids=str)
def test_upscale_encoded_refuses_options_no_message_can_carry(client: Client, options: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(options))} is"):
        client.upscale_encoded(IMAGE, **options)


def test_encoded_never_shows_its_content(client: Client) -> None:
    assert "IHDR" not in repr(client.upscale_encoded(IMAGE))


@pytest.mark.parametrize(
    ("name", "file_format"), [("a.png", "png"), ("a.JPG", "jpeg"), ("a.webp", "webp"), ("a.tif", "tiff")]
)
def test_upscale_file_makes_the_format_of_the_extension(
    client: Client, source: Path, folder: Path, name: str, file_format: str
) -> None:
    assert client.upscale_file(source, folder / name).format == file_format


def test_upscale_file_makes_the_format_asked_for(client: Client, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.png", format="webp")
    assert read_file((folder / "made.png").read_bytes())[1] == pb.IMAGE_FORMAT_WEBP


def test_upscale_file_sends_how_the_file_is_made(
    client: Client, service: NearestServicer, source: Path, folder: Path
) -> None:
    client.upscale_file(source, folder / "made.jpg", quality=70)
    assert service.requests[0].encoding.quality == 70


@pytest.mark.parametrize("name", ["upscale", "upscale_encoded"])
def test_quality_says_how_close_the_result_comes(client: Client, source: Path, name: str) -> None:
    quality = getattr(client, name)(source, scale=2, reference=TWICE).quality
    assert quality.result == Quality(psnr_db=math.inf, ssim=None, data_range=255)


def test_upscale_file_says_how_close_the_result_comes(client: Client, source: Path, folder: Path) -> None:
    quality = client.upscale_file(source, folder / "made.png", scale=2, reference=TWICE).quality
    assert quality.result == Quality(psnr_db=math.inf, ssim=None, data_range=255)


def test_quality_is_none_without_a_reference(client: Client) -> None:
    assert client.upscale(IMAGE).quality is None


@pytest.mark.parametrize("given", [lambda path: path, str, Path.read_bytes], ids=["path", "text", "content"])
def test_reference_may_be_a_file(client: Client, twice: Path, given: Callable[[Path], object]) -> None:
    assert client.upscale(IMAGE, scale=2, reference=given(twice)).quality.result.psnr_db == math.inf


def test_reference_of_another_size_is_refused_by_the_server(client: Client) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.upscale(IMAGE, scale=2, reference=IMAGE)
    assert caught.value.reason == "REFERENCE_MISMATCH"


@pytest.mark.parametrize("reference", [IMAGE.astype("f4"), IMAGE.tolist(), 7], ids=["float", "list", "number"])
def test_reference_is_refused_where_no_message_can_carry_it(client: Client, reference: object) -> None:
    with pytest.raises(ArgumentError):
        client.upscale(IMAGE, reference=reference)


def test_reference_that_cannot_be_read_is_named(client: Client, folder: Path) -> None:
    with pytest.raises(LocalFileError, match=r"missing\.png"):
        client.upscale(IMAGE, reference=folder / "missing.png")


@pytest.mark.parametrize(
    "call",
    [lambda client: client.upscale(LARGE, reference=LARGE), lambda client: client.compare(LARGE, LARGE)],
    ids=["upscale", "compare"],
)
def test_image_and_reference_share_a_message(client: Client, call: Callable[[Client], object]) -> None:
    with pytest.raises(ImageTooLargeError, match="600,000,000 bytes"):
        call(client)


def test_compare_says_how_close_two_images_are(client: Client) -> None:
    inside = TWICE[4:-4, 4:-4].astype(float)
    psnr_db = 10 * math.log10(255**2 / np.mean((inside - inside // 2) ** 2))
    assert client.compare(TWICE, TWICE // 2) == Quality(psnr_db=pytest.approx(psnr_db), ssim=None, data_range=255)


def test_compare_measures_against_the_data_range_that_is_given(client: Client) -> None:
    whole, span = client.compare(TWICE, TWICE // 2), client.compare(TWICE, TWICE // 2, data_range=25.5)
    assert (span.data_range, span.psnr_db) == (25.5, pytest.approx(whole.psnr_db - 20))


@pytest.mark.parametrize("data_range", [0, -1.0, math.nan, True, "wide"])
def test_compare_refuses_a_data_range_that_is_none(client: Client, data_range: Any) -> None:
    with pytest.raises(ArgumentError, match="data_range"):
        client.compare(TWICE, TWICE, data_range=data_range)


def test_compare_takes_files(client: Client, twice: Path) -> None:
    assert client.compare(twice, twice.read_bytes()).psnr_db == math.inf


def test_compare_names_a_file_that_cannot_be_read(client: Client, folder: Path) -> None:
    with pytest.raises(LocalFileError, match=r"missing\.png"):
        client.compare(IMAGE, folder / "missing.png")


@pytest.mark.parametrize("name", ["plan", "upscale", "upscale_encoded", "upscale_file"])
def test_signature_spells_the_parameters_out(name: str) -> None:
    parameters = inspect.signature(getattr(Client, name)).parameters
    assert {"scale", "steps", "texture", "seed", "model", "value_ranges", "required_revision"} < set(parameters)


@pytest.mark.parametrize("name", ["plan", "upscale", "upscale_encoded", "upscale_file"])
def test_signature_shows_the_default_scale(name: str) -> None:
    assert inspect.signature(getattr(Client, name)).parameters["scale"].default == 4


def test_call_refuses_a_parameter_that_is_misspelt(client: Client, server: FakeServer) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'scal'"):
        client.upscale(IMAGE, scal=2)
