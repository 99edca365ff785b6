"""How the tasks of an `AsyncClient` wait, and end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hndsr_client._core.calls import ResultT
from hndsr_client._core.retries import Attempts
from hndsr_client.errors import DeadlineError


async def in_time(answer: Awaitable[Mapping[str, str]], attempts: Attempts) -> Mapping[str, str]:
    """What an async function for metadata answers, within the call's time.

    Raises:
        DeadlineError: It took longer.
    """
    try:
        return await asyncio.wait_for(answer, attempts.remaining_s())
    except asyncio.TimeoutError:
        # The function may have raised it by itself.
        if attempts.remaining_s() != 0.0:
            raise
        raise DeadlineError(
            f"the metadata did not come within {attempts.timeout_s:g} s; allow more time",
            reason="DEADLINE_EXCEEDED",
            code="DEADLINE_EXCEEDED",
            attempts=attempts.number,
        ) from None


async def to_the_end(
    read: Callable[[Any], ResultT], response: Any, *, on_cancel: Callable[[], object] = lambda: None
) -> ResultT:
    """Read an answer in a thread; a task that is cancelled ends after the thread, so that no file appears later.

    The thread sees the task's context, and so the span that is current.

    Args:
        read: What the thread calls.
        response: What it is called with.
        on_cancel: May make the thread end sooner.
    """
    context = contextvars.copy_context()
    reading = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(read, response))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        on_cancel()
        while not reading.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([reading])
        reading.exception()  # asked for, so that asyncio does not complain
        raise


def is_cancelled() -> bool:
    """Whether the task itself was cancelled; Python 3.10 cannot tell."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0
