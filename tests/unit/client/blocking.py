"""An AsyncClient that is called like a Client, so that one test holds for both."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from hndsr_client import AsyncClient


class BlockingClient:
    """Waits for each answer, in an event loop with a thread of its own. Threads may share it."""

    def __init__(self, target: str, **options: Any) -> None:
        self._start(functools.partial(AsyncClient, target, **options))

    @classmethod
    def embedded(cls, **options: Any) -> BlockingClient:
        """Start a gateway."""
        client = cls.__new__(cls)
        client._start(functools.partial(AsyncClient.embedded, **options))
        return client

    def __enter__(self) -> BlockingClient:  # noqa: PYI034  Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._blocking(attribute) if inspect.iscoroutinefunction(attribute) else attribute

    def close(self) -> None:
        """Close the client and its loop."""
        if not self._loop.is_closed():
            self._wait(self._client.close())
            self._end()

    def _start(self, make: Callable[[], Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._client = self._wait(_made(make))
        except BaseException:
            self._end()
            raise

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            return self._wait(method(*arguments, **options))

        return call

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop.is_closed():
            return asyncio.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _made(make: Callable[[], Any]) -> Any:
    made = make()
    return await made if inspect.isawaitable(made) else made
