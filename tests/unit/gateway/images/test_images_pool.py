"""The pool over real processes: what goes in comes out, in order, to whom it belongs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_images import MAX_PX, MIB, PATIENCE_S, PNG, decode, lives, picture, pid, run, until, value

from hndsr_gateway.images.picture import Attributes, Encoding, ImageFormat, Picture
from hndsr_gateway.images.pool import LARGE_FILE_BYTES, LARGE_PX, ImageWorkers
from hndsr_gateway.types import Raster


def round_trip(original: Picture) -> Picture:
    async def test(workers: ImageWorkers) -> Picture:
        encoded = await workers.encode(original, Encoding(ImageFormat.TIFF))
        return await workers.decode(encoded, max_px=MAX_PX)

    restored: Picture = run(test)
    return restored


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pool_keeps_pixels(dtype: str) -> None:
    original = picture(dtype, full=False)
    np.testing.assert_array_equal(round_trip(original).raster.pixels, original.raster.pixels, strict=True)


def test_pool_keeps_pixels_of_an_array_that_is_not_contiguous() -> None:
    turned = Picture(Raster(picture("uint16", full=False).raster.pixels.transpose(1, 0, 2)[::-1]), ImageFormat.PNG)
    np.testing.assert_array_equal(round_trip(turned).raster.pixels, turned.raster.pixels, strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pool_keeps_alpha(dtype: str) -> None:
    original = picture(dtype, full=True)
    np.testing.assert_array_equal(round_trip(original).alpha, original.alpha, strict=True)


def test_pool_keeps_mask() -> None:
    original = picture("uint8", full=True)
    np.testing.assert_array_equal(round_trip(original).raster.mask, original.raster.mask, strict=True)


def test_pool_keeps_attributes() -> None:
    original = picture("uint8", full=True)
    assert round_trip(original).attributes == original.attributes


def test_pool_keeps_absent_planes_and_attributes_absent() -> None:
    restored = round_trip(picture("uint8", full=False))
    found = (restored.alpha, restored.raster.mask, restored.attributes, restored.grey, restored.format)
    assert found == (None, None, Attributes(), False, ImageFormat.TIFF)


def test_pool_answers_read_only_planes() -> None:
    assert not round_trip(picture("uint8", full=False)).raster.pixels.flags.writeable


def test_pool_makes_masks_of_nothing_but_true_and_false() -> None:
    async def test(workers: ImageWorkers) -> Picture:
        return await decode(workers, "invalid_mask")

    mask = run(test).raster.mask
    assert mask.view(np.uint8).tolist() == [[1]]


def test_pool_works_on_as_many_files_as_it_has_workers(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> None:
        both = [asyncio.create_task(decode(workers, f"wait {tmp_path}")) for _ in range(2)]
        await until(lambda: len(list(tmp_path.iterdir())) == 2)
        (tmp_path / "go").touch()
        await asyncio.gather(*both)

    run(test, count=2)


def test_pool_answers_in_order_of_arrival(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> list[int]:
        answered: list[int] = []

        async def ask(number: int) -> None:
            answered.append(await value(workers, number))

        first = asyncio.create_task(decode(workers, f"wait {tmp_path}"))
        await until(lambda: list(tmp_path.iterdir()))
        later = []
        for number in range(10):
            later.append(asyncio.create_task(ask(number)))
            await asyncio.sleep(0)
        (tmp_path / "go").touch()
        await asyncio.gather(first, *later)
        return answered

    assert run(test) == list(range(10))


def large_file(told: str) -> bytes:
    return told.encode().ljust(LARGE_FILE_BYTES + 1)


async def answer_beside(workers: ImageWorkers, large: list[Coroutine[Any, Any, Any]], folder: Path) -> int:
    """What a small file is answered while large jobs wait for `go`."""
    waiting = [asyncio.create_task(job) for job in large]
    await until(lambda: list(folder.iterdir()))
    answered = await asyncio.wait_for(value(workers, 7), PATIENCE_S)
    (folder / "go").touch()
    await asyncio.gather(*waiting)
    return answered


def test_pool_leaves_a_worker_to_small_files_while_it_reads_large_ones(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> int:
        files = [workers.decode(large_file(f"wait {tmp_path}"), max_px=MAX_PX) for _ in range(3)]
        return await answer_beside(workers, files, tmp_path)

    assert run(test, count=2) == 7


def test_pool_leaves_a_worker_to_small_files_while_it_writes_large_ones(tmp_path: Path) -> None:
    attributes = Attributes(exif=f"do wait {tmp_path}".encode())
    odd = Picture(Raster(np.zeros((1, LARGE_PX + 1, 3), np.uint8)), attributes=attributes)

    async def test(workers: ImageWorkers) -> int:
        return await answer_beside(workers, [workers.encode(odd, PNG) for _ in range(3)], tmp_path)

    assert run(test, count=2) == 7


def test_pool_of_one_worker_reads_large_files() -> None:
    async def test(workers: ImageWorkers) -> int:
        return int((await workers.decode(large_file("value 7"), max_px=MAX_PX)).raster.pixels[0, 0, 0])

    assert run(test, count=1) == 7


def test_pool_gives_each_its_own_answer() -> None:
    async def test(workers: ImageWorkers) -> list[int]:
        return await asyncio.gather(*(value(workers, number) for number in range(100)))

    assert run(test, count=2) == list(range(100))


def test_encode_has_no_time_limit_of_its_own(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> None:
        exif = f"do wait {tmp_path}".encode()
        odd = Picture(picture("uint8", full=False).raster, attributes=Attributes(exif=exif))
        work = asyncio.create_task(workers.encode(odd, PNG))
        await until(lambda: list(tmp_path.iterdir()))
        await asyncio.sleep(0.2)
        (tmp_path / "go").touch()
        await work

    run(test, timeout_s=0.05)


def cancelled_at_work(tmp_path: Path) -> tuple[int, list[int]]:
    """The worker of a job that is cancelled at work, and what comes of those behind it."""

    async def test(workers: ImageWorkers) -> list[int]:
        work = asyncio.create_task(decode(workers, f"wait {tmp_path}"))
        await until(lambda: list(tmp_path.iterdir()))
        behind = [asyncio.create_task(value(workers, number)) for number in range(3)]
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        return await asyncio.gather(*behind)

    answers = run(test)
    return int(next(tmp_path.iterdir()).name), answers


def test_cancelled_job_ends_its_worker(tmp_path: Path) -> None:
    worker, _ = cancelled_at_work(tmp_path)
    assert not lives(worker)


def test_cancelled_job_keeps_its_answer_from_others(tmp_path: Path) -> None:
    _, answers = cancelled_at_work(tmp_path)
    assert answers == [0, 1, 2]


def test_cancelled_wait_leaves_the_line_in_order(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> list[int]:
        first = asyncio.create_task(decode(workers, f"wait {tmp_path}"))
        await until(lambda: list(tmp_path.iterdir()))
        behind = [asyncio.create_task(value(workers, number)) for number in range(4)]
        await asyncio.sleep(0)
        behind[1].cancel()
        (tmp_path / "go").touch()
        await first
        return await asyncio.gather(behind[0], *behind[2:])

    assert run(test) == [0, 2, 3]


def test_job_cancelled_before_its_worker_has_it_leaves_the_worker_alone() -> None:
    async def test(workers: ImageWorkers) -> tuple[int, int]:
        before = await pid(workers)
        work = asyncio.create_task(value(workers, 1))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        return before, await pid(workers)

    before, after = run(test)
    assert before == after


def test_cancelling_at_any_moment_mixes_no_answers_and_loses_no_worker() -> None:
    async def test(workers: ImageWorkers) -> list[int]:
        answers = []
        for number in range(30):
            doomed = asyncio.create_task(value(workers, 200))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            if number % 3 == 0:
                await asyncio.sleep(0.0005 * (number % 7))
            doomed.cancel()
            answers.append(await value(workers, number))
            await asyncio.gather(doomed, return_exceptions=True)
        return answers

    assert run(test, count=2) == list(range(30))


def test_real_worker_reads_what_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    original = picture("uint8", size=(4000, 8000), full=False)

    async def test() -> Picture:
        async with ImageWorkers(count=2, timeout_s=PATIENCE_S, memory_bytes=1024 * MIB) as workers:
            await workers.warm_up()
            start_s = time.perf_counter()
            encoded = await workers.encode(original, PNG)
            between_s = time.perf_counter()
            decoded = await workers.decode(encoded, max_px=32_000_000)
            end_s = time.perf_counter()
        with capsys.disabled():
            sys.stdout.write(
                f"\n32 Mpx of PNG: written in {between_s - start_s:.1f} s, read in {end_s - between_s:.1f} s\n"
            )
        return decoded

    np.testing.assert_array_equal(asyncio.run(test()).raster.pixels, original.raster.pixels)
