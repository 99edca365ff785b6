"""Every file of the corpus through the real gateway, which refuses it or answers it right, and stays as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from corpus.calls import upscaled, wrong
from corpus.case import Case, noise
from corpus.cases import CASES, GROUPS, LIMITS
from corpus.memory import WatchedWorkers, image_workers
from corpus.png_writer import png
from corpus.verdicts import Read
from gateways import RunningGateway
from in_process import Client, connected

from hndsr_gateway.settings import Settings

pytest.importorskip("pytriton")

GOOD = png(noise((3, 4, 3)))
MIB = 2**20
MEMORY_MIB = 500
"""More than any small picture takes, and less than any bomb would."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a gateway with the model that costs nothing; no image worker outlives it."""
    running = RunningGateway(Settings(listen="127.0.0.1:0", models="bicubic", default_model="bicubic"))
    yield running.start().address
    running.stop()
    assert not image_workers()


async def failures(address: str, cases: list[Case]) -> list[str]:
    """What went wrong, by name."""
    found = []
    with WatchedWorkers() as workers:
        async with connected(address) as client:
            good = await upscaled(client, GOOD)
            for case in cases:
                workers.forget()
                said = [await wrong(client, case), too_fat(workers), await changed(client, good)]
                found += [f"{case.name}: {sentence}" for sentence in said if sentence]
    return found


def too_fat(workers: WatchedWorkers) -> str:
    """Whether reading it took more memory than it may."""
    peak_mib = workers.peak_bytes() // MIB
    return f"a worker took {peak_mib} MiB" if peak_mib > MEMORY_MIB else ""


async def changed(client: Client, before: object) -> str:
    """Whether a good file is answered otherwise than before."""
    now = await upscaled(client, GOOD)
    same = isinstance(now, Read) and isinstance(before, Read) and (now.pixels == before.pixels).all()
    return "" if same else f"a good file was then answered by {now}"


@pytest.mark.parametrize("group", GROUPS)
def test_gateway_reads_or_refuses_every_file_and_serves_on(address: str, group: str) -> None:
    cases = [case for case in CASES.values() if case.group == group]
    found = asyncio.run(failures(address, cases))
    assert not found, "\n".join(found)


def test_gateway_refuses_a_target_that_is_too_large_in_little_memory(address: str) -> None:
    found = asyncio.run(failures(address, list(LIMITS.values())))
    assert not found, "\n".join(found)
