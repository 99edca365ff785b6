"""A gateway whose embedded Triton does not come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from in_process import run

from hndsr_gateway.__main__ import EXIT_TRITON_DIED, _run
from hndsr_gateway.server import Gateway
from hndsr_gateway.triton.errors import TritonLostError


@asynccontextmanager
async def without_triton() -> AsyncIterator[Gateway]:
    """A gateway that lost it."""

    async def fail() -> None:
        raise TritonLostError(starts=5, cause="no luck")

    yield Gateway("127.0.0.1:1", supervision=asyncio.create_task(fail()))


def test_gateway_ends_with_its_own_code_when_triton_is_lost() -> None:
    assert asyncio.run(_run(without_triton(), managed=False)) == EXIT_TRITON_DIED


def test_gateway_that_is_told_to_stop_keeps_triton_for_the_requests_that_are_left() -> None:
    async def test() -> None:
        supervision = asyncio.create_task(asyncio.Event().wait())
        waiting = asyncio.create_task(Gateway("127.0.0.1:1", supervision=supervision).wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert not supervision.done()
        supervision.cancel()

    run(test())
