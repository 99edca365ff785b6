"""Upscale of files: what comes back of each format, and what of the source's file is kept."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import rasterio
from fakes import FakeBackend
from in_process import Refusal, raw, refusal, request, run, running, scene
from messages import raw_mask, raw_pixels
from oracle import upscale as expected_of
from PIL import Image, ImageCms
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from hndsr.v1 import upscale_pb2 as pb

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
MIB = 2**20
SOURCE = scene((30, 40))
TARGET = expected_of(SOURCE, model="bicubic", scale="2.5").pixels
FORMATS = {
    "PNG": pb.IMAGE_FORMAT_PNG,
    "JPEG": pb.IMAGE_FORMAT_JPEG,
    "WEBP": pb.IMAGE_FORMAT_WEBP,
    "TIFF": pb.IMAGE_FORMAT_TIFF,
}
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format=kind, **options)
    return target.getvalue()


def upscaled(image: pb.RawImage | bytes, **choices: Any) -> pb.UpscaleResponse:
    """The answer of a gateway of its own, at scale 2.5."""
    answers = []

    async def test() -> None:
        async with running(FakeBackend(), image_workers=1) as client:
            answers.append(await client.upscale.Upscale(request(image, scale="2.5", **choices)))

    run(test())
    return answers[0]


def opened(encoded: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(encoded))
    image.load()
    return image


@pytest.mark.parametrize("kind", FORMATS)
def test_upscale_answers_a_file_by_one_of_its_own_format(kind: str) -> None:
    answer = upscaled(file(Image.fromarray(SOURCE), kind))
    found = opened(answer.encoded)
    assert (found.format, found.size) == (kind, (100, 75))


@pytest.mark.parametrize("kind", FORMATS)
def test_upscale_says_the_formats_of_source_and_answer(kind: str) -> None:
    metadata = upscaled(file(Image.fromarray(SOURCE), kind), output_format=pb.IMAGE_FORMAT_TIFF).metadata
    assert (metadata.source_format, metadata.format) == (FORMATS[kind], pb.IMAGE_FORMAT_TIFF)


def test_upscale_says_that_pixels_were_sent_and_answered() -> None:
    metadata = upscaled(raw(SOURCE)).metadata
    assert (metadata.source_format, metadata.format) == (pb.IMAGE_FORMAT_RAW, pb.IMAGE_FORMAT_RAW)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_upscale_of_a_lossless_file_gives_the_bytes_of_raw_pixels(kind: str) -> None:
    answer = upscaled(file(Image.fromarray(SOURCE), kind, **LOSSLESS[kind]))
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded)), TARGET)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_upscale_of_raw_pixels_can_be_answered_by_a_file(kind: str) -> None:
    answer = upscaled(raw(SOURCE), output_format=FORMATS[kind])
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded)), TARGET)


def test_upscale_answers_a_smaller_file_for_less_quality() -> None:
    sizes = [
        len(upscaled(raw(SOURCE), output_format=pb.IMAGE_FORMAT_JPEG, encoding={"quality": quality}).encoded)
        for quality in (20, 90)
    ]
    assert sizes[0] < sizes[1]


def test_upscale_answers_a_lossy_webp_when_asked_to() -> None:
    answer = upscaled(raw(SOURCE), output_format=pb.IMAGE_FORMAT_WEBP, encoding={"lossless": False})
    assert b"VP8 " in answer.encoded[:64]


@pytest.mark.parametrize("output", [pb.IMAGE_FORMAT_PNG, pb.IMAGE_FORMAT_TIFF])
def test_upscale_keeps_16_bits(output: int) -> None:
    source = scene((30, 40), "uint16")
    encoded = upscaled(raw(source), output_format=output).encoded
    with MemoryFile(encoded) as memory, memory.open() as found:
        expected = expected_of(source, model="bicubic", scale="2.5").pixels
        np.testing.assert_array_equal(found.read().transpose(1, 2, 0), expected)


def test_upscale_answers_grey_by_grey() -> None:
    grey = SOURCE[..., 0]
    answer = upscaled(file(Image.fromarray(grey), "PNG"))
    expected = expected_of(np.dstack([grey] * 3), model="bicubic", scale="2.5").pixels[..., 0]
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded)), expected)


def test_upscale_answers_grey_by_three_equal_bands_of_pixels() -> None:
    answer = upscaled(file(Image.fromarray(SOURCE[..., 0]), "PNG"), output_format=pb.IMAGE_FORMAT_RAW)
    pixels = raw_pixels(answer.raw)
    np.testing.assert_array_equal(pixels, np.dstack([pixels[..., 0]] * 3))


def translucent() -> np.ndarray:
    """Alpha of every value, 0 in a corner."""
    alpha = np.linspace(1, 255, SOURCE[..., 0].size).reshape(SOURCE.shape[:2]).astype(np.uint8)
    alpha[:12, :9] = 0
    return alpha


@pytest.mark.parametrize("kind", LOSSLESS)
def test_upscale_carries_alpha_as_a_mask(kind: str) -> None:
    alpha = translucent()
    answer = upscaled(file(Image.fromarray(np.dstack([SOURCE, alpha])), kind, **LOSSLESS[kind]))
    nearest = alpha[np.ix_(*((2 * np.arange(size) + 1) * 2 // (2 * 5) for size in (75, 100)))]
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded))[..., 3], nearest)


def test_upscale_keeps_hidden_colours_from_bleeding() -> None:
    alpha = translucent()
    answer = upscaled(file(Image.fromarray(np.dstack([SOURCE, alpha])), "PNG"))
    expected = expected_of(SOURCE, model="bicubic", scale="2.5", mask=alpha > 0).pixels
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded))[..., :3], expected)


def test_upscale_answers_alpha_by_the_mask_of_raw_pixels() -> None:
    alpha = translucent()
    encoded = file(Image.fromarray(np.dstack([SOURCE, alpha])), "PNG")
    answer = upscaled(encoded, output_format=pb.IMAGE_FORMAT_RAW)
    expected = expected_of(SOURCE, model="bicubic", scale="2.5", mask=alpha > 0).mask
    np.testing.assert_array_equal(raw_mask(answer.raw), expected)


def test_upscale_answers_a_mask_by_alpha_of_a_file() -> None:
    mask = translucent() > 0
    answer = upscaled(raw(SOURCE, mask), output_format=pb.IMAGE_FORMAT_PNG)
    expected = expected_of(SOURCE, model="bicubic", scale="2.5", mask=mask).mask
    np.testing.assert_array_equal(np.asarray(opened(answer.encoded))[..., 3], np.where(expected, 255, 0))


def test_upscale_answers_opaque_alpha_by_a_jpeg() -> None:
    opaque = np.dstack([SOURCE, np.full(SOURCE.shape[:2], 255, np.uint8)])
    assert upscaled(file(Image.fromarray(opaque), "PNG"), output_format=pb.IMAGE_FORMAT_JPEG).encoded


@pytest.mark.parametrize("kind", FORMATS)
def test_upscale_keeps_the_colour_profile(kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    answer = upscaled(file(Image.fromarray(SOURCE), kind, icc_profile=profile))
    assert opened(answer.encoded).info["icc_profile"] == profile


def test_upscale_applies_the_orientation_once() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    encoded = file(Image.fromarray(SOURCE), "PNG", exif=exif)
    found = opened(upscaled(encoded).encoded)
    kept = found.getexif()
    assert (found.size, kept.get(0x0112), kept.get(0x010F)) == ((75, 100), None, "A camera")


def test_upscale_keeps_the_georeference() -> None:
    transform = Affine(0.5, 0.25, 300_000.0, 0.125, -0.5, 5_000_000.0)
    with MemoryFile() as memory:
        profile = {"driver": "GTiff", "height": 30, "width": 40, "count": 3, "dtype": "uint8"}
        with memory.open(**profile, crs=rasterio.CRS.from_epsg(32633), transform=transform) as made:
            made.write(SOURCE.transpose(2, 0, 1))
        encoded = upscaled(memory.read()).encoded
    with MemoryFile(encoded) as memory, memory.open() as found:
        assert (found.crs.to_epsg(), found.transform) == (32633, transform @ Affine.scale(1 / 2.5))


def refused(message: pb.UpscaleRequest, **settings: Any) -> Refusal:
    """How a gateway of its own turns a request down."""
    found = []

    async def test() -> None:
        async with running(FakeBackend(), image_workers=1, **settings) as client:
            found.append(await refusal(client.upscale.Upscale(message)))

    run(test())
    return found[0]


@pytest.mark.parametrize("image", [raw(SOURCE), file(Image.fromarray(SOURCE), "PNG")], ids=["raw", "file"])
@pytest.mark.parametrize("options", [{"quality": 7}, {"lossless": True}], ids=["quality", "lossless"])
def test_upscale_refuses_encoding_options_for_pixels(image: pb.RawImage | bytes, options: dict[str, Any]) -> None:
    found = refused(request(image, output_format=pb.IMAGE_FORMAT_RAW, encoding=options))
    assert (found.reason, found.field) == ("OUTPUT_UNSUPPORTED", "encoding")


def test_upscale_refuses_a_file_that_is_larger_than_its_pixels_and_than_a_message() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = profile + np.random.default_rng(0).bytes(MIB)
    found = refused(request(file(Image.fromarray(SOURCE), "PNG", icc_profile=padded)), max_message_bytes=MIB + 2**15)
    assert (found.reason, found.field) == ("IMAGE_TOO_LARGE", "output_format")


def test_upscale_counts_alpha_before_the_work() -> None:
    opaque = scene((60, 80))  # at scale 8, three bands and a mask take 0.92 MiB, four take 1.2
    message = request(file(Image.fromarray(np.dstack([opaque, opaque[..., 0]])), "PNG"), scale="8")
    found = refused(message, max_message_bytes=MIB)
    assert (found.reason, found.field) == ("IMAGE_TOO_LARGE", "image")


@pytest.mark.parametrize("name", ["raw", "file"])
def test_upscale_names_a_reference_that_is_too_large(name: str) -> None:
    large = np.zeros((300, 300, 3), np.uint8)
    reference = raw(large) if name == "raw" else file(Image.fromarray(large), "PNG")
    found = refused(request(raw(SOURCE), scale="2", reference=reference), max_target_px=300 * 299)
    assert (found.reason, found.field) == ("IMAGE_TOO_LARGE", "reference")
