"""The fake server that is shipped: what a program's own tests can tell it and ask of it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import (
    ArgumentError,
    Client,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    Retry,
    ServerError,
    ServiceError,
    UnavailableError,
)
from hndsr_client.results import Options
from hndsr_client.testing import FakeServer
from hndsr_client.testing._files import read_file, write_file
from hndsr_client.testing._nearest import measure
from hndsr_client.testing._png import read_png, write_png

RANDOM = np.random.default_rng(7)
NOISE = RANDOM.integers(0, 256, (23, 19, 3), np.uint8)
RAMP = np.linspace(0, 255, 23 * 19 * 3).astype(np.uint8).reshape(23, 19, 3)
MASK = RANDOM.random((23, 19)) < 0.5
UNSET = pb.EncodingOptions()
WITHOUT_PYTEST = "import sys; sys.modules['pytest'] = sys.modules['PIL'] = None; import hndsr_client.testing"


def test_fake_records_requests_in_order(client: Client, server: FakeServer) -> None:
    client.info()
    client.plan(5, 7)
    assert [request.method for request in server.requests] == ["GetModelInfo", "PlanUpscale"]


def test_fake_records_requests_that_it_fails(client: Client, server: FakeServer) -> None:
    server.fail_next()
    with pytest.raises(UnavailableError):
        client.plan(5, 7)
    assert server.requests[0].message.source_width_px == 7


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("code", "RESOURCE_EXHAUSTED"),
        ("reason", "OVERLOADED"),
        ("retry_delay_s", 0.1),
        ("message", "full"),
        ("metadata", {"depth": "32"}),
        ("violations", (("image", "is large"),)),
    ],
)
def test_fake_fails_as_it_is_told(client: Client, server: FakeServer, attribute: str, value: object) -> None:
    server.fail_next(
        code="RESOURCE_EXHAUSTED",
        reason="OVERLOADED",
        retry_delay_s=0.1,
        message="full",
        metadata={"depth": "32"},
        violations=[("image", "is large")],
    )
    with pytest.raises(ServiceError) as caught:
        client.info()
    assert getattr(caught.value, attribute) == value


def test_fake_fails_as_often_as_it_is_told(server: FakeServer, client_type: Callable[..., Client]) -> None:
    server.fail_next(times=2)
    with client_type(server.target, retry=Retry(initial_delay_s=0.001)) as client:
        client.info()
    assert len(server.requests) == 3


def test_fake_fails_with_the_status_of_the_reason(client: Client, server: FakeServer) -> None:
    server.fail_next(reason="MODEL_NOT_FOUND")
    with pytest.raises(NotFoundError):
        client.info()


@pytest.mark.parametrize(("told", "seen"), [(None, 1.0), (0.1, 0.1)])
def test_fake_names_the_delay_of_the_reason(
    client: Client, server: FakeServer, told: float | None, seen: float
) -> None:
    server.fail_next(reason="OVERLOADED", retry_delay_s=told)
    with pytest.raises(OverloadedError) as caught:
        client.info()
    assert caught.value.retry_delay_s == seen


def test_fake_names_no_delay_beside_a_code_that_it_is_told(client: Client, server: FakeServer) -> None:
    server.fail_next(code="RESOURCE_EXHAUSTED", reason="OVERLOADED")
    with pytest.raises(OverloadedError) as caught:
        client.info()
    assert caught.value.retry_delay_s is None


@pytest.mark.parametrize(
    "change", [{"code": "OK"}, {"code": "BROKEN"}, {"retry_delay_s": 1.0}, {"reason": "OVERLOAD"}], ids=str
)
def test_fake_refuses_failures_that_are_none(server: FakeServer, change: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        server.fail_next(**change)


def test_fake_has_the_revision_it_is_told(client: Client, server: FakeServer) -> None:
    server.revision = "new"
    assert client.info().models[0].revision == client.upscale(NOISE).metadata.revision == "new"


def test_fake_refuses_another_revision(client: Client, server: FakeServer) -> None:
    server.revision = "new"
    with pytest.raises(PreconditionError) as caught:
        client.upscale(NOISE, required_revision="old")
    assert caught.value.reason == "REVISION_CHANGED"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda client: client.plan(5, 7, scale="wide"), "SCALE_OUT_OF_RANGE"),
        (lambda client: client.upscale(NOISE, scale=-1), "SCALE_OUT_OF_RANGE"),
        (lambda client: client.upscale(b"no image"), "UNSUPPORTED_FORMAT"),
        (lambda client: client.upscale(write_png(NOISE)[:50]), "IMAGE_DAMAGED"),
        (lambda client: client.upscale_encoded(NOISE.astype("u2"), format="webp"), "OUTPUT_UNSUPPORTED"),
    ],
    ids=["words", "negative", "text", "cut_off", "wide_samples"],
)
def test_fake_refuses_what_it_cannot_do(client: Client, call: Callable[[Client], object], reason: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        call(client)
    assert caught.value.reason == reason


def test_fake_names_the_field_that_it_refuses(client: Client) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.upscale(NOISE, scale=9)
    assert [field for field, _ in caught.value.violations] == ["parameters.scale"]


def test_fake_refuses_another_model(client: Client) -> None:
    with pytest.raises(NotFoundError, match="model 'hndsr' is not served here, served are nearest"):
        client.upscale(NOISE, model="hndsr")


def test_fake_serves_the_models_it_is_told() -> None:
    with FakeServer(models=["hndsr", "bicubic"]) as server, Client(server.target) as client:
        served = client.info().default_model, client.upscale(NOISE, model="bicubic").metadata.model
    assert served == ("hndsr", "bicubic")


@pytest.mark.parametrize("models", ["hndsr", []])
def test_fake_refuses_models_that_are_none(models: object) -> None:
    with pytest.raises(ArgumentError, match="models is"):
        FakeServer(models=models)


def test_fake_fills_options_in(client: Client) -> None:
    assert client.upscale(NOISE, steps=0).metadata.options == Options(steps=0, texture=1.0, seed=0)


def test_fake_plans_with_the_options_asked_for(client: Client) -> None:
    assert client.plan(5, 7, steps=0, seed=7).options == Options(steps=0, texture=1.0, seed=7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fake_answers_a_mask_by_alpha(client: Client, dtype: type) -> None:
    made = client.upscale_encoded(NOISE.astype(dtype), mask=MASK, scale=2)
    alpha = np.where(MASK, np.iinfo(dtype).max, 0).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(read_file(made.content)[0][..., 3], alpha)


def test_fake_answers_alpha_by_a_mask(client: Client) -> None:
    file = write_png(np.dstack([NOISE, MASK.astype(np.uint8)]))
    np.testing.assert_array_equal(client.upscale(file, scale=2).mask, MASK.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_fake_tells_what_it_alone_cannot_write_from_what_is_refused(client: Client, dtype: str) -> None:
    with pytest.raises(ServerError, match="the fake writes colours of 16 bits as PNG only") as caught:
        client.upscale_encoded(NOISE.astype(dtype), format="tiff")
    assert caught.value.code == "UNIMPLEMENTED"


def test_fake_says_what_it_needs_pillow_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ServerError, match="without Pillow the fake knows PNG files"):
        client.upscale_encoded(NOISE, format="jpeg")


def test_fake_may_be_closed_twice() -> None:
    server = FakeServer()
    server.close()
    server.close()


def test_fake_needs_neither_pytest_nor_pillow() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], check=True)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_reads_back(dtype: type, bands: int) -> None:
    image = RANDOM.integers(0, np.iinfo(dtype).max, (23, 19, bands), dtype)
    np.testing.assert_array_equal(read_png(write_png(image)), image)


def test_png_written_is_read_by_others(tmp_path: object) -> None:
    (tmp_path / "a.png").write_bytes(write_png(NOISE))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), NOISE)


@pytest.mark.parametrize("image", [NOISE, RAMP, NOISE[:1, :1]], ids=["noise", "ramp", "one_pixel"])
def test_png_of_others_is_read(tmp_path: object, image: np.ndarray) -> None:
    Image.fromarray(image).save(tmp_path / "a.png", optimize=True)
    np.testing.assert_array_equal(read_png((tmp_path / "a.png").read_bytes()), image)


@pytest.mark.parametrize("file_format", [pb.IMAGE_FORMAT_PNG, pb.IMAGE_FORMAT_WEBP, pb.IMAGE_FORMAT_TIFF])
def test_lossless_files_read_back(file_format: pb.ImageFormat) -> None:
    np.testing.assert_array_equal(read_file(write_file(NOISE, file_format, UNSET))[0], NOISE)


def test_quality_makes_files_smaller() -> None:
    sizes = [len(write_file(NOISE, pb.IMAGE_FORMAT_JPEG, pb.EncodingOptions(quality=quality))) for quality in (20, 90)]
    assert sizes[0] < sizes[1]


def test_measure_knows_equal_images() -> None:
    assert measure(NOISE, NOISE) == pb.Quality(psnr_db=math.inf, ssim=1.0, data_range=255)


def test_measure_looks_inside_the_border() -> None:
    framed = np.zeros_like(NOISE)
    framed[4:-4, 4:-4] = NOISE[4:-4, 4:-4]
    assert measure(NOISE, framed).psnr_db == math.inf


def test_measure_is_against_the_span_it_is_told() -> None:
    whole, told = measure(NOISE, RAMP), measure(NOISE, RAMP, data_range=25.5)
    assert whole.psnr_db - told.psnr_db == pytest.approx(20)


def test_measure_finds_noise_unlike_a_ramp() -> None:
    assert measure(NOISE, RAMP).ssim < 0.5
