"""Callers of a gateway, and what each of them sees: two of single images, and one of a scene of many tiles."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
from in_process import scene
from oracle import upscale

from hndsr_client import Client, HndsrError, Progress, Retry, ServiceError

INTERVAL_S = 0.2
"""Between the calls of a caller of single images."""
TIMEOUT_S = 10.0
"""How long each of its calls may take."""
MODEL, SCALE = "bicubic", "3.14"
SMALL_PX, WIDE_PX = (60, 70), (400, 500)
PICTURES = 4
PACE_S = 0.1
"""The stream's caller dawdles after each tile, so that faults find something to interrupt."""
WRONG = "WRONG"
"""What stands for an answer that is not the right one."""
CALLS = 20
"""How often the stream's caller makes its call before it gives up."""


@dataclass(frozen=True)
class Answer:
    """How a call ended."""

    start_s: float
    end_s: float
    reason: str
    """Of its error; empty: the answer was right."""


@dataclass
class Seen:
    """What a caller of single images has seen."""

    answers: list[Answer] = field(default_factory=list)

    def right_after(self, instant_s: float) -> int:
        """How many calls that began after an instant and after the last failure were answered rightly."""
        good = 0
        for answer in self.answers:
            good = 0 if answer.reason else good + (answer.start_s >= instant_s)
        return good

    def facts(self, fault_s: float) -> dict[str, object]:
        """Counts, and how long after a fault the first right answer came that no failure followed."""
        refused = Counter(answer.reason for answer in self.answers if answer.reason)
        last = max((number for number, answer in enumerate(self.answers) if answer.reason), default=None)
        right = [answer for answer in self.answers[0 if last is None else last + 1 :] if not answer.reason]
        again_s = 0.0 if last is None else (right[0].end_s - fault_s if right else None)
        return {
            "right": sum(not answer.reason for answer in self.answers),
            "refused": dict(refused),
            "right_again_s": None if again_s is None else round(max(0.0, again_s), 1),
            "slowest_s": round(max((a.end_s - a.start_s for a in self.answers if not a.reason), default=0.0), 1),
        }


class Callers:
    """Threads that call one gateway until they are told to stop.

    Args:
        folder: where the scene's files are.
        metadata: goes with every call.
    """

    def __init__(self, folder: Path, *, metadata: Mapping[str, str]) -> None:
        self._folder, self._metadata = folder, dict(metadata)
        self._pictures = [_with_target(scene(SMALL_PX, seed=seed)) for seed in range(PICTURES)]
        self._scene = _with_target(scene(WIDE_PX, "uint16"))
        self._enough = threading.Event()
        self._changed = threading.Condition()
        self.plain, self.patient = Seen(), Seen()
        """Of a caller that never tries again, and of one that does as the SDK does by itself."""
        self.tiles = 0
        """How many tiles the scene's caller was told of."""
        self.scene_calls, self.scene_errors, self.reconnections = 0, Counter[str](), 0
        self.longest_pause_s = 0.0
        """The longest that the scene's caller had no news."""
        self.scene_ended = threading.Event()
        self.scene_is_right = False
        self._threads = [
            threading.Thread(target=self._call, args=(self.plain, None)),
            threading.Thread(target=self._call, args=(self.patient, Retry())),
            threading.Thread(target=self._stream),
        ]

    def start(self, address: str) -> None:
        """Begin to call what listens at an address."""
        self._address, self._told_s = address, time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when no call is under way any more."""
        self._enough.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def wait_for_tiles(self, count: int, *, timeout_s: float) -> bool:
        """Whether so many tiles of the scene are done in time, or all are."""
        with self._changed:
            return self._changed.wait_for(lambda: self.tiles >= count or self.scene_ended.is_set(), timeout_s)

    def wait_until_well(self, fault_s: float, *, answers: int, timeout_s: float) -> bool:
        """Whether the scene ends in time, and both other callers have so many right answers in a row after a fault."""
        until_s = time.monotonic() + timeout_s
        self.scene_ended.wait(timeout_s)
        while time.monotonic() < until_s:
            if all(seen.right_after(fault_s) >= answers for seen in (self.plain, self.patient)):
                return self.scene_ended.is_set()
            time.sleep(INTERVAL_S / 2)
        return False

    def _call(self, seen: Seen, retry: Retry | None) -> None:
        pictures = cycle(self._pictures)
        with Client(self._address, retry=retry, metadata=self._metadata, timeout_s=TIMEOUT_S) as client:
            while not self._enough.is_set():
                source, target = next(pictures)
                start_s = time.monotonic()
                reason = _reason(client, source, target)
                seen.answers.append(Answer(start_s, time.monotonic(), reason))
                self._enough.wait(max(0.0, start_s + INTERVAL_S - time.monotonic()))

    def _stream(self) -> None:
        sink = self._folder / "scene.npy"
        try:
            with Client(self._address, metadata=self._metadata) as client:
                while self.scene_calls < CALLS and not self._enough.is_set() and not self._ends(client, sink):
                    self._enough.wait(1.0)
            self.scene_is_right = sink.exists() and np.array_equal(np.load(sink), self._scene[1])
        finally:
            self.scene_ended.set()

    def _ends(self, client: Client, sink: Path) -> bool:
        """Make the scene's call: whether it was answered."""
        self.scene_calls += 1
        try:
            result = client.upscale_array(
                self._scene[0], sink, model=MODEL, scale=SCALE, cores_per_tile=1, on_progress=self._tell
            )
        except HndsrError as error:
            self.scene_errors[_name(error)] += 1
            return False
        self.reconnections += result.reconnections
        return True

    def _tell(self, progress: Progress) -> None:
        with self._changed:
            self.tiles = progress.tiles_done
            self._changed.notify_all()
        now_s = time.monotonic()
        self.longest_pause_s, self._told_s = max(self.longest_pause_s, now_s - self._told_s), now_s
        self._enough.wait(PACE_S)


def _with_target(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return source, upscale(source, model=MODEL, scale=SCALE).pixels


def _reason(client: Client, source: np.ndarray, target: np.ndarray) -> str:
    try:
        image = client.upscale(source, model=MODEL, scale=SCALE).image
    except HndsrError as error:
        return _name(error)
    return "" if np.array_equal(image, target) else WRONG


def _name(error: HndsrError) -> str:
    return error.reason if isinstance(error, ServiceError) else type(error).__name__
