"""What files can do to the workers that read them, and what callers learn of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from odd_images import MAX_PX, MEMORY_MIB, MIB, PATIENCE_S, PNG, decode, picture, pid, run, value

from hndsr_gateway.errors import (
    DamagedImageError,
    DecompressionBombError,
    GatewayError,
    ImageTooLargeError,
    UnavailableError,
)
from hndsr_gateway.images.limits import BYTES_PER_PX
from hndsr_gateway.images.picture import Attributes, Picture
from hndsr_gateway.images.pool import ImageWorkers

CRASHES = ["segfault", "abort", "exit_quietly 3", "exit_quietly 0"]
STARVED = ["allocate 400", "allocate_outside_of_numpy 400", "bad_alloc", "long_profile 400"]
HOSTILE = [
    "say nonsense",
    'say {"number": 1, "answer": {"kind": "unheard of"}}',
    "say " + "[" * 60_000,
    'say {"number": 1, "answer": {"kind": "refused", "error": "KeyboardInterrupt", "happened": "", "field": "image"}}',
    'say {"number": 1, "answer": {"kind": "refused", "error": "EmptyImageError", "happened": "", "field": "No Field"}}',
    "say_too_much",
    "answer_something_else",
    "be_ready_again",
    "answer_another_job",
    "answer_without_memory",
    "claim_height 2",
    "claim_height 0",
    f"claim_height {10**18}",
    "claim_sample_type float64",
    "claim_text",
    "answer_with_more_than_allowed",
    "send_a_pipe",
    "send_many_memories",
    "close_the_channel",
    f"large {MAX_PX + 1}",
]


def failure(told: str, *, timeout_s: float = PATIENCE_S) -> tuple[GatewayError, int]:
    """The error of one file, and what comes of the next."""

    async def test(workers: ImageWorkers) -> tuple[GatewayError, int]:
        with pytest.raises(GatewayError) as raised:
            await decode(workers, told)
        return raised.value, await value(workers, 7)

    error, after = run(test, timeout_s=timeout_s)
    return error, after


@pytest.mark.parametrize("told", CRASHES)
def test_decode_refuses_a_file_that_ends_its_reader(told: str) -> None:
    error, _ = failure(told)
    assert (type(error), str(error).partition(";")[0]) == (
        DamagedImageError,
        "reading the image file broke its reader",
    )


@pytest.mark.parametrize("told", STARVED)
def test_decode_refuses_a_file_that_takes_too_much_memory(told: str) -> None:
    error, _ = failure(told)
    assert isinstance(error, DecompressionBombError)
    assert f"more than {MEMORY_MIB} MiB of memory" in str(error)


def test_decode_asks_another_worker_when_one_is_killed_from_outside(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> int:
        found = await decode(workers, f"be_killed_once {tmp_path / 'killed'}")
        return int(found.raster.pixels[0, 0, 0])

    assert run(test) == 9


def test_decode_blames_no_file_for_workers_that_are_killed_from_outside() -> None:
    error, after = failure("be_killed")
    assert (type(error), "killed" in str(error), after) == (UnavailableError, True, 7)


def test_decode_allows_the_memory_that_it_promises() -> None:
    async def test(workers: ImageWorkers) -> None:
        await decode(workers, f"allocate {MEMORY_MIB - 8}")

    run(test)


def test_decode_allows_memory_for_the_pixels_of_the_file_and_not_for_as_many_as_may_be() -> None:
    async def test(workers: ImageWorkers) -> None:
        with pytest.raises(DecompressionBombError):
            await workers.decode(f"allocate {2 * MEMORY_MIB}".encode(), max_px=100_000_000)

    run(test)


def test_decode_allows_memory_for_pixels_as_soon_as_they_are_measured() -> None:
    async def test(workers: ImageWorkers) -> None:
        await decode(workers, f"measure_and_allocate {2 * MEMORY_MIB * MIB // BYTES_PER_PX} {2 * MEMORY_MIB}")

    run(test)


def test_decode_refuses_a_file_that_takes_too_much_time() -> None:
    error, _ = failure("hang", timeout_s=0.5)
    assert isinstance(error, DecompressionBombError)
    assert "more than 0.5 s of time" in str(error)


@pytest.mark.parametrize("told", HOSTILE)
def test_decode_believes_no_answer_that_is_none(told: str) -> None:
    error, _ = failure(told)
    assert isinstance(error, DamagedImageError)


@pytest.mark.parametrize("told", ["segfault", "bad_alloc", "defect x", "damaged x", "say nonsense", "hang"])
def test_pool_answers_the_next_file_after_a_bad_one(told: str) -> None:
    _, after = failure(told, timeout_s=2.0)
    assert after == 7


def test_decode_passes_refusals_on_as_they_are() -> None:
    error, _ = failure("too_large")
    expected = ImageTooLargeError(which="source", height=30, width=40, limit_px=1000)
    assert (type(error), str(error)) == (ImageTooLargeError, str(expected))


def test_decode_passes_on_no_control_characters_and_no_endless_texts() -> None:
    error, _ = failure("damaged \x1b[31m\n" + "x" * 10_000)
    assert str(error).isprintable()
    assert len(str(error)) < 600


def test_refused_file_keeps_its_worker() -> None:
    async def test(workers: ImageWorkers) -> tuple[int, int]:
        before = await pid(workers)
        with pytest.raises(DamagedImageError):
            await decode(workers, "damaged x")
        return before, await pid(workers)

    before, after = run(test)
    assert before == after


@pytest.mark.parametrize("told", ["defect a secret", "unknown_refusal"])
def test_decode_keeps_what_is_unforeseen_from_callers(told: str) -> None:
    error, _ = failure(told)
    assert (error.reason, "secret" in str(error)) == ("INTERNAL", False)


def test_pool_logs_the_traceback_of_what_is_unforeseen(caplog: pytest.LogCaptureFixture) -> None:
    failure("defect a secret")
    assert "ZeroDivisionError: a secret" in caplog.text


def test_pool_logs_what_a_worker_said_before_it_broke(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hndsr_gateway.images"):
        failure("segfault")
    assert "SIGSEGV" in caplog.text
    assert "in segfault" in caplog.text


def test_pool_logs_no_flood_and_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    async def test(workers: ImageWorkers) -> None:
        await decode(workers, "complain 100000")

    with caplog.at_level(logging.DEBUG, "hndsr_gateway.images"):
        run(test)
    said = [record.getMessage() for record in caplog.records if "line" in record.getMessage()]
    assert 0 < len(said) <= 101
    assert "\x1b" not in "".join(said)


@pytest.mark.parametrize("told", ["segfault", "defect x", "allocate 4000"])
def test_encode_failure_is_internal(told: str) -> None:
    async def test(workers: ImageWorkers) -> GatewayError:
        odd = Picture(picture("uint8", full=False).raster, attributes=Attributes(exif=b"do " + told.encode()))
        with pytest.raises(GatewayError) as raised:
            await workers.encode(odd, PNG)
        return raised.value

    assert run(test).reason == "INTERNAL"
