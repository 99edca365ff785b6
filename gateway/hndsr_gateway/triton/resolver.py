"""From endpoints as an operator writes them to addresses; names are looked up again and again."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

logger = logging.getLogger(__name__)

PREFIX = "dns:"
LOOKUP_S = 2.0
"""How long a look-up may hold up whoever asks, in seconds; what it finds later counts for the next who asks."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""From the name of a host and a port to all addresses behind it, as `HOST:PORT`; OSError if there are none."""


async def look_up(host: str, port: int) -> list[str]:
    """All addresses that the system knows for a name, in a stable order.

    Raises:
        OSError: if it knows none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = sorted({str(address[0]) for *_, address in found})
    return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in hosts]


class Resolver:
    """The addresses of all endpoints.

    Args:
        written: each as `HOST:PORT`, `unix:PATH`, or as `dns:HOST:PORT` for every address that the name stands for.
        lookup: finds those.
    """

    def __init__(self, written: Sequence[str], *, lookup: Lookup = look_up) -> None:
        self._parts = [_Name(entry.removeprefix(PREFIX), lookup) if _is_name(entry) else entry for entry in written]

    async def addresses(self) -> tuple[str, ...]:
        """Each once, in the order of the setting; a name that cannot be looked up keeps its last addresses."""
        names = [part for part in self._parts if isinstance(part, _Name)]
        await asyncio.gather(*(name.refresh() for name in names))
        lists = (part.addresses if isinstance(part, _Name) else [part] for part in self._parts)
        return tuple(dict.fromkeys(address for addresses in lists for address in addresses))

    async def close(self) -> None:
        """Give up look-ups in progress."""
        for part in self._parts:
            if isinstance(part, _Name):
                await part.close()


def _is_name(entry: str) -> bool:
    """Tell `dns:HOST:PORT` from a host that is called dns."""
    return entry.startswith(PREFIX) and ":" in entry.removeprefix(PREFIX)


class _Name:
    """A name and the addresses that it last stood for; it is looked up once at a time."""

    def __init__(self, written: str, lookup: Lookup) -> None:
        host, _, port = written.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._lookup = lookup
        self._running: asyncio.Task[None] | None = None
        self._failing = False
        self.addresses: Sequence[str] = ()

    async def refresh(self) -> None:
        """Look the name up, for `LOOKUP_S` at most."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._look_up())
        await asyncio.wait({self._running}, timeout=LOOKUP_S)

    async def close(self) -> None:
        """Give up the look-up in progress."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def _look_up(self) -> None:
        try:
            self.addresses = await self._lookup(self._host, self._port)
        except (OSError, UnicodeError) as error:  # the latter for labels that no name may have
            if not self._failing:
                logger.warning("%s cannot be looked up, its last addresses stay: %s", self._host, error)
            self._failing = True
        else:
            self._failing = False
