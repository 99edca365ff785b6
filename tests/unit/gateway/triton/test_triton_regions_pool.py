"""The pool of regions: within its bounds, each for one tile, and none given on that may still be written into."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton import guard, region_pool
from hndsr_gateway.triton.region_pool import RegionPool
from hndsr_gateway.triton.regions import RegionRefusedError

MIB = 2**20


class FakeTriton:
    """A registrar that keeps what is in use, fails as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.mapped: dict[str, int] = {}
        self.registrations: list[str] = []
        self.in_use: set[str] = set()
        self.failure: Exception | None = None
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def register(self, name: str, size_bytes: int) -> None:
        """Map a region, unless told to fail; a failure comes after the fact, as a lost answer would."""
        assert (guard.SHARED_MEMORY / name).stat().st_size == size_bytes
        self.registrations.append(name)
        self.asked.set()
        await self.may_answer.wait()
        if not isinstance(self.failure, RegionRefusedError):
            self.mapped[name] = size_bytes
        if self.failure is not None:
            raise self.failure

    async def unregister(self, name: str) -> bool:
        """Unmap a region that no request uses."""
        if name not in self.in_use:
            self.mapped.pop(name, None)
        return name not in self.mapped


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the folder of shared memory."""
    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(region_pool, "GROWTH_S", 0.05)
    return tmp_path


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def pool_of(regions: int, mib: int) -> RegionPool:
    return RegionPool(max_regions=regions, max_bytes=mib * MIB)


async def emptied(pool: RegionPool) -> None:
    """Wait until the pool has withdrawn what it retired."""
    await asyncio.gather(*pool._retired)
    assert not pool.held_bytes


def test_pool_lends_a_region_that_the_triton_maps() -> None:
    async def test() -> None:
        triton = FakeTriton()
        region = await pool_of(1, 4).lend(100, triton)
        assert region is not None
        assert triton.mapped == {region.name: MIB}

    run(test())


def test_pool_lends_a_region_again_without_registering_it_again() -> None:
    async def test() -> None:
        pool, triton = pool_of(2, 4), FakeTriton()
        first = await pool.lend(MIB, triton)
        assert first is not None
        pool.give_back(first)
        assert (await pool.lend(100, triton), triton.registrations) == (first, [first.name])

    run(test())


def test_pool_lends_a_region_to_one_tile_at_a_time() -> None:
    async def test() -> None:
        pool, triton = pool_of(2, 4), FakeTriton()
        assert await pool.lend(1, triton) is not await pool.lend(1, triton)

    run(test())


def test_pool_registers_a_region_with_each_triton_that_needs_it() -> None:
    async def test() -> None:
        pool, one, other = pool_of(1, 4), FakeTriton(), FakeTriton()
        region = await pool.lend(1, one)
        assert region is not None
        pool.give_back(region)
        await pool.lend(1, other)
        assert one.mapped == other.mapped == {region.name: MIB}

    run(test())


def test_pool_replaces_a_region_that_is_too_small(place: Path) -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        small = await pool.lend(1, triton)
        assert small is not None
        pool.give_back(small)
        large = await pool.lend(4 * MIB, triton)
        assert large is not None
        assert names(place) == set(triton.mapped) == {large.name}

    run(test())


@pytest.mark.parametrize(("regions", "mib", "size_bytes"), [(1, 9, 1), (9, 2, MIB + 1), (9, 2, 9 * MIB)])
def test_pool_lends_nothing_beyond_its_bounds(regions: int, mib: int, size_bytes: int) -> None:
    async def test() -> None:
        pool, triton = pool_of(regions, mib), FakeTriton()
        await pool.lend(1, triton)
        assert await pool.lend(size_bytes, triton) is None

    run(test())


def test_pool_warns_once_with_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        pool, triton = pool_of(3, 2), FakeTriton()
        for _ in range(3):
            await pool.lend(2 * MIB, triton)

    run(test())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "takes 2097152 bytes" in caplog.text
    assert "1 of 3 regions with 2097152 of 2097152 bytes are in use" in caplog.text


def test_pool_warns_of_the_remedy_when_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(name: str, size_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    async def test() -> None:
        assert await pool_of(1, 4).lend(1, FakeTriton()) is None

    monkeypatch.setattr(region_pool, "create_region", no_room)
    monkeypatch.setattr(region_pool, "free_shared_memory_bytes", lambda: 9)
    run(test())
    assert "9 bytes are free there; enlarge it (docker: --shm-size=4194304, compose" in caplog.text


def test_retired_region_has_no_name_and_is_lent_no_more(place: Path) -> None:
    async def test() -> None:
        pool, triton = pool_of(2, 4), FakeTriton()
        region = await pool.lend(1, triton)
        assert region is not None
        triton.in_use.add(region.name)
        pool.retire(region)
        assert (names(place), await pool.lend(1, triton) is region) == (set(), False)
        await pool.close()

    run(test())


def test_retired_region_counts_until_the_triton_lets_go() -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        region = await pool.lend(1, triton)
        assert region is not None
        triton.in_use.add(region.name)
        pool.retire(region)
        assert await pool.lend(1, triton) is None
        triton.in_use.clear()
        await emptied(pool)
        assert await pool.lend(1, triton) is not None

    run(test())


@pytest.mark.parametrize("failure", [UnavailableError(), RegionRefusedError("no")])
def test_pool_keeps_nothing_when_registration_fails(place: Path, failure: Exception) -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        triton.failure = failure
        with pytest.raises(type(failure)):
            await pool.lend(1, triton)
        await emptied(pool)
        assert (names(place), triton.mapped) == (set(), {})

    run(test())


def test_pool_keeps_nothing_when_registration_is_cancelled(place: Path) -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        triton.may_answer.clear()
        lending = asyncio.create_task(pool.lend(1, triton))
        await triton.asked.wait()
        lending.cancel()
        await asyncio.wait({lending})
        await emptied(pool)
        assert names(place) == set()

    run(test())


def test_pool_keeps_for_others_what_one_triton_refuses() -> None:
    async def test() -> None:
        pool, one, other = pool_of(1, 4), FakeTriton(), FakeTriton()
        other.failure = RegionRefusedError("no")
        region = await pool.lend(1, one)
        assert region is not None
        pool.give_back(region)
        with pytest.raises(RegionRefusedError):
            await pool.lend(1, other)
        assert await pool.lend(1, one) is region

    run(test())


def test_forget_has_free_regions_registered_anew() -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        region = await pool.lend(1, triton)
        assert region is not None
        pool.give_back(region)
        pool.forget(triton)
        await pool.lend(1, triton)
        assert triton.registrations == [region.name] * 2

    run(test())


def test_leave_has_the_triton_let_go_of_all() -> None:
    async def test() -> None:
        pool, triton = pool_of(3, 4), FakeTriton()
        lent = [await pool.lend(1, triton) for _ in range(3)]
        assert lent[0] is not None
        assert lent[1] is not None
        pool.give_back(lent[0])
        pool.retire(lent[1])
        await pool.leave(triton, timeout_s=5)
        assert triton.mapped == {}

    run(test())


def test_leave_ends_in_time_when_the_triton_holds_on() -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        region = await pool.lend(1, triton)
        assert region is not None
        triton.in_use.add(region.name)
        await asyncio.wait_for(pool.leave(triton, timeout_s=0.01), 5)
        await pool.close()

    run(test())


def test_leave_keeps_free_regions_for_other_tritons() -> None:
    async def test() -> None:
        pool, one, other = pool_of(1, 4), FakeTriton(), FakeTriton()
        region = await pool.lend(1, one)
        assert region is not None
        pool.give_back(region)
        await pool.leave(one, timeout_s=5)
        assert (await pool.lend(1, other), one.mapped) == (region, {})

    run(test())


def test_close_removes_all_files(place: Path) -> None:
    async def test() -> None:
        pool, triton = pool_of(2, 4), FakeTriton()
        lent = [await pool.lend(1, triton) for _ in range(2)]
        assert lent[0] is not None
        pool.give_back(lent[0])
        await pool.close()
        assert names(place) == set()

    run(test())


@pytest.mark.parametrize("settle", ["give_back", "retire"])
def test_region_that_comes_back_after_the_close_is_lent_no_more(place: Path, settle: str) -> None:
    async def test() -> None:
        pool, triton = pool_of(1, 4), FakeTriton()
        region = await pool.lend(1, triton)
        await pool.close()
        getattr(pool, settle)(region)
        assert (await pool.lend(1, triton), names(place)) == (None, set())

    run(test())
