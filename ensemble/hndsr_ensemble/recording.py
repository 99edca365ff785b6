"""Where a tile's time goes: spans that travel back with it as JSON, and cost next to nothing while nobody asks."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token, copy_context
from threading import Lock
from time import perf_counter_ns
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Value = str | int | float | bool
"""Of an attribute."""

MOST_SPANS = 512
"""Of one recording; those that come later are counted only."""

_NOTHING: AbstractContextManager[None] = nullcontext()


class Recording:
    """The spans of one request, from all threads that work on it.

    While it is entered, `span` and `event` add to it in this thread, and in others through `carried`. Nothing is kept
    of a request that fails: what its spans would have told goes with the recording.

    Args:
        name: of the root, the span that lasts as long as the recording.
    """

    def __init__(self, name: str) -> None:
        self._lock, self._spans, self._dropped = Lock(), list[_Span](), 0
        self._begin_ns = perf_counter_ns()
        self._root = self.start(name, parent=-1)

    def __enter__(self) -> Recording:  # noqa: PYI034 - Self is of Python 3.11
        self._root.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.__exit__(kind, error, trace)

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Say more of the root."""
        self._root.attributes.update(attributes)

    def start(self, name: str, *, parent: int) -> _Span:
        """A span that begins now; where there is no room for it, it and all below it go nowhere."""
        with self._lock:
            made = _Span(self, name, index=len(self._spans), parent=parent)
            if made.index < MOST_SPANS:
                self._spans.append(made)
            else:
                self._dropped += 1
        return made

    def now_ns(self) -> int:
        """Since the recording began."""
        return perf_counter_ns() - self._begin_ns

    def text(self) -> str:
        """As JSON: `spans`, each behind its parent, with times in nanoseconds since the begin, and `dropped`."""
        spans = [recorded.document() for recorded in self._spans]
        return json.dumps({"spans": spans, "dropped": self._dropped}, separators=(",", ":"))


class _Span:
    """One stretch of time, and what happened in it; while it is entered, others begin below it."""

    __slots__ = ("_name", "_parent", "_recording", "_start_ns", "_stop_ns", "_token", "attributes", "events", "index")

    def __init__(self, recording: Recording, name: str, *, index: int, parent: int) -> None:
        self._recording, self._name, self.index, self._parent = recording, name, index, parent
        self._start_ns = self._stop_ns = recording.now_ns()
        self._token: Token[_Span | None] | None = None
        self.attributes: dict[str, Value] = {}
        self.events: list[tuple[str, int, dict[str, Value]]] = []

    def __enter__(self) -> None:
        self._token = _current.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)
        self._stop_ns = self._recording.now_ns()

    def below(self, name: str) -> _Span:
        """A span that begins now, as a part of this one."""
        return self._recording.start(name, parent=self.index)

    def happened(self, name: str, attributes: dict[str, Value]) -> None:
        """Now."""
        self.events.append((name, self._recording.now_ns(), attributes))

    def document(self) -> dict[str, object]:
        """As it stands in the JSON."""
        return {
            "name": self._name,
            "parent": self._parent,
            "start_ns": self._start_ns,
            "end_ns": self._stop_ns,
            "attributes": self.attributes,
            "events": [{"name": name, "at_ns": at_ns, "attributes": facts} for name, at_ns, facts in self.events],
        }


_current: ContextVar[_Span | None] = ContextVar("hndsr_span", default=None)


def span(name: str, attribute: str = "", value: Value = 0) -> AbstractContextManager[None]:
    """The time spent in a `with` block; without a recording, nothing.

    Args:
        name: what is done there.
        attribute: a fact about it, if there is one; bare, lest a dict is made for nobody.
        value: of the attribute.
    """
    parent = _current.get()
    if parent is None:
        return _NOTHING
    made = parent.below(name)
    if attribute:
        made.attributes[attribute] = value
    return made


def event(name: str, attribute: str, value: Value) -> None:
    """A moment within the span that this thread is in; without a recording, nothing."""
    within = _current.get()
    if within is not None:
        within.happened(name, {attribute: value})


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """What another thread calls once, for its spans to lie below this thread's; without a recording, the function."""
    return function if _current.get() is None else functools.partial(copy_context().run, function)
