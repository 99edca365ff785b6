"""Who makes the call that is worked on, and what they may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Scope(str, Enum):
    """What a key or token may be for."""

    INFO = "info"
    """GetModelInfo, PlanUpscale, reflection."""
    UPSCALE = "upscale"
    """Upscale, Compare."""
    STREAM = "stream"
    """UpscaleStream."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one caller may have; 0 is no limit."""

    requests_per_minute: int = 0
    target_px_per_hour: int = 0
    calls: int = 0
    """Unary calls at once."""
    streams: int = 0
    """Streams at once."""


class Allowance(Protocol):
    """What a caller may still have."""

    async def spend_target_px(self, count: int) -> None:
        """Take so many target pixels of it.

        Raises:
            QuotaExceededError: if there are not as many left; nothing is taken then.
        """


class Unlimited:
    """An allowance without limits."""

    async def spend_target_px(self, count: int) -> None:
        """Take nothing."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    `id` tells callers apart, for quotas and turns: `key:…`, `token:…`, `certificate:…`, or `address:…` for somebody who
    need not say who they are. `name` is for logs and messages. Neither holds a secret.
    """

    id: str = ""
    name: str = ""
    scopes: frozenset[Scope] = ALL_SCOPES
    quotas: Quotas = field(default_factory=Quotas)
    allowance: Allowance = field(default_factory=Unlimited)


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    """Who makes the call that is worked on; where there is none, somebody who may do everything."""
    return _current.get() or Caller()


@contextmanager
def called_by(caller: Caller) -> Iterator[None]:
    """Have `current_caller` say who it is, here and in tasks that are started here."""
    before = _current.get()
    _current.set(caller)
    try:
        yield
    finally:
        # Not by a token: a generator whose caller has gone is closed in another context, where a token is refused.
        _current.set(before)
