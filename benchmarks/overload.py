"""More is asked for than can be done: how much of what can be done is done in time?"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from service import SCALE, noise, running_service
from timing import median

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc as pb_grpc

WAYS = ("told", "untold")
"""Whether calls tell their deadlines, or are given up then."""
PATIENCE = 5.0
"""How long an answer is worth something, in times of what a request takes alone."""


@dataclass(frozen=True)
class Load:
    """Requests of one window that come at random times; spans are in times of what one takes alone.

    A window at many steps takes long beside what it costs to ask and to refuse, which takes place on the same cores.
    """

    model: str
    steps: int
    side_px: int
    loads: tuple[float, ...]
    """Over capacity."""
    alone: int
    """Requests that are sent one by one."""
    clients: int
    closed: int
    """Requests of each of the clients that find out the capacity."""
    span: float
    rounds: int


LOAD = Load(model="hndsr", steps=16, side_px=48, loads=(0.5, 1, 2, 4), alone=10, clients=4, closed=5, span=50, rounds=3)
SMALL = Load(model="bicubic", steps=0, side_px=48, loads=(0.5, 4), alone=5, clients=2, closed=3, span=30, rounds=1)


@dataclass
class Outcome:
    """What became of requests that came at random times."""

    sent: int = 0
    done_s: list[float] = field(default_factory=list)
    """When those ended that were answered in time, from the first one on."""
    refusal_s: list[float] = field(default_factory=list)
    """How long those took that were refused."""


def measure(load: Load = LOAD) -> dict[str, Any]:
    """Goodput over capacity at each load, where calls tell their deadlines and where they do not."""
    with running_service() as service:
        return asyncio.run(_measured(service.address, load))


async def _measured(address: str, load: Load) -> dict[str, Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        caller = _Caller(pb_grpc.UpscaleServiceStub(channel), load)
        await caller.alone(2)
        service_s = median(await caller.alone(load.alone))
        deadline_s = PATIENCE * service_s
        capacities = [await caller.capacity()]
        found: dict[tuple[float, str], list[dict[str, float]]] = {}
        for _ in range(load.rounds):
            for times, way in itertools.product(load.loads, WAYS):
                arrivals = caller.arrivals(times * capacities[-1], load.span * service_s)
                outcome = await caller.open(arrivals, deadline_s, told=way == "told")
                capacities.append(await caller.capacity())
                # The machine's pace changes: what was done is compared with what could be done before and after.
                facts = _facts(outcome, deadline_s, load.span * service_s, sum(capacities[-2:]) / 2)
                found.setdefault((times, way), []).append(facts)
    return {
        "model": load.model,
        "steps": load.steps,
        "rounds": load.rounds,
        "service_s": service_s,
        "deadline_s": deadline_s,
        "capacity": median(capacities),
        "loads": [{"load": times, **{way: _medians(found[times, way]) for way in WAYS}} for times in load.loads],
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: median([facts[name] for facts in rounds]) for name in rounds[0]}


def _facts(outcome: Outcome, deadline_s: float, span_s: float, capacity: float) -> dict[str, float]:
    """What is found in the time in which requests come and the queue is as full as it gets."""
    steady = [done_s for done_s in outcome.done_s if deadline_s <= done_s < span_s]
    return {
        "goodput": len(steady) / (span_s - deadline_s) / capacity,
        "refused": len(outcome.refusal_s) / max(1, outcome.sent),
        "refusal_p50_s": median(outcome.refusal_s or [0.0]),
    }


class _Caller:
    """Sends requests, each of another image."""

    def __init__(self, stub: pb_grpc.UpscaleServiceStub, load: Load) -> None:
        self._stub, self._load = stub, load
        self._seed = 0
        self._generator = np.random.default_rng(0)

    async def alone(self, count: int) -> list[float]:
        """How long requests take of which each waits for the one before."""
        return [await self._timed() for _ in range(count)]

    async def capacity(self) -> float:
        """Requests per second of clients that each wait for their answer."""
        start_s = time.perf_counter()
        await asyncio.gather(*[self.alone(self._load.closed) for _ in range(self._load.clients)])
        return self._load.clients * self._load.closed / (time.perf_counter() - start_s)

    def arrivals(self, rate: float, span_s: float) -> list[float]:
        """Times of a Poisson process."""
        gaps_s = self._generator.exponential(1 / rate, size=int(2 * rate * span_s) + 100)
        return [float(at_s) for at_s in np.cumsum(gaps_s) if at_s < span_s]

    async def open(self, arrivals: list[float], deadline_s: float, *, told: bool) -> Outcome:
        """Send requests at these times, whatever becomes of those before."""
        messages = [self._message() for _ in arrivals]
        outcome, start_s = Outcome(sent=len(arrivals)), time.perf_counter()

        async def send(at_s: float, message: pb.UpscaleRequest) -> None:
            await asyncio.sleep(start_s + at_s - time.perf_counter())
            begun_s = time.perf_counter()
            call = self._stub.Upscale(message, timeout=deadline_s if told else None)
            try:
                await asyncio.wait_for(call, deadline_s)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    outcome.refusal_s.append(time.perf_counter() - begun_s)
            except asyncio.TimeoutError:
                call.cancel()
            else:
                outcome.done_s.append(time.perf_counter() - start_s)

        await asyncio.gather(*map(send, arrivals, messages))
        return outcome

    async def _timed(self) -> float:
        message, start_s = self._message(), time.perf_counter()
        await self._stub.Upscale(message)
        return time.perf_counter() - start_s

    def _message(self) -> pb.UpscaleRequest:
        self._seed += 1
        pixels = noise(self._load.side_px, self._seed)
        side_px, sample_type = self._load.side_px, pb.SAMPLE_TYPE_UINT8
        return pb.UpscaleRequest(
            parameters=pb.UpscaleParameters(
                model=self._load.model, scale=str(SCALE), options=pb.UpscaleOptions(steps=self._load.steps)
            ),
            raw=pb.RawImage(height_px=side_px, width_px=side_px, sample_type=sample_type, pixels=pixels.tobytes()),
        )
