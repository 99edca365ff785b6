"""What a program's own tests can tell the fake server about streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

import grpc
import numpy as np
import pytest
from streams import Place, Target, places, start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceStub
from hndsr_client import ArgumentError, Client
from hndsr_client.testing import FakeServer

RANDOM = np.random.default_rng(7)
IMAGE = RANDOM.integers(0, 256, (60, 140, 3), np.uint8)
"""Of which, at scale 4, a tile of one core is one of three."""
MASK = RANDOM.random((60, 140)) < 0.7
PLACES = [(0, 0), (0, 1), (0, 2)]


class Stream:
    """A stream of the image's tiles, and what came of it."""

    def __init__(
        self,
        server: FakeServer,
        image: np.ndarray = IMAGE,
        *,
        mask: np.ndarray | None = None,
        on_plan: Callable[[], None] = lambda: None,
    ) -> None:
        self.answers: list[pb.UpscaleStreamResponse] = []
        self.code = grpc.StatusCode.OK
        self._image, self._mask, self._on_plan = image, mask, on_plan
        self._messages: SimpleQueue[pb.UpscaleStreamRequest | None] = SimpleQueue()
        self._messages.put(start(image, cores=1, model="", scale="4"))
        with grpc.insecure_channel(server.target) as channel:
            self._read(UpscaleServiceStub(channel).UpscaleStream(iter(self._messages.get, None)))

    @property
    def plan(self) -> pb.Plan:
        """What came first."""
        return self.answers[0].plan.plan

    @property
    def target(self) -> Target:
        """All strips that came."""
        target = Target(self.plan, self._image.dtype)
        for answer in self.answers:
            if answer.HasField("strip"):
                target.add(answer.strip)
        return target

    @property
    def failed(self) -> list[Place]:
        """The tiles that were answered by an error."""
        errors = [answer.tile_error for answer in self.answers if answer.HasField("tile_error")]
        return [(error.row, error.column) for error in errors]

    def _read(self, call: Iterator[pb.UpscaleStreamResponse]) -> None:
        try:
            for answer in call:
                self.answers.append(answer)
                if answer.HasField("plan"):
                    self._on_plan()
                    self._send(answer.plan.plan)
        except grpc.RpcError as error:
            self.code = error.code()

    def _send(self, plan: pb.Plan) -> None:
        for place in places(plan):
            for message in strips(plan, place, self._image, self._mask):
                self._messages.put(message)
        self._messages.put(None)


def test_fake_streams_what_it_answers_at_once(server: FakeServer, client: Client) -> None:
    np.testing.assert_array_equal(Stream(server).target.pixels, client.upscale(IMAGE, scale=4).image)


def test_fake_streams_16_bits(server: FakeServer, client: Client) -> None:
    image = IMAGE.astype(np.uint16) * 257
    np.testing.assert_array_equal(Stream(server, image).target.pixels, client.upscale(image, scale=4).image)


def test_fake_streams_a_mask(server: FakeServer, client: Client) -> None:
    target, whole = Stream(server, mask=MASK).target, client.upscale(IMAGE, scale=4, mask=MASK)
    assert (target.mask.tobytes(), target.pixels.tobytes()) == (whole.mask.tobytes(), whole.image.tobytes())


def test_fake_cuts_an_image_as_it_is_told(client: Client) -> None:
    spans = client.plan(60, 140, scale=4, cores_per_tile=1).column_spans
    assert [(span.target_start_px, span.target_stop_px) for span in spans] == [(0, 224), (224, 448), (448, 560)]


def test_fake_cuts_an_image_larger_than_a_tile(client: Client) -> None:
    plan = client.plan(60, 400, scale=4)
    assert (plan.cores_per_tile, len(plan.row_spans), len(plan.column_spans)) == (3, 1, 3)


def test_fake_gives_each_tile_more_source_than_it_shows(client: Client) -> None:
    middle = client.plan(60, 140, scale=4, cores_per_tile=1).column_spans[1]
    assert (middle.source_start_px, middle.source_stop_px) == (48, 120)


def test_fake_records_the_start_of_a_stream(server: FakeServer) -> None:
    Stream(server)
    (recorded,) = server.requests
    assert (recorded.method, recorded.message.start.source_width_px) == ("UpscaleStream", 140)


def test_fake_tells_which_tiles_came(server: FakeServer) -> None:
    Stream(server)
    assert server.tiles == tuple(PLACES)


def test_fake_fails_a_stream_at_its_start(server: FakeServer) -> None:
    server.fail_next(reason="OVERLOADED")
    stream = Stream(server)
    assert (stream.code, stream.answers) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])


def test_fake_fails_tiles(server: FakeServer) -> None:
    server.fail_tiles(times=2)
    stream = Stream(server)
    assert (stream.failed, stream.target.order) == (PLACES[:2], PLACES[2:])


def test_fake_fails_tiles_after_others(server: FakeServer) -> None:
    server.fail_tiles(after=1)
    assert Stream(server).failed == PLACES[1:2]


def test_fake_counts_tiles_that_it_fails(server: FakeServer) -> None:
    server.fail_tiles(times=2)
    summary = Stream(server).answers[-1].summary
    assert (summary.tiles, summary.failed_tiles) == (1, 2)


@pytest.mark.parametrize(
    ("told", "delay_s"),
    [
        ({}, 1.0),
        ({"retry_delay_s": 0.25}, 0.25),
        ({"reason": "INTERNAL"}, None),
        ({"reason": "INTERNAL", "retry_delay_s": 0.25}, 0.25),
    ],
    ids=str,
)
def test_fake_says_when_to_send_a_tile_again(
    server: FakeServer, told: dict[str, object], delay_s: float | None
) -> None:
    server.fail_tiles(**told)
    error = Stream(server).answers[1].tile_error
    seen = error.retry_delay.ToTimedelta().total_seconds() if error.HasField("retry_delay") else None
    assert seen == delay_s


def test_fake_refuses_to_fail_tiles_for_no_reason(server: FakeServer) -> None:
    with pytest.raises(ArgumentError, match="reason is 'LATE'"):
        server.fail_tiles(reason="LATE")


@pytest.mark.parametrize("tiles", [0, 2])
def test_fake_drops_a_stream_after_tiles(server: FakeServer, tiles: int) -> None:
    server.drop_streams(after_tiles=tiles)
    stream = Stream(server)
    assert (stream.code, stream.target.order) == (grpc.StatusCode.UNAVAILABLE, PLACES[:tiles])


def test_fake_drops_as_many_streams_as_it_is_told(server: FakeServer) -> None:
    server.drop_streams(times=2)
    codes = [Stream(server).code.name for _ in range(3)]
    assert codes == ["UNAVAILABLE", "UNAVAILABLE", "OK"]


def test_fake_drops_no_stream_that_ends_before(server: FakeServer) -> None:
    server.drop_streams(after_tiles=4)
    assert Stream(server).code == grpc.StatusCode.OK


def test_fake_ends_a_stream_whose_revision_has_changed(server: FakeServer) -> None:
    stream = Stream(server, on_plan=lambda: setattr(server, "revision", "new"))
    assert (stream.code, stream.target.order) == (grpc.StatusCode.FAILED_PRECONDITION, [])


def test_fake_is_gone_on_with(server: FakeServer, client: Client) -> None:
    server.fail_tiles(retry_delay_s=0.01)
    server.drop_streams(after_tiles=2)
    made = client.upscale_array(IMAGE, scale=4, cores_per_tile=1)
    assert (made.reconnections, [request.method for request in server.requests]) == (1, ["UpscaleStream"] * 2)
