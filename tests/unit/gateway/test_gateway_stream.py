"""UpscaleStream: the same bytes as Upscale makes, however the image is cut, sent, interrupted and worked on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from fakes import FakeBackend
from fleet import FakeEndpoint, gateway_over
from hypothesis import given, settings
from hypothesis import strategies as st
from in_process import THREE_WINDOWS, Client, raw, request, run, running, scene
from messages import raw_mask, raw_pixels
from streams import Place, Stream, Target, start, strips, upscaled, work_off

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.errors import UnavailableError

SCALES = ["1.5", "2", "3.14", "22/7", "4", "5.5", "8"]
MOST_TARGET_PX = (900, 480)
"""Of the two sides: four windows and two."""
SOON_S = 0.01
RANGES = {"uint8": (20.0, 200.5), "uint16": (100.0, 3000.0)}


@dataclass(frozen=True)
class Job:
    """One image, all that decides its target, and how its streams go."""

    pixels: np.ndarray = field(repr=False)
    mask: np.ndarray | None = field(repr=False)
    parameters: dict[str, Any]
    cores: int
    order: list[int]
    """Of tiles, by their numbers modulo how many there are; the others follow."""
    rows: list[int]
    """Heights of strips; the n-th tile takes the n-th, over and over."""
    drops: list[int]
    """After how many answers each stream is cut off but for the last one."""
    endpoints: int
    failures: list[tuple[int, int]]
    """Endpoints, and which of their tiles fails there."""

    def source(self, plan: pb.Plan, place: Place) -> Iterable[pb.UpscaleStreamRequest]:
        """A tile in strips."""
        number = place[0] * len(plan.column_spans) + place[1]
        return strips(plan, place, self.pixels, self.mask, rows=self.rows[number % len(self.rows)])

    def todo(self, missing: list[Place]) -> list[Place]:
        """Tiles in the order in which they are sent, some of them perhaps twice."""
        first = [missing[number % len(missing)] for number in self.order] if missing else []
        return first + [place for place in missing if place not in first]


@st.composite
def masks(draw: st.DrawFn, size: tuple[int, int]) -> np.ndarray | None:
    """None, everything, nothing, random pixels, or all but a corner."""
    if draw(st.booleans()):
        return None
    mask = np.random.default_rng(draw(st.integers(0, 9))).random(size) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    mask[: draw(st.integers(0, size[0])), : draw(st.integers(0, size[1]))] ^= True
    return mask


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    scale, dtype = draw(st.sampled_from(SCALES)), draw(st.sampled_from(["uint8", "uint16"]))
    sides_px = [st.integers(1, int(most / Fraction(scale))) for most in MOST_TARGET_PX]
    size = tuple(draw(st.permutations([draw(side) for side in sides_px])))
    parameters: dict[str, Any] = {"scale": scale, "model": draw(st.sampled_from(["bicubic", "hndsr"]))}
    if draw(st.booleans()):
        low, high = RANGES[dtype]
        parameters["value_ranges"] = [pb.ValueRange(minimum=low + band, maximum=high) for band in range(3)]
    if parameters["model"] == "hndsr":
        parameters["options"] = pb.UpscaleOptions(steps=draw(st.integers(0, 5)), seed=draw(st.integers(0, 2**64 - 1)))
    endpoints = draw(st.integers(1, 3))
    return Job(
        pixels=scene(size, dtype, seed=draw(st.integers(0, 9))),
        mask=draw(masks(size)),
        parameters=parameters,
        cores=draw(st.integers(1, 4)),
        order=draw(st.lists(st.integers(0, 15), max_size=8)),
        rows=draw(st.lists(st.integers(1, 200), min_size=1, max_size=3)),
        drops=draw(st.lists(st.integers(0, 4), max_size=2)),
        endpoints=endpoints,
        failures=draw(st.lists(st.tuples(st.integers(0, endpoints - 1), st.integers(0, 6)), max_size=3)),
    )


def failing(job: Job) -> list[FakeEndpoint]:
    """Endpoints that fail as the job says."""
    endpoints = [FakeEndpoint() for _ in range(job.endpoints)]
    for number, tile in job.failures:
        endpoints[number].tile_errors[tile] = UnavailableError()
    return endpoints


async def streamed(client: Client, job: Job) -> Target:
    """The target of a job, by as many streams as it takes."""
    target = None
    cores, digest, parameters = job.cores, "", job.parameters
    for drop_after in [*job.drops, None]:
        stream = Stream(client, start(job.pixels, cores=cores, digest=digest, **parameters))
        plan = (await stream.open()).plan
        target = target or Target(plan, job.pixels.dtype)
        cores, digest = plan.cores_per_tile, plan.digest
        parameters = {**job.parameters, "required_revision": plan.revision}
        await work_off(stream, target, job.todo(target.missing()), job.source, drop_after=drop_after)
    return target


def digest_of(pixels: np.ndarray, mask: np.ndarray | None) -> str:
    """sha256 of a target and its mask, which is none where all is valid."""
    valid = b"" if mask is None or mask.all() else np.packbits(mask).tobytes()
    return hashlib.sha256(pixels.tobytes() + b"|" + valid).hexdigest()


@given(jobs())
@settings(max_examples=20, deadline=None)
def test_stream_makes_the_bytes_that_upscale_makes(job: Job) -> None:
    digests = []

    async def test() -> None:
        async with running(FakeBackend()) as client:
            whole = (await client.upscale.Upscale(request(raw(job.pixels, job.mask), **job.parameters))).raw
        digests.append(digest_of(raw_pixels(whole), raw_mask(whole)))
        async with gateway_over(failing(job), health_interval_s=SOON_S) as client:
            target = await streamed(client, job)
        digests.append(digest_of(target.pixels, target.mask))

    run(test())
    assert digests[0] == digests[1]


def answered(first: pb.UpscaleStreamRequest, **settings: Any) -> list[pb.UpscaleStreamResponse]:
    """All that a stream without a tile is answered."""
    answers = []

    async def test() -> None:
        async with running(FakeBackend(), **settings) as client:
            stream = Stream(client, first)
            answers.append(pb.UpscaleStreamResponse(plan=await stream.open()))
            await stream.end()
            answers.extend(await stream.rest())

    run(test())
    return answers


def test_stream_without_a_tile_is_answered_by_plan_and_summary() -> None:
    answers = answered(start(scene((5, 7))))
    assert [answer.WhichOneof("message") for answer in answers] == ["plan", "summary"]


def test_stream_without_a_tile_has_done_nothing() -> None:
    summary = answered(start(scene((5, 7))))[-1].summary
    summary.ClearField("elapsed")
    assert summary == pb.StreamSummary(engine="numpy", device="cpu")


PLANNED = {
    "defaults": (start(scene((170, 300))), {}),
    "16-bits": (start(scene((170, 300), "uint16")), {}),
    "cores": (start(scene((170, 300)), cores=2), {}),
    "tile-time": (start(scene((170, 300))), {"stream_tile_time_s": 0.04}),
    "tile-bytes": (start(scene((170, 300)), scale="8"), {"stream_bytes": 2**20}),
    "options": (start(scene((9, 9)), model="hndsr", options=pb.UpscaleOptions(texture=0.1, seed=2**64 - 1)), {}),
    "ranges": (start(scene((9, 9)), value_ranges=[pb.ValueRange(minimum=0.1, maximum=1 / 3 + 200)] * 3), {}),
    "scale": (start(scene((99, 1001)), scale="22/7", required_revision="revision-1"), {}),
}


@pytest.mark.parametrize("name", PLANNED)
def test_stream_has_the_plan_that_plan_upscale_makes(name: str) -> None:
    (message, settings), plans = PLANNED[name], []
    first = message.start
    question = pb.PlanUpscaleRequest(
        source_height_px=first.source_height_px,
        source_width_px=first.source_width_px,
        parameters=first.parameters,
        sample_type=first.sample_type,
        cores_per_tile=first.cores_per_tile,
    )

    async def test() -> None:
        async with running(FakeBackend(), **settings) as client:
            plans.append(await client.upscale.PlanUpscale(question))

    run(test())
    opened = answered(message, **settings)[0].plan
    assert (
        pb.PlanUpscaleResponse(plan=opened.plan, windows=opened.windows, estimated_time=opened.estimated_time)
        == plans.pop()
    )


def contract_digest(first: pb.StreamStart, plan: pb.Plan) -> str:
    """The digest as the contract's text says, from the messages alone."""
    names = [field.name for field in sorted(pb.Span.DESCRIPTOR.fields, key=lambda field: field.number)]

    def text(spans: Iterable[pb.Span]) -> str:
        return ",".join(":".join(str(getattr(span, name)) for name in names) for span in spans)

    ranges = [f"{band.minimum:.17g}:{band.maximum:.17g}" for band in first.parameters.value_ranges]
    lines = [
        f"source={first.source_height_px}x{first.source_width_px}",
        f"target={plan.target_height_px}x{plan.target_width_px}",
        f"scale={plan.scale_numerator}/{plan.scale_denominator}",
        f"model={plan.model}",
        f"revision={plan.revision}",
        f"steps={plan.options.steps}",
        f"texture={plan.options.texture:.9g}",
        f"seed={plan.options.seed}",
        f"ranges={','.join(ranges)}",
        f"samples={pb.SampleType.Name(first.sample_type).removeprefix('SAMPLE_TYPE_').lower()}",
        f"cores={plan.cores_per_tile}",
        f"rows={text(plan.row_spans)}",
        f"columns={text(plan.column_spans)}",
    ]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@pytest.mark.parametrize("name", PLANNED)
def test_stream_plan_has_the_digest_that_the_contract_defines(name: str) -> None:
    message, settings = PLANNED[name]
    plan = answered(message, **settings)[0].plan.plan
    assert plan.digest == contract_digest(message.start, plan)


def test_stream_plan_estimates_the_time_of_its_windows() -> None:
    opened = answered(start(scene((170, 300))))[0].plan
    assert (opened.windows, opened.estimated_time.ToTimedelta().total_seconds()) == (18, pytest.approx(18 * 0.01))


def summaries(backend: FakeBackend, pixels: np.ndarray, mask: np.ndarray | None, **options: Any) -> Any:
    """What a stream ends with, and the metadata of an equal Upscale call before it."""
    found = []

    async def test() -> None:
        async with running(FakeBackend(), cores_per_tile=1) as client:
            found.append((await client.upscale.Upscale(request(raw(pixels, mask), **options))).metadata)
        async with running(backend) as client:
            found.append((await upscaled(client, pixels, mask, cores=1, **options))[1].summary)

    run(test())
    return reversed(found)


COUNTS = ["tiles", "cache_hits", "empty_windows", "computed_windows", "out_of_range_samples", "engine", "device"]


@pytest.mark.parametrize("name", COUNTS)
def test_summary_says_what_the_metadata_of_upscale_says(name: str) -> None:
    pixels, mask = scene((170, 150)), np.ones((170, 150), dtype=bool)
    mask[:70] = False
    ranges = [pb.ValueRange(minimum=50, maximum=200)] * 3
    summary, metadata = summaries(FakeBackend(), pixels, mask, value_ranges=ranges)
    assert getattr(summary, name) == getattr(metadata, name) != 0


def test_summary_counts_failed_tiles() -> None:
    backend = FakeBackend()
    backend.tile_errors = {0: UnavailableError(), 2: UnavailableError()}
    summary, _ = summaries(backend, scene(THREE_WINDOWS), None)
    assert (summary.tiles, summary.failed_tiles) == (3, 2)


def test_stream_cuts_large_targets_into_strips() -> None:
    tops = []

    async def test() -> None:
        async with running(FakeBackend(), stream_tile_time_s=1e9) as client:
            pixels = scene((120, 120))
            stream = Stream(client, start(pixels, scale="8"))
            plan = (await stream.open()).plan
            await stream.send(strips(plan, (0, 0), pixels))
            await stream.end()
            tops.extend(answer.strip.y_px for answer in await stream.rest() if answer.HasField("strip"))

    run(test())
    assert tops == [0, 728]


def test_stream_has_no_limit_of_unary_calls() -> None:
    async def test() -> None:
        async with running(FakeBackend(), max_source_px=1, max_target_px=1) as client:
            target, _ = await upscaled(client, scene((5, 7)))
            assert target.missing() == []

    run(test())
