"""Worker processes from their start to their end, and what they hold meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from odd_images import MEMORY_MIB, MIB, ODD_WORKER, PNG, decode, lives, picture, pid, pool, run, until, value

from hndsr_gateway.errors import (
    DamagedImageError,
    GatewayError,
    StartupError,
    UnavailableError,
)
from hndsr_gateway.images.pool import ImageWorkers


def test_worker_that_dies_idle_is_replaced() -> None:
    async def test(workers: ImageWorkers) -> tuple[int, int]:
        before = await pid(workers)
        psutil.Process(before).kill()
        await until(lambda: not lives(before))
        return before, await pid(workers)

    before, after = run(test)
    assert before != after


def test_worker_stays_deaf_to_the_signals_that_stop_the_gateway() -> None:
    async def test(workers: ImageWorkers) -> tuple[int, int]:
        before = await pid(workers)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            psutil.Process(before).send_signal(number)
        return before, await pid(workers)

    before, after = run(test)
    assert before == after


def test_warm_up_starts_all_workers() -> None:
    async def test(workers: ImageWorkers) -> int:
        await workers.warm_up()
        return len([one for one in psutil.Process().children() if str(ODD_WORKER) in one.cmdline()])

    assert run(test, count=3) == 3


def test_pool_starts_no_worker_before_it_is_needed() -> None:
    async def test(_: ImageWorkers) -> list[psutil.Process]:
        await asyncio.sleep(0)
        return [one for one in psutil.Process().children() if str(ODD_WORKER) in one.cmdline()]

    assert run(test) == []


def test_closed_pool_leaves_no_process_and_no_descriptor() -> None:
    async def test(workers: ImageWorkers) -> None:
        for told in ("value 1", "segfault", "send_many_memories", "damaged x", "defect x", "leave_a_child /dev/null"):
            with suppress(GatewayError):
                await decode(workers, told)
        await workers.encode(picture("uint8", full=True), PNG)

    run(lambda workers: value(workers, 1))
    gc.collect()
    process = psutil.Process()
    before = (process.children(), process.num_fds())
    run(test, count=2)
    gc.collect()
    assert (process.children(), process.num_fds()) == before


def test_pool_holds_no_more_descriptors_for_more_jobs() -> None:
    async def test(workers: ImageWorkers) -> None:
        await workers.warm_up()
        before = psutil.Process().num_fds()
        await asyncio.gather(*(value(workers, number) for number in range(30)))
        await until(lambda: psutil.Process().num_fds() == before)

    run(test)


def test_picture_returns_its_descriptor_with_its_last_array() -> None:
    async def test(workers: ImageWorkers) -> None:
        kept = [await decode(workers, f"value {number}") for number in range(10)]
        held = psutil.Process().num_fds()
        kept.clear()
        await until(lambda: psutil.Process().num_fds() <= held - 10)

    run(test)


def test_crash_leaves_no_descendants(tmp_path: Path) -> None:
    async def test(workers: ImageWorkers) -> None:
        with pytest.raises(DamagedImageError):
            await decode(workers, f"leave_a_child {tmp_path / 'pid'}")
        child = int((tmp_path / "pid").read_text())
        await until(lambda: not lives(child))

    run(test)


def test_closing_pool_refuses_who_waits_and_who_is_worked_on(tmp_path: Path) -> None:
    async def test() -> list[BaseException]:
        async with pool() as workers:
            work = [asyncio.create_task(decode(workers, f"wait {tmp_path}")) for _ in range(2)]
            await until(lambda: list(tmp_path.iterdir()))
        return await asyncio.gather(*work, return_exceptions=True)

    assert [type(error) for error in asyncio.run(test())] == [UnavailableError, UnavailableError]


def test_closed_pool_refuses() -> None:
    async def test() -> None:
        async with pool() as workers:
            pass
        with pytest.raises(UnavailableError):
            await decode(workers, "value 1")

    asyncio.run(test())


@pytest.mark.parametrize("busy", [False, True])
def test_workers_end_with_a_gateway_that_is_killed(tmp_path: Path, *, busy: bool) -> None:
    job = f"await workers.decode(b'wait {tmp_path}', max_px=1)" if busy else "await asyncio.sleep(60)"
    program = f"""
import asyncio
from hndsr_gateway.images.pool import ImageWorkers

async def main():
    command = [{sys.executable!r}, "-I", {str(ODD_WORKER)!r}]
    async with ImageWorkers(count=2, timeout_s=60, memory_bytes={MIB}, command=command) as workers:
        await workers.warm_up()
        print(flush=True)
        {job}

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as gateway:
        assert gateway.stdout is not None
        gateway.stdout.readline()
        workers = [child.pid for child in psutil.Process(gateway.pid).children()]
        asyncio.run(until(lambda: not busy or list(tmp_path.iterdir())))
        gateway.kill()
    assert len(workers) == 2
    asyncio.run(until(lambda: not any(lives(worker) for worker in workers)))


def test_warm_up_says_why_no_worker_starts(tmp_path: Path) -> None:
    program = tmp_path / "broken.py"
    program.write_text("import nothing_of_that_name")

    with pytest.raises(StartupError, match="No module named 'nothing_of_that_name'"):
        run(lambda workers: workers.warm_up(), program=program)


def test_warm_up_says_which_program_is_missing() -> None:
    async def test() -> None:
        options = {"count": 1, "timeout_s": 1.0, "memory_bytes": MIB}
        async with ImageWorkers(**options, command=["/no/such/program"]) as workers:
            await workers.warm_up()

    with pytest.raises(StartupError, match="/no/such/program"):
        asyncio.run(test())


@pytest.mark.parametrize("program", ["", "import socket; socket.socket(fileno=0).send(b'[]')"])
def test_pool_refuses_when_no_worker_starts(tmp_path: Path, program: str) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(program)

    async def test(workers: ImageWorkers) -> float:
        with pytest.raises(UnavailableError) as raised:
            await decode(workers, "value 1")
        return raised.value.retry_delay_s

    assert run(test, program=broken) >= 1.0


def test_pool_recovers_when_workers_start_again(tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text("")

    async def test(workers: ImageWorkers) -> int:
        with pytest.raises(UnavailableError):
            await value(workers, 1)
        program.write_text(f"import runpy; runpy.run_path({str(ODD_WORKER)!r}, run_name='__main__')")
        while True:
            with suppress(UnavailableError):
                return await value(workers, 5)
            await asyncio.sleep(0.05)

    assert run(test, program=program) == 5


def test_pool_starts_workers_that_fail_ever_more_slowly(tmp_path: Path) -> None:
    program, starts = tmp_path / "broken.py", tmp_path / "starts"
    program.write_text(f"open({str(starts)!r}, 'a').write('x')")

    async def test(workers: ImageWorkers) -> None:
        with pytest.raises(UnavailableError):
            await decode(workers, "value 1")
        await asyncio.sleep(0.5)

    run(test, program=program)
    assert len(starts.read_text()) == 3


def test_worker_knows_nothing_of_the_gateways_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HNDSR_SECRET", "https_proxy", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")

    async def test(workers: ImageWorkers) -> list[str]:
        return (await decode(workers, "environment")).attributes.icc.decode().split()

    names = run(test)
    assert {"HNDSR_SECRET", "https_proxy", "PYTHONPATH", "HOME", "PATH"}.isdisjoint(names)
    assert "OMP_NUM_THREADS" in names


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
def test_worker_is_confined() -> None:
    async def test(workers: ImageWorkers) -> Any:
        return json.loads((await decode(workers, "facts")).attributes.exif)

    assert run(test) == {
        "no_new_privileges": "1",
        "core_bytes": 0,
        "standard_input": "/dev/null",
        "folder": "/",
        "oom_score": "1000",
    }


def test_worker_gives_memory_back_after_a_large_picture() -> None:
    async def test(workers: ImageWorkers) -> int:
        worker = psutil.Process(await pid(workers))
        before = worker.memory_info().rss
        await decode(workers, f"allocate {MEMORY_MIB - 8}")
        await value(workers, 1)
        return int(worker.memory_info().rss - before) // MIB

    assert run(test) < 32
