"""Names that stand for several endpoints: addresses that come, stay and vanish."""

from __future__ import annotations

import asyncio
import socket

import pytest
from fleet import Addresses, fleet
from in_process import run, settle

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton import resolver
from hndsr_gateway.triton.resolver import look_up


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look-ups that hang are not waited for."""
    monkeypatch.setattr(resolver, "LOOKUP_S", 0.05)


def test_address_that_comes_gets_tiles() -> None:
    async def test() -> None:
        name = Addresses("a")
        async with fleet("dns:triton:1", lookup=name) as found:
            name.found = ["a", "b"]
            await found.pool.describe()
            await found.upscale(endpoint="b:1")
            assert found.worked() == {"b": ["done"]}

    run(test())


def test_address_that_stays_keeps_its_endpoint() -> None:
    async def test() -> None:
        name = Addresses("a", "b")
        async with fleet("dns:triton:1", lookup=name) as found:
            name.found = ["b"]
            await found.pool.describe()
            await settle()
            assert {host: endpoint.closed.is_set() for host, endpoint in found.endpoints.items()} == {
                "a": True,
                "b": False,
            }

    run(test())


def test_address_that_vanishes_is_closed_once_its_tiles_are_done() -> None:
    async def test() -> None:
        name = Addresses("a", "b")
        async with fleet("dns:triton:1", lookup=name) as found:
            found["a"].hold()
            call = found.upscale(endpoint="a:1")
            await found["a"].started(1)
            name.found = ["b"]
            await found.pool.describe()
            assert (found.served(), found["a"].closed.is_set()) == ("b", False)
            found["a"].release()
            await call
            await found["a"].closed.wait()

    run(test())


def test_address_that_is_written_twice_is_one_endpoint() -> None:
    async def test() -> None:
        async with fleet("dns:triton:1", "a:1", lookup=Addresses("a", "b")) as found:
            assert found.served() == "ab"

    run(test())


def test_addresses_stay_when_their_name_cannot_be_looked_up() -> None:
    async def test() -> None:
        name = Addresses("a", "b")
        async with fleet("dns:triton:1", lookup=name) as found:
            name.error = socket.gaierror(socket.EAI_AGAIN, "try again")
            await found.pool.describe()
            assert found.served() == "ab"

    run(test())


def test_addresses_stay_when_looking_up_their_name_hangs() -> None:
    async def test() -> None:
        answered = asyncio.Event()
        answered.set()

        async def lookup(host: str, port: int) -> list[str]:
            await answered.wait()
            return ["a:1"]

        async with fleet("dns:triton:1", lookup=lookup) as found:
            answered.clear()
            await found.pool.describe()
            assert found.served() == "a"

    run(test())


def test_describe_raises_when_a_name_has_no_address() -> None:
    async def test() -> None:
        async with fleet("dns:triton:1", described=False, lookup=Addresses()) as found:
            with pytest.raises(UnavailableError):
                await found.pool.describe()

    run(test())


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1:8001"), ("::1", "[::1]:8001")])
def test_look_up_finds_the_address_of_an_address(host: str, address: str) -> None:
    assert asyncio.run(look_up(host, 8001)) == [address]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64])
def test_name_that_nobody_knows_has_no_address(host: str) -> None:
    async def test() -> None:
        names = resolver.Resolver([f"dns:{host}:1"])
        assert await names.addresses() == ()
        await names.close()

    run(test())


def test_host_that_is_called_dns_is_no_name_to_look_up() -> None:
    assert asyncio.run(resolver.Resolver(["dns:8001"], lookup=Addresses("a")).addresses()) == ("dns:8001",)
