"""What is done to a gateway under traffic, and what came of it."""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.stage import Stage

AWAY = frozenset({"BACKEND_UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"})
"""How calls may fail while something is away."""
STOPPED = frozenset({0, -signal.SIGTERM})
"""How the last gateway of a stage may end."""
KILLED = frozenset({-signal.SIGKILL})
"""How one ends that is killed."""
NEVER: frozenset[str] = frozenset()
ANY = "*"
"""Stands for every reason, a wrong answer among them."""


@dataclass(frozen=True)
class Plot:
    """One fault: how it is brought about, and what it is brought about to."""

    act: Callable[[Stage], None]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the gateway, beside those of the stage."""
    wrapper: Sequence[str] = ()
    """What the gateway's command is an argument of."""
    host: str = "127.0.0.1"
    """Where it listens."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Goes with the calls of all callers."""
    reasons: frozenset[str] = AWAY
    """How their calls may fail."""
    endings: frozenset[int] = frozenset()
    """How gateways may end before the last one does."""
    through: Callable[[str], contextlib.AbstractContextManager[tuple[str, Counter[str]]]] | None = None
    """From the gateway's address to the one that its callers use, and what happens on the way; None: there is none."""


@dataclass(frozen=True)
class Scenario:
    """A fault that can be played."""

    name: str
    fault: str
    """What is done, in the words of the table."""
    plot: Callable[[Path], contextlib.AbstractContextManager[Plot]]
    """Makes it, in a folder of its own, and clears up after it."""
    missing: Callable[[], str] = lambda: ""
    """What it needs that is not here; empty: nothing."""


def simple(act: Callable[[Stage], None], **settings: Any) -> Callable[[Path], contextlib.AbstractContextManager[Plot]]:
    """A plot that needs nothing around it; settings beginning with HNDSR_ are the gateway's, others the plot's."""
    own = {name: value for name, value in settings.items() if not name.startswith("HNDSR_")}
    theirs = {name: value for name, value in settings.items() if name.startswith("HNDSR_")}
    return lambda _: contextlib.nullcontext(Plot(act, settings=theirs, **own))


@dataclass
class Outcome:
    """What was seen."""

    name: str
    faults: list[str] = field(default_factory=list)
    """Everything that is not as it must be."""
    notes: list[str] = field(default_factory=list)
    """What others than the callers saw."""
    plain: dict[str, Any] = field(default_factory=dict)
    patient: dict[str, Any] = field(default_factory=dict)
    scene: dict[str, Any] = field(default_factory=dict)
    lasts: bool = False
    """Whether the fault is there to the end."""
    seconds: float = 0.0
