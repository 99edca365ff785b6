"""PlanUpscale: tiles that partition the target, and a name for the whole plan."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import THREE_WINDOWS, raw, request, run, running, scene

from hndsr.v1 import upscale_pb2 as pb
from hndsr_ensemble.geometry import Span
from hndsr_gateway.caller import Caller, Quotas, called_by
from hndsr_gateway.errors import PlanIncompatibleError
from hndsr_gateway.planning import make_plan, tile_bytes
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, Parameters, Plan

HNDSR, BICUBIC = asyncio.run(FakeBackend().describe())
SCALES = st.fractions(min_value="1.5", max_value=8, max_denominator=1000)
SIDES = st.integers(1, 20_000)
TILE_TIMES_S = st.sampled_from([1e-6, 0.04, 0.5, 2.0, 1e9])
TINY_TILES = {"stream_tile_time_s": 1e-6}
"""Settings that make every core a tile of its own."""


def plan_request(size: tuple[int, int] = (170, 300), **parameters: Any) -> pb.PlanUpscaleRequest:
    chosen = pb.UpscaleParameters(**{"model": "bicubic", **parameters})
    return pb.PlanUpscaleRequest(source_height_px=size[0], source_width_px=size[1], parameters=chosen)


def planned(
    message: pb.PlanUpscaleRequest, backend: FakeBackend | None = None, **settings: Any
) -> pb.PlanUpscaleResponse:
    """The answer of a gateway of its own."""
    answers = []

    async def test() -> None:
        async with running(backend or FakeBackend(), **settings) as client:
            answers.append(await client.upscale.PlanUpscale(message))

    run(test())
    return answers[0]


def ends_meet(pieces: Sequence[tuple[int, int]], length: int) -> bool:
    """Whether half-open pieces, none of them empty, cover 0 … length in order and once."""
    starts, stops = zip(*pieces, strict=True)
    return (*starts, length) == (0, *stops) and all(start < stop for start, stop in pieces)


@given(size=st.tuples(SIDES, SIDES), scale=SCALES, tile_time_s=TILE_TIMES_S)
@settings(max_examples=50, deadline=None)
def test_plan_spans_partition_the_target(size: tuple[int, int], scale: Any, tile_time_s: float) -> None:
    plan = make_plan(size, Parameters(scale=str(scale)), BICUBIC, Settings(tile_time_s=tile_time_s))
    for spans, length in zip((plan.row_spans, plan.column_spans), plan.target, strict=True):
        assert ends_meet([(span.target_start, span.target_stop) for span in spans], length)


@given(size=st.tuples(SIDES, SIDES), scale=SCALES, tile_time_s=TILE_TIMES_S)
@settings(max_examples=50, deadline=None)
def test_plan_spans_partition_the_cores(size: tuple[int, int], scale: Any, tile_time_s: float) -> None:
    plan = make_plan(size, Parameters(scale=str(scale)), BICUBIC, Settings(tile_time_s=tile_time_s))
    for spans in (plan.row_spans, plan.column_spans):
        assert ends_meet([(span.core_start, span.core_stop) for span in spans], spans[-1].core_stop)


@given(size=st.tuples(SIDES, SIDES), scale=SCALES, tile_time_s=TILE_TIMES_S)
@settings(max_examples=50, deadline=None)
def test_plan_spans_take_source_of_the_image_only(size: tuple[int, int], scale: Any, tile_time_s: float) -> None:
    plan = make_plan(size, Parameters(scale=str(scale)), BICUBIC, Settings(tile_time_s=tile_time_s))
    for spans, length in zip((plan.row_spans, plan.column_spans), plan.source, strict=True):
        assert all(0 <= span.source_start < span.source_stop <= length for span in spans)


def test_plan_answers_the_spans_it_was_made_of() -> None:
    answer = planned(plan_request(), **TINY_TILES).plan
    plan = make_plan((170, 300), Parameters(), BICUBIC, Settings(), tile_time_s=1e-6)
    assert [span_of(span) for span in answer.row_spans] == list(plan.row_spans)
    assert [span_of(span) for span in answer.column_spans] == list(plan.column_spans)


def span_of(message: pb.Span) -> Span:
    return Span(
        message.core_start,
        message.core_stop,
        message.source_start_px,
        message.source_stop_px,
        message.target_start_px,
        message.target_stop_px,
    )


@pytest.mark.parametrize(
    ("times_s", "tiles"),
    [({"tile_time_s": 1e-6}, [1, 3]), ({"stream_tile_time_s": 1e-6}, [3, 1])],
    ids=["short-in-upscale", "short-in-plans"],
)
def test_plan_has_a_tile_time_of_its_own(times_s: dict[str, float], tiles: list[int]) -> None:
    found = []

    async def test() -> None:
        async with running(FakeBackend(), **times_s) as client:
            plan = (await client.upscale.PlanUpscale(plan_request(THREE_WINDOWS))).plan
            answer = await client.upscale.Upscale(request(raw(scene(THREE_WINDOWS))))
            found.extend((len(plan.row_spans) * len(plan.column_spans), answer.metadata.tiles))

    run(test())
    assert found == tiles


def test_plan_cuts_into_tiles_of_the_size_that_the_operator_chose() -> None:
    plan = planned(plan_request((1000, 1000)), cores_per_tile=5).plan
    assert (plan.cores_per_tile, [span.core_stop - span.core_start for span in plan.row_spans]) == (5, [5, 5, 5, 3])


def test_plan_follows_the_caller_rather_than_the_operator() -> None:
    request = plan_request((1000, 1000))
    request.cores_per_tile = 9
    assert planned(request, cores_per_tile=5).plan.cores_per_tile == 9


def test_plan_of_a_model_takes_the_options_that_the_operator_chose() -> None:
    options = planned(plan_request(model="hndsr"), default_steps=7, default_texture=0.5).plan.options
    assert (options.steps, options.texture) == (7, 0.5)


def test_plan_takes_the_options_of_the_caller_before_those_of_the_operator() -> None:
    chosen = plan_request(model="hndsr", options=pb.UpscaleOptions(steps=2))
    options = planned(chosen, default_steps=7, default_texture=0.5).plan.options
    assert (options.steps, options.texture) == (2, 0.5)


@pytest.mark.parametrize(
    ("size", "scale", "target"),
    [((170, 300), "4", (680, 1200)), ((1, 3), "1.5", (2, 5)), ((7, 7), "22/7", (22, 22)), ((7, 9), "3.14", (22, 28))],
)
def test_plan_says_the_size_of_the_target(size: tuple[int, int], scale: str, target: tuple[int, int]) -> None:
    plan = planned(plan_request(size, scale=scale)).plan
    assert (plan.target_height_px, plan.target_width_px) == target


@pytest.mark.parametrize(("written", "reduced"), [("", (4, 1)), ("2.50", (5, 2)), ("22/7", (22, 7)), (" 8 ", (8, 1))])
def test_plan_says_the_scale_as_reduced(written: str, reduced: tuple[int, int]) -> None:
    plan = planned(plan_request(scale=written)).plan
    assert (plan.scale_numerator, plan.scale_denominator) == reduced


def test_plan_repeats_the_source_size() -> None:
    plan = planned(plan_request()).plan
    assert (plan.source_height_px, plan.source_width_px) == (170, 300)


def test_plan_says_model_and_revision() -> None:
    plan = planned(plan_request(), FakeBackend(revision="revision-2")).plan
    assert (plan.model, plan.revision) == ("bicubic", "revision-2")


def test_plan_of_an_image_over_the_unary_limits_is_made() -> None:
    plan = planned(plan_request((50_000, 40_000)), max_source_px=1, max_target_px=1).plan
    assert plan.target_height_px == 200_000


@pytest.mark.parametrize(("tile_time_s", "tiles"), [(1e-6, 18), (0.04, 6), (0.09, 2), (1e9, 1)])
def test_plan_sizes_tiles_to_their_time(tile_time_s: float, tiles: int) -> None:
    plan = planned(plan_request(), stream_tile_time_s=tile_time_s).plan
    assert len(plan.row_spans) * len(plan.column_spans) == tiles


def test_plan_tiles_are_at_most_16_cores_wide() -> None:
    plan = planned(plan_request((1, 10_000)), stream_tile_time_s=1e9).plan
    assert {span.core_stop - span.core_start for span in plan.column_spans[:-1]} == {16}


def plan_within(limit_bytes: int, *, cores: int = 0) -> Plan:
    """A plan of tiles that are small enough, and as large as that allows."""
    chosen = Settings(stream_bytes=limit_bytes)
    return make_plan((900, 900), Parameters(), BICUBIC, chosen, sample_type="uint16", cores=cores, tile_time_s=1e9)


@pytest.mark.parametrize(("limit_bytes", "cores"), [(2**20, 1), (10 * 2**20, 4), (2**28, 16)])
def test_plan_makes_tiles_small_enough_for_the_bytes_of_a_stream(limit_bytes: int, cores: int) -> None:
    assert plan_within(limit_bytes).cores_per_tile == cores


@pytest.mark.parametrize("cores", [5, 16, 17, 2**32 - 1])
def test_plan_is_refused_when_its_tiles_are_too_large_for_the_bytes_of_a_stream(cores: int) -> None:
    with pytest.raises(PlanIncompatibleError, match=rf"{cores} cores .* is 4 \(HNDSR_STREAM_BYTES, "):
        plan_within(10 * 2**20, cores=cores)


def test_plan_is_made_when_its_tiles_are_as_large_as_the_bytes_of_a_stream_allow() -> None:
    assert plan_within(10 * 2**20, cores=4).cores_per_tile == 4


def plan_for(target_px_per_hour: int, **settings: Any) -> Plan:
    """A plan that somebody with this quota gets, whose tiles could have 16 cores."""
    with called_by(Caller(quotas=Quotas(target_px_per_hour=target_px_per_hour))):
        return make_plan((2000, 2000), Parameters(scale="4"), BICUBIC, Settings(**settings), tile_time_s=1e9)


SIX_CORES_PX = (6 * 224 + 32) ** 2
"""Of a tile's target, if it is at the image's corner."""


@pytest.mark.parametrize(("quota_px", "cores"), [(0, 16), (1, 1), (4 * SIX_CORES_PX - 1, 5), (4 * SIX_CORES_PX, 6)])
def test_plan_makes_tiles_of_a_quarter_of_what_its_caller_may_have_in_an_hour(quota_px: int, cores: int) -> None:
    assert plan_for(quota_px).cores_per_tile == cores


def test_plan_heeds_its_callers_quota_also_where_the_operator_says_how_large_tiles_are() -> None:
    assert plan_for(4 * SIX_CORES_PX, cores_per_tile=16).cores_per_tile == 6


def test_plan_has_the_cores_that_its_caller_asks_for_whatever_the_quota() -> None:
    with called_by(Caller(quotas=Quotas(target_px_per_hour=1))):
        assert plan_within(2**28, cores=7).cores_per_tile == 7


@given(
    size=st.tuples(SIDES, SIDES),
    scale=SCALES,
    cores=st.integers(1, 16),
    model=st.sampled_from([BICUBIC, HNDSR]),
    sample_type=st.sampled_from(["", "uint8", "uint16"]),
)
@settings(max_examples=100, deadline=None)
def test_tile_bytes_are_not_exceeded_by_any_tile(
    size: tuple[int, int], scale: Any, cores: int, model: ModelDescription, sample_type: str
) -> None:
    chosen = Settings(stream_bytes=2**40)
    plan = make_plan(size, Parameters(scale=str(scale)), model, chosen, sample_type=sample_type, cores=cores)
    samples = 7 if sample_type != "uint8" else 4
    largest = sum(max(sides[0]) * max(sides[1]) for sides in zip(*map(sides_px, plan_spans(plan)), strict=True))
    assert samples * largest <= tile_bytes(plan.axes(model.manifest.geometry), sample_type, cores)


def plan_spans(plan: Plan) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    return plan.row_spans, plan.column_spans


def sides_px(spans: Sequence[Span]) -> tuple[list[int], list[int]]:
    """Of sources and of targets."""
    sources = [span.source_stop - span.source_start for span in spans]
    return sources, [span.target_stop - span.target_start for span in spans]


def test_plan_digest_is_the_same_every_time() -> None:
    assert planned(plan_request()).plan.digest == planned(plan_request()).plan.digest


def test_plan_digest_does_not_depend_on_how_the_scale_is_written() -> None:
    assert planned(plan_request(scale="5/2")).plan.digest == planned(plan_request(scale="2.50")).plan.digest


def test_plan_digest_changes_with_every_field() -> None:
    plans: dict[str, Plan] = {
        "as it is": plan_of(),
        "height": plan_of(size=(171, 300)),
        "width": plan_of(size=(170, 301)),
        "scale": plan_of(scale="4.01"),
        "tiles": plan_of(tile_time_s=1e-6),
        "revision": plan_of(model=describe(revision="revision-2")),
        "model": plan_of(model=describe(models=("hndsr",))),
    }
    equal = [pair for pair in itertools.combinations(plans, 2) if plans[pair[0]].digest == plans[pair[1]].digest]
    assert equal == []


def plan_of(
    *,
    size: tuple[int, int] = (170, 300),
    scale: str = "4",
    tile_time_s: float = 2.0,
    model: ModelDescription = BICUBIC,
) -> Plan:
    return make_plan(size, Parameters(scale=scale), model, Settings(tile_time_s=tile_time_s))


def describe(**backend: Any) -> ModelDescription:
    return asyncio.run(FakeBackend(**{"models": ("bicubic",), **backend}).describe())[0]


def test_plan_is_made_when_the_required_revision_is_served() -> None:
    assert planned(plan_request(required_revision="revision-1")).plan.revision == "revision-1"


def test_plan_counts_windows_once() -> None:
    assert planned(plan_request(), **TINY_TILES).windows == 3 * 6


@pytest.mark.parametrize(
    ("model", "options", "window_s"),
    [
        pytest.param("bicubic", {"steps": 10}, 0.01, id="no-network"),
        pytest.param("hndsr", {}, 0.01 + 4 * 0.02, id="default-steps"),
        pytest.param("hndsr", {"steps": 10}, 0.01 + 10 * 0.02, id="steps"),
        pytest.param("hndsr", {"steps": 10, "texture": 0.0}, 0.01, id="nothing-drawn"),
    ],
)
def test_plan_estimates_the_time_of_its_windows(model: str, options: dict[str, float], window_s: float) -> None:
    answer = planned(plan_request(model=model, options=pb.UpscaleOptions(**options)))
    assert answer.estimated_time.ToTimedelta().total_seconds() == pytest.approx(18 * window_s)


def handed_back(cores: int = 0, **changes: Any) -> pb.PlanUpscaleRequest:
    """A request for a plan with a given cut."""
    message = plan_request(**changes)
    message.cores_per_tile = cores
    return message


def test_plan_handed_back_is_the_same_job_on_a_server_of_another_speed() -> None:
    plan = planned(handed_back(), **TINY_TILES).plan
    assert planned(handed_back(plan.cores_per_tile), stream_tile_time_s=1e6).plan == plan


def test_plan_of_another_cut_has_another_digest() -> None:
    assert planned(handed_back(1)).plan.digest != planned(handed_back(2)).plan.digest


@pytest.mark.parametrize("options", [{"seed": 1}, {"steps": 1}, {"texture": 0.5}])
def test_plan_of_other_options_has_another_digest(options: dict[str, Any]) -> None:
    other = planned(handed_back(1, model="hndsr", options=pb.UpscaleOptions(**options)), FakeBackend()).plan
    assert other.digest != planned(handed_back(1, model="hndsr"), FakeBackend()).plan.digest


def test_plan_of_another_sample_type_has_another_digest() -> None:
    sixteen = handed_back(1)
    sixteen.sample_type = pb.SAMPLE_TYPE_UINT16
    assert planned(sixteen).plan.digest != planned(handed_back(1)).plan.digest
