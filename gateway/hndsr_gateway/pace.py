"""How long work really takes, learnt from what was done."""

from __future__ import annotations

from dataclasses import dataclass

MEAN_GAIN, DEVIATION_GAIN = 1 / 8, 1 / 4
FIRST_DEVIATION = 1 / 4
"""Of the first time that is seen, as a share of it."""
CAUTION = 2.0
"""Mean deviations above the mean: about one time in twenty is longer."""
LEAST, MOST = 0.25, 20.0
"""How far reality may be from an estimate: what is found in a cache takes less, what is small takes more."""

Kind = tuple[str, int]
"""A model and a size class: of small work a larger part is not done by the device."""


class Paces:
    """Real over estimated time, for each kind of work.

    Source: RFC 6298, as TCP learns how long an answer takes.
    """

    def __init__(self) -> None:
        self._paces: dict[Kind, _Pace] = {}

    def usual(self, kind: Kind) -> float:
        """How much longer than estimated it takes in the mean."""
        return self._paces[kind].mean if kind in self._paces else 1.0

    def cautious(self, kind: Kind) -> float:
        """How much longer than estimated it rarely takes."""
        return self._paces[kind].cautious if kind in self._paces else 1.0 + CAUTION * FIRST_DEVIATION

    def learn(self, kind: Kind, *, real_s: float, estimated_s: float) -> None:
        """Take to heart how long something took."""
        ratio = min(max(real_s / estimated_s, LEAST), MOST) if estimated_s else 1.0
        if kind in self._paces:
            self._paces[kind].learn(ratio)
        else:
            self._paces[kind] = _Pace(ratio, FIRST_DEVIATION * ratio)

    def learn_at_least(self, kind: Kind, *, real_s: float, estimated_s: float) -> None:
        """Take to heart that something took longer than so many seconds, if that is news."""
        if real_s > self.usual(kind) * estimated_s:
            self.learn(kind, real_s=real_s, estimated_s=estimated_s)


@dataclass(slots=True)
class _Pace:
    mean: float
    deviation: float

    @property
    def cautious(self) -> float:
        return self.mean + CAUTION * self.deviation

    def learn(self, ratio: float) -> None:
        self.deviation += DEVIATION_GAIN * (abs(ratio - self.mean) - self.deviation)
        self.mean += MEAN_GAIN * (ratio - self.mean)
