"""Figures on request: of a result beside bicubic's, and of any two images."""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend
from in_process import Refusal, content, png, raw, refusal, request, run, running, scene
from oracle import upscale as expected_of
from skimage.metrics import structural_similarity

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.evaluation import metrics
from hndsr_gateway import quality
from hndsr_gateway.errors import ReferenceMismatchError
from hndsr_gateway.fair_gate import Ticket
from hndsr_gateway.jobs import Quality
from hndsr_gateway.types import Raster

SOURCE, TRUTH = scene((30, 40)), scene((60, 80), seed=1)
RESULT = expected_of(SOURCE, model="bicubic", scale="2").pixels


def answered(call: Any) -> Any:
    """What a gateway of its own answers to `call(client)`."""
    answers = []

    async def test() -> None:
        async with running(FakeBackend()) as client:
            answers.append(await call(client))

    run(test())
    return answers[0]


def upscaled(reference: pb.RawImage | bytes | None, **choices: Any) -> pb.UpscaleResponse:
    message = request(raw(SOURCE), scale="2", reference=reference, **choices)
    return answered(lambda client: client.upscale.Upscale(message))


def compared(image: pb.RawImage | bytes, reference: pb.RawImage | bytes) -> pb.CompareResponse:
    message = pb.CompareRequest(image=pb.Image(**content(image)), reference=pb.Image(**content(reference)))
    return answered(lambda client: client.upscale.Compare(message))


@pytest.mark.parametrize("reference", [raw(TRUTH), png(TRUTH)], ids=["raw", "file"])
def test_upscale_says_how_close_it_comes_to_a_reference(reference: pb.RawImage | bytes) -> None:
    result = upscaled(reference, model="hndsr").quality.result
    assert (result.psnr_db, result.ssim) == (metrics.psnr(RESULT, TRUTH), metrics.ssim(RESULT, TRUTH))


def test_upscale_says_how_close_bicubic_comes() -> None:
    bicubic = upscaled(raw(TRUTH), model="hndsr").quality.bicubic
    assert (bicubic.psnr_db, bicubic.ssim) == (metrics.psnr(RESULT, TRUTH), metrics.ssim(RESULT, TRUTH))


def test_upscale_says_which_border_was_cut() -> None:
    assert upscaled(raw(TRUTH)).quality.border_px == metrics.BORDER_PX


def test_upscale_measures_nothing_without_a_reference() -> None:
    assert not upscaled(None).HasField("quality")


def test_upscale_with_a_reference_needs_the_model_bicubic() -> None:
    async def test() -> None:
        async with running(FakeBackend(models=("hndsr",))) as client:
            found: Refusal = await refusal(
                client.upscale.Upscale(request(raw(SOURCE), scale="2", model="hndsr", reference=raw(TRUTH)))
            )
            assert (found.reason, "bicubic" in found.text) == ("MODEL_NOT_FOUND", True)

    run(test())


def test_compare_measures_two_images() -> None:
    found = compared(png(RESULT), raw(TRUTH)).quality
    assert (found.psnr_db, found.ssim) == (metrics.psnr(RESULT, TRUTH), metrics.ssim(RESULT, TRUTH))


def test_compare_says_the_size() -> None:
    answer = compared(raw(RESULT), raw(TRUTH))
    assert (answer.height_px, answer.width_px, answer.border_px) == (60, 80, metrics.BORDER_PX)


def test_compare_of_equal_images_is_infinite() -> None:
    found = compared(raw(TRUTH), png(TRUTH)).quality
    assert (found.psnr_db, found.ssim) == (math.inf, 1.0)


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (pb.CompareRequest(), "EMPTY_IMAGE", "image"),
        (pb.CompareRequest(image=pb.Image(raw=raw(TRUTH))), "EMPTY_IMAGE", "reference"),
        (
            pb.CompareRequest(image=pb.Image(raw=raw(TRUTH)), reference=pb.Image(raw=raw(SOURCE))),
            *("REFERENCE_MISMATCH", "reference"),
        ),
        (
            pb.CompareRequest(image=pb.Image(encoded=b"GIF89a"), reference=pb.Image(raw=raw(SOURCE))),
            *("UNSUPPORTED_FORMAT", "image"),
        ),
        (
            pb.CompareRequest(image=pb.Image(raw=raw(TRUTH[:8])), reference=pb.Image(raw=raw(TRUTH[:8]))),
            *("REFERENCE_MISMATCH", "reference"),
        ),
    ],
    ids=["nothing", "no-reference", "other-size", "no-image", "within-the-border"],
)
def test_compare_refuses_what_cannot_be_compared(message: pb.CompareRequest, reason: str, field: str) -> None:
    found = answered(lambda client: refusal(client.upscale.Compare(message)))
    assert (found.reason, found.field) == (reason, field)


def measure(image: Raster, reference: Raster) -> Quality:
    """The figures of two images."""
    return asyncio.run(
        quality.measure(image, reference, data_range=255.0, pause=lambda: asyncio.sleep(0), working=nullcontext)
    )


def masked(rows: slice) -> Raster:
    mask = np.ones(TRUTH.shape[:2], dtype=bool)
    mask[rows] = False
    return Raster(TRUTH, mask)


def test_measure_counts_pixels_that_are_valid_in_both() -> None:
    image = RESULT.copy()
    image[20:] = TRUTH[20:]
    found = measure(Raster(image), masked(slice(0, 20)))
    assert (found.psnr_db, found.ssim) == (math.inf, None)


def test_measure_knows_no_ssim_of_images_under_its_window() -> None:
    assert measure(Raster(TRUTH[:18]), Raster(TRUTH[:18])).ssim is None


def test_measure_refuses_images_without_a_common_valid_pixel() -> None:
    with pytest.raises(ReferenceMismatchError, match="valid in both"):
        measure(masked(slice(0, 30)), masked(slice(30, 60)))


def test_measure_takes_masks_that_only_touch_the_border_for_none() -> None:
    assert measure(masked(slice(0, 4)), Raster(TRUTH)).ssim == 1.0


def test_measuring_counts_as_work_without_its_pauses() -> None:
    image, ticket, worked = Raster(scene((600, 600))), Ticket(0, 0.0), list[bool]()

    async def pause() -> None:
        worked.append(bool(ticket.running))

    async def test() -> None:
        await quality.measure(image, image, data_range=255.0, pause=pause, working=ticket.working)

    run(test())
    assert ticket.worked_s > 0
    assert not any(worked)
    assert ticket.done_s == pytest.approx(quality.measuring_time_s((600, 600)))


def test_measuring_stops_where_nobody_waits_for_it() -> None:
    image, blocks = Raster(scene((600, 600))), []

    async def give_up() -> None:
        blocks.append(1)
        raise asyncio.CancelledError

    async def test() -> None:
        with pytest.raises(asyncio.CancelledError):
            await quality.measure(image, image, data_range=255.0, pause=give_up, working=nullcontext)

    run(test())
    assert blocks == [1]


SOURCE_16, TRUTH_16 = scene((30, 40), "uint16") // 20, scene((60, 80), "uint16", seed=1) // 20
REFLECTANCE = 3276.0


def test_upscale_measures_against_the_widest_value_range() -> None:
    ranges = [pb.ValueRange(minimum=0, maximum=maximum) for maximum in (1000, REFLECTANCE, 2000)]
    message = request(raw(SOURCE_16), scale="2", reference=raw(TRUTH_16), value_ranges=ranges)
    report = answered(lambda client: client.upscale.Upscale(message)).quality
    assert (report.result.data_range, report.bicubic.data_range) == (REFLECTANCE, REFLECTANCE)


def test_compare_measures_against_the_span_that_is_asked_for() -> None:
    image, reference = pb.Image(raw=raw(TRUTH_16)), pb.Image(raw=raw(TRUTH_16 // 2))
    message = pb.CompareRequest(image=image, reference=reference, data_range=REFLECTANCE)
    found = answered(lambda client: client.upscale.Compare(message)).quality
    inner = np.s_[4:-4, 4:-4]
    error = np.mean((TRUTH_16[inner].astype(float) - (TRUTH_16 // 2)[inner]) ** 2)
    expected_ssim = structural_similarity(
        *(TRUTH_16[inner] // 2, TRUTH_16[inner]),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
        data_range=REFLECTANCE,
    )
    assert found.psnr_db == pytest.approx(10 * math.log10(REFLECTANCE**2 / error))
    assert found.ssim == pytest.approx(expected_ssim)


@pytest.mark.parametrize("data_range", [-1.0, 256.0, math.nan, math.inf])
def test_compare_refuses_a_span_that_the_samples_cannot_have(data_range: float) -> None:
    image = pb.Image(raw=raw(TRUTH))
    message = pb.CompareRequest(image=image, reference=image, data_range=data_range)
    found = answered(lambda client: refusal(client.upscale.Compare(message)))
    assert (found.reason, found.field) == ("OPTION_OUT_OF_RANGE", "data_range")
