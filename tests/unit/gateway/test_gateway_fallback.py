"""Lesser answers: who gets them, what they are, and that they say so."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fakes import FakeBackend
from in_process import TINY_TILES, Client, png, raw, read_png, refusal, request, run, running, scene
from messages import raw_mask, raw_pixels
from oracle import upscale as expected_of

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.interpolation import interpolating_tiler
from hndsr_ensemble.manifest import Manifest, model_repository, read_manifests
from hndsr_ensemble.tiling import Tiler
from hndsr_gateway import fallback, interpolating
from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import BackendMismatchError, NotFiniteError, RequestTimeoutError, UnavailableError
from hndsr_gateway.fallback import Fallbacks
from hndsr_gateway.jobs import UpscaleRequest
from hndsr_gateway.settings import Settings
from hndsr_gateway.tiles import TileQueue
from hndsr_gateway.types import Raster, TileRequest, TileResponse
from hndsr_gateway.upscaling import RasterUpscaler

STEPS = {"steps": 4, "texture": 0.5, "seed": 7}


class DyingBackend(FakeBackend):
    """One that fails at its first tile, and is gone from then on."""

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:
        """None, once a tile has failed."""
        return () if "failed" in self.outcomes() else super().endpoints(model, revision)

    async def _upscale(self, tile: TileRequest, number: int) -> TileResponse:
        raise UnavailableError


def drawn(image: Any, *, allow: bool = True, **options: Any) -> pb.UpscaleRequest:
    """A request of `hndsr` in four steps, whose caller takes a lesser answer."""
    message = request(image, **{"model": "hndsr", "options": STEPS, **options})
    message.allow_degraded = allow
    return message


def answered(backend: FakeBackend, message: pb.UpscaleRequest, **settings: Any) -> pb.UpscaleResponse:
    """The answer of a gateway of its own."""
    answers = []

    async def test() -> None:
        async with running(backend, **settings) as client:
            answers.append(await client.upscale.Upscale(message))

    run(test())
    return answers[0]


async def nothing_served(backend: FakeBackend) -> None:
    """Return when the gateway, which asks often, knows that nothing is served."""
    backend.describe_error = UnavailableError()
    asked = backend.descriptions
    await backend.until(lambda: backend.descriptions > asked + 1)


def own_revision() -> str:
    """The revision of `bicubic` in this process."""
    repository = model_repository()
    return interpolating_tiler(repository, read_manifests(repository)["bicubic"]).revision


@pytest.mark.parametrize("error", [UnavailableError(), NotFiniteError(), BackendMismatchError()])
def test_upscale_answers_the_prior_when_drawing_fails(error: Exception) -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = error
    metadata = answered(backend, drawn(raw(scene((9, 9))))).metadata
    assert (metadata.model, metadata.options.steps, metadata.options.seed) == ("hndsr", 0, 7)


def test_answer_says_what_it_is_less_than_and_why() -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = NotFiniteError()
    degraded = answered(backend, drawn(raw(scene((9, 9))))).metadata.degraded
    said = (degraded.reason, degraded.message, degraded.model)
    assert said == ("NOT_FINITE", str(NotFiniteError()), "hndsr")
    assert degraded.options == pb.UpscaleOptions(**STEPS)


def test_answer_that_is_as_asked_for_is_not_degraded() -> None:
    assert not answered(FakeBackend(), drawn(raw(scene((9, 9))))).metadata.HasField("degraded")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("scale", ["1.5", "22/7", "4"])
def test_upscale_answers_the_bytes_of_bicubic_when_triton_is_gone(dtype: str, scale: str) -> None:
    source = scene((37, 161), dtype)
    answer = answered(DyingBackend(), drawn(raw(source), scale=scale), **TINY_TILES)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected_of(source, model="bicubic", scale=scale).pixels)


def test_bicubic_keeps_mask_and_value_ranges_when_triton_is_gone() -> None:
    source, mask = scene((20, 30)), np.ones((20, 30), dtype=bool)
    mask[:7, 11:] = False
    ranges = np.array([[10.0, 200.0], [0.0, 255.0], [90.0, 91.5]])
    bands = [pb.ValueRange(minimum=low, maximum=high) for low, high in ranges]
    answer = answered(DyingBackend(), drawn(raw(source, mask), value_ranges=bands))
    expected = expected_of(source, model="bicubic", scale="4", mask=mask, ranges=ranges)
    np.testing.assert_array_equal(raw_pixels(answer.raw), expected.pixels)
    np.testing.assert_array_equal(raw_mask(answer.raw), expected.mask)


def test_bicubic_of_the_gateway_says_its_own_revision_and_engine() -> None:
    metadata = answered(DyingBackend(), drawn(raw(scene((9, 9))))).metadata
    assert (metadata.model, metadata.revision, metadata.device) == ("bicubic", own_revision(), "cpu")
    assert metadata.engine == f"numpy {np.__version__}"


def test_prior_is_not_waited_for_where_no_endpoint_is_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hndsr_gateway.fallback"):
        answered(DyingBackend(), drawn(raw(scene((9, 9)))))
    (tried,) = [record.message for record in caplog.records if record.name == "hndsr_gateway.fallback"]
    assert "trying bicubic here" in tried


def test_prior_is_not_tried_again_when_it_was_asked_for() -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = NotFiniteError()
    metadata = answered(backend, drawn(raw(scene((9, 9))), options={"steps": 0})).metadata
    assert (metadata.model, len(backend.calls)) == ("bicubic", 1)


def test_bicubic_answers_when_the_prior_fails_as_well() -> None:
    backend = FakeBackend()
    backend.tile_errors |= {0: NotFiniteError(), 1: UnavailableError()}
    metadata = answered(backend, drawn(raw(scene((9, 9))))).metadata
    assert (metadata.model, metadata.degraded.reason) == ("bicubic", "NOT_FINITE")


def test_file_is_answered_by_a_file_when_triton_is_gone() -> None:
    source = scene((20, 30))
    answer = answered(DyingBackend(), drawn(png(source)))
    np.testing.assert_array_equal(read_png(answer.encoded), expected_of(source, model="bicubic", scale="4").pixels)


def test_quality_of_bicubic_is_that_of_its_row_when_triton_is_gone() -> None:
    source = scene((20, 20))
    quality = answered(DyingBackend(), drawn(raw(source), reference=raw(scene((80, 80), seed=1)))).quality
    assert quality.result == quality.bicubic
    assert quality.result.psnr_db > 0


def test_upscale_answers_while_nothing_is_served() -> None:
    backend, source = FakeBackend(), scene((9, 9))

    async def test() -> None:
        async with running(backend, health_interval_s=0.01) as client:
            await nothing_served(backend)
            answer = await client.upscale.Upscale(drawn(raw(source), model="", scale=""))
        assert (answer.metadata.model, answer.metadata.degraded.model) == ("bicubic", "hndsr")
        np.testing.assert_array_equal(raw_pixels(answer.raw), expected_of(source, model="bicubic", scale="4").pixels)

    run(test())


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"allow": False}, "BACKEND_UNAVAILABLE"),
        ({"required_revision": "revision-1"}, "BACKEND_UNAVAILABLE"),
        ({"model": "swin"}, "MODEL_NOT_FOUND"),
        ({"options": {"steps": 101}}, "OPTION_OUT_OF_RANGE"),
        ({"scale": "9"}, "SCALE_OUT_OF_RANGE"),
        ({"value_ranges": [pb.ValueRange(minimum=1, maximum=0)] * 3}, "VALUE_RANGE_INVALID"),
    ],
)
def test_upscale_refuses_while_nothing_is_served(asked: dict[str, Any], reason: str) -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with running(backend, health_interval_s=0.01) as client:
            await nothing_served(backend)
            assert (await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9))), **asked)))).reason == reason

    run(test())


@pytest.mark.parametrize(
    ("asked", "settings"),
    [({"allow": False}, {}), ({"required_revision": "revision-1"}, {}), ({}, {"fallback": "off"})],
)
def test_error_stands_when_no_lesser_answer_is_wanted(asked: dict[str, Any], settings: dict[str, Any]) -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = NotFiniteError()

    async def test() -> None:
        async with running(backend, **settings) as client:
            assert (await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9))), **asked)))).reason == "NOT_FINITE"
        assert len(backend.calls) == 1

    run(test())


@pytest.mark.parametrize("error", [RequestTimeoutError(), KeyError("unforeseen")])
def test_error_stands_that_another_model_would_not_mend(error: Exception) -> None:
    backend = FakeBackend()
    backend.tile_errors[0] = error

    async def test() -> None:
        async with running(backend) as client:
            await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9))))))
        assert len(backend.calls) == 1

    run(test())


@pytest.mark.parametrize(("window_s", "model"), [(1.0, "hndsr"), (1000.0, "bicubic")])
def test_upscale_answers_what_can_be_done_before_the_deadline(window_s: float, model: str) -> None:
    backend = FakeBackend(window_s=window_s, step_s=1000.0)

    async def test() -> None:
        async with running(backend, max_inflight_tiles=2) as client:
            backend.hold()
            waiting = asyncio.ensure_future(client.upscale.Upscale(request(raw(scene((9, 9))))))
            await backend.started(1)
            late = asyncio.ensure_future(client.upscale.Upscale(drawn(raw(scene((9, 9), seed=1))), timeout=50))
            if model == "hndsr":
                await backend.started(2)
                backend.release()
            metadata = (await late).metadata
            assert (metadata.model, metadata.options.steps, metadata.degraded.reason) == (model, 0, "OVERLOADED")
            backend.release()
            await waiting

    run(test())


def test_first_error_stands_when_all_ways_fail(tmp_path: Path) -> None:
    backend = FakeBackend()
    backend.tile_errors |= {0: NotFiniteError(), 1: UnavailableError()}

    async def test() -> None:
        async with running(backend, model_repository=str(tmp_path)) as client:
            assert (await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9))))))).reason == "NOT_FINITE"

    run(test())


def test_interpolation_is_probed_once_for_all_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    probes: list[Path] = []

    def counted(repository: Path, manifest: Manifest) -> Tiler:
        probes.append(repository)
        return interpolating_tiler(repository, manifest)

    async def test() -> None:
        backend, settings = FakeBackend(), Settings()
        catalogue = Catalogue(backend, default_model="hndsr")
        await catalogue.refresh()
        catalogue.forget()
        upscaler = RasterUpscaler(TileQueue(backend, settings), catalogue, settings)
        fallbacks = Fallbacks(upscaler, backend, catalogue, settings)
        asked = UpscaleRequest(Raster(scene((9, 9))), allow_degraded=True)
        await asyncio.gather(*(fallbacks.first(asked) for _ in range(6)))

    monkeypatch.setattr(interpolating, "interpolating_tiler", counted)
    run(test())
    assert len(probes) == 1


def test_interpolation_that_failed_is_left_alone_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running(DyingBackend(), model_repository=str(tmp_path)) as client:
            for _ in range(2):
                calls = [client.upscale.Upscale(drawn(raw(scene((9, 9))))) for _ in range(3)]
                await asyncio.gather(*(refusal(call) for call in calls))

    with caplog.at_level(logging.WARNING, logger="hndsr_gateway.interpolating"):
        run(test())
    assert len([record for record in caplog.records if record.name == "hndsr_gateway.interpolating"]) == 1


def test_interpolation_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with running(DyingBackend(), model_repository=str(tmp_path / "models")) as client:
            await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9))))))
            (tmp_path / "models").symlink_to(model_repository())
            metadata = (await client.upscale.Upscale(drawn(raw(scene((9, 9)))))).metadata
        assert metadata.model == "bicubic"

    monkeypatch.setattr(fallback, "RETRY_S", 0.0)
    run(test())


def test_answer_as_asked_for_is_not_awaited_beyond_the_deadline() -> None:
    backend = FakeBackend()

    async def test() -> None:
        async with running(backend) as client:
            backend.hold()
            late = await refusal(client.upscale.Upscale(drawn(raw(scene((9, 9)))), timeout=0.2))
            assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED
            await backend.until(lambda: backend.outcomes() == ["cancelled"])

    run(test())


def test_answers_of_one_gateway_are_whole_again_when_triton_is_back() -> None:
    backend = FakeBackend()
    backend.tile_errors |= {0: NotFiniteError(), 1: NotFiniteError()}

    async def test() -> None:
        async with running(backend) as client:
            answers = [await client.upscale.Upscale(drawn(raw(scene((9, 9))))) for _ in range(2)]
        assert [answer.metadata.model for answer in answers] == ["bicubic", "hndsr"]

    run(test())


def test_many_callers_are_answered_at_once_when_triton_is_gone() -> None:
    sources = [scene((40, 40), seed=seed) for seed in range(6)]

    async def test() -> None:
        async with running(DyingBackend(), **TINY_TILES) as client:
            answers = await asyncio.gather(*(client.upscale.Upscale(drawn(raw(source))) for source in sources))
        for source, answer in zip(sources, answers, strict=True):
            expected = expected_of(source, model="bicubic", scale="4").pixels
            np.testing.assert_array_equal(raw_pixels(answer.raw), expected)

    run(test())


def test_log_line_of_a_call_says_that_it_was_degraded(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: Client) -> None:
        await client.upscale.Upscale(drawn(raw(scene((9, 9)))))

    async def both() -> None:
        async with running(DyingBackend()) as client:
            await test(client)

    with caplog.at_level(logging.INFO, logger="hndsr_gateway.access"):
        run(both())
    line = next(record for record in caplog.records if record.name == "hndsr_gateway.access")
    assert (line.degraded, line.model) == ("BACKEND_UNAVAILABLE", "bicubic")
