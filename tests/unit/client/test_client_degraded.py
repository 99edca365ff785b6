"""Lesser results and priorities: how they are asked for, and that nobody takes them for what was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import ArgumentError, Client, Degradation, ServerError, UnavailableError
from hndsr_client.cli import main
from hndsr_client.results import Options
from hndsr_client.testing import FakeServer
from hndsr_client.testing._png import write_png

SOURCE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An image file."""
    path = tmp_path / "source.png"
    path.write_bytes(write_png(SOURCE))
    return path


def degraded_by(server: FakeServer, reason: str, **asked: Any) -> Degradation | None:
    """What the metadata says of a call whose model fails."""
    server.fail_next(reason=reason)
    with Client(server.target, retry=None) as client:
        return client.upscale(SOURCE, allow_degraded=True, **asked).metadata.degraded


def test_result_says_what_it_is_less_than(server: FakeServer) -> None:
    degraded = degraded_by(server, "NOT_FINITE", steps=8, seed=3)
    assert degraded == Degradation("NOT_FINITE", "the test asked for this", "nearest", Options(8, 1.0, 3))


def test_result_as_asked_for_is_not_degraded(client: Client) -> None:
    assert client.upscale(SOURCE, allow_degraded=True).metadata.degraded is None


def test_lesser_result_says_what_it_is(server: FakeServer, client: Client) -> None:
    server.fail_next(reason="NOT_FINITE", times=2)
    prior, bicubic = (client.upscale(SOURCE, steps=steps, allow_degraded=True).metadata for steps in (8, 0))
    assert (prior.model, prior.options.steps, bicubic.model) == ("nearest", 0, "bicubic")


def test_call_fails_that_allows_no_lesser_result(server: FakeServer, client: Client) -> None:
    server.fail_next(reason="NOT_FINITE")
    with pytest.raises(ServerError):
        client.upscale(SOURCE)


def test_call_fails_that_requires_a_revision(server: FakeServer) -> None:
    with pytest.raises(UnavailableError):
        degraded_by(server, "BACKEND_UNAVAILABLE", required_revision=server.revision)


def test_call_that_allows_a_lesser_result_is_not_tried_again(server: FakeServer, client: Client) -> None:
    server.fail_next(reason="BACKEND_UNAVAILABLE")
    client.upscale(SOURCE, allow_degraded=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("priority", "sent"),
    [(None, pb.PRIORITY_UNSPECIFIED), ("interactive", pb.PRIORITY_INTERACTIVE), ("batch", pb.PRIORITY_BATCH)],
)
def test_every_call_sends_its_priority(
    server: FakeServer, client: Client, file: Path, priority: Any, sent: pb.Priority
) -> None:
    client.upscale(SOURCE, priority=priority)
    client.upscale_encoded(SOURCE, priority=priority)
    client.upscale_file(file, file.with_name("made.png"), priority=priority)
    client.upscale_array(SOURCE, priority=priority)
    *unary, stream = (request.message for request in server.requests)
    assert [*(message.priority for message in unary), stream.start.priority] == [sent] * 4


def test_stream_of_tiles_sends_its_priority(server: FakeServer) -> None:
    with Client(server.target) as client, client.stream_tiles(SOURCE, priority="interactive") as tiles:
        list(tiles)
    assert server.requests[0].message.start.priority == pb.PRIORITY_INTERACTIVE


def test_every_unary_call_says_that_it_allows_a_lesser_result(server: FakeServer, client: Client, file: Path) -> None:
    client.upscale(SOURCE, allow_degraded=True)
    client.upscale_encoded(SOURCE, allow_degraded=True)
    client.upscale_file(file, file.with_name("made.png"), allow_degraded=True)
    assert all(request.message.allow_degraded for request in server.requests)


@pytest.mark.parametrize("asked", [{"priority": "urgent"}, {"priority": 1}, {"allow_degraded": "yes"}])
def test_what_no_request_can_carry_is_refused(client: Client, asked: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(asked))):
        client.upscale(SOURCE, **asked)


def test_unknown_priority_of_a_stream_is_refused(client: Client) -> None:
    with pytest.raises(ArgumentError, match="priority"):
        client.upscale_array(SOURCE, priority="urgent")  # type: ignore[arg-type]


def test_job_goes_on_with_another_priority(server: FakeServer, tmp_path: Path) -> None:
    large = np.zeros((150, 150, 3), np.uint8)
    asked: dict[str, Any] = {"cores_per_tile": 1, "job": tmp_path / "job"}
    server.drop_streams(after_tiles=1)
    with Client(server.target, retry=None) as client:
        with pytest.raises(UnavailableError):
            client.upscale_array(large, **asked, priority="batch", patience_s=0)
        result = client.upscale_array(large, **asked, priority="interactive")
    assert result.resumed_tiles == 1


@pytest.fixture
def upscale(server: FakeServer, file: Path) -> list[str]:
    """The arguments of `hndsr upscale` of an image file."""
    return ["upscale", str(file), str(file.with_name("made.png")), "--target", server.target]


def test_upscale_command_makes_a_lesser_file_and_says_so(
    server: FakeServer, upscale: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(reason="BACKEND_UNAVAILABLE")
    assert main([*upscale, "--allow-degraded", "--quiet"]) == 0
    assert "made.png is nearest with 0 instead of 4 steps: the test asked for this [BACKEND" in capfd.readouterr().err


def test_upscale_command_names_the_model_where_it_is_another(
    server: FakeServer, upscale: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(reason="NOT_FINITE")
    main([*upscale, "--allow-degraded", "--steps", "0"])
    assert "made.png is bicubic instead of nearest: the test asked" in capfd.readouterr().err


def test_upscale_command_says_who_made_what_is_otherwise_as_asked(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with FakeServer(models=["bicubic"]) as server:
        server.fail_next(reason="BACKEND_UNAVAILABLE", message="the models cannot answer now; try again")
        paths = [str(file), str(file.with_name("made.png"))]
        assert main(["upscale", *paths, "--target", server.target, "--allow-degraded", "--steps", "0"]) == 0
    made = "made.png is bicubic made by the gateway, not by Triton: the models cannot answer now [BACKEND_UNAVAILABLE]"
    assert made in capfd.readouterr().err


def test_upscale_command_tells_programs(
    server: FakeServer, upscale: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(reason="NOT_FINITE")
    main([*upscale, "--allow-degraded", "--json"])
    assert json.loads(capfd.readouterr().out)["degraded"]["reason"] == "NOT_FINITE"


def test_upscale_command_sends_the_priority(server: FakeServer, upscale: list[str]) -> None:
    main([*upscale, "--priority", "batch"])
    assert server.requests[-1].message.priority == pb.PRIORITY_BATCH


def test_upscale_command_sends_the_priority_of_an_array(server: FakeServer, tmp_path: Path) -> None:
    np.save(tmp_path / "source.npy", SOURCE)
    paths = [str(tmp_path / name) for name in ("source.npy", "made.npy")]
    assert main(["upscale", *paths, "--target", server.target, "--priority", "interactive"]) == 0
    start = next(request for request in server.requests if request.method == "UpscaleStream").message.start
    assert start.priority == pb.PRIORITY_INTERACTIVE


def test_upscale_command_allows_no_lesser_array(
    server: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "source.npy", SOURCE)
    paths = [str(tmp_path / name) for name in ("source.npy", "made.npy")]
    assert main(["upscale", *paths, "--target", server.target, "--allow-degraded"]) == 2
    assert "--allow-degraded goes with image files alone" in capfd.readouterr().err


def test_batch_command_counts_and_names_lesser_files(
    server: FakeServer, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.fail_next(reason="NOT_FINITE")
    into = str(tmp_path / "made")
    assert main(["batch", str(file), "--into", into, "--target", server.target, "--allow-degraded"]) == 0
    said = capfd.readouterr()
    assert "source.png is nearest with 0 instead of 4 steps" in said.err
    assert "1 of 1 file upscaled, 1 degraded, " in said.out
