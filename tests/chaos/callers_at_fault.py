"""Callers that behave badly, and what others notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import grpc
import numpy as np
from chaos.keys import bearer, new_key
from chaos.scenario import NEVER, Plot
from chaos.stage import Stage
from google.rpc import error_details_pb2, status_pb2
from in_process import request
from raw_http2 import UPSCALE, RawConnection, data, header_block, headers, message, raw_connection
from streams import start, strips

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_gateway.status import DETAILS_KEY

STALL_S = 3.0
"""How long a stream may not be read."""
RECEIVE_S = 3.0
"""How long a message may take to come in."""
SILENT = 50
"""Connections that fall silent."""
SILENT_ENDINGS = frozenset({"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
"""How their calls may end: some are waited for, the others find no place."""
SLACK = 2
"""File descriptors that other callers may open meanwhile."""
LATE_S = 30.0
"""How much later than that a busy machine may notice."""
BLACK = np.zeros((900, 900, 3), np.uint8)
"""A tile whose target is more than the way takes while nobody reads."""


def read_slowly(stage: Stage) -> None:
    """A stream is opened, a tile is sent, and nothing is read."""
    reader = _SlowReader(stage.address)
    start_s = time.monotonic()
    stage.until(
        lambda: "STREAM_STALLED" in stage.log.read_text(errors="replace"),
        timeout_s=STALL_S + LATE_S,
        fault="the stream that was not read did not end",
    )
    noticed_s = time.monotonic() - start_s
    reader.reads.set()
    reason = reader.ended.result(timeout=LATE_S)
    stage.notes.append(f"the slow reader is given up after {noticed_s:.1f} s, and reads {reason or 'no error'}")
    if reason != "STREAM_STALLED":
        stage.faults.append(f"the slow reader was told {reason!r}")
    stage.mark()


class _SlowReader:
    """A stream whose answers are left where they are until `reads` is set."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._plan: queue.Queue[pb.Plan] = queue.Queue()
        self.reads = threading.Event()
        self.ended: Future[str] = Future()
        """The reason that the stream ended with; empty: none."""
        threading.Thread(target=lambda: self.ended.set_result(self._call()), daemon=True).start()

    def _call(self) -> str:
        with grpc.insecure_channel(self._address) as channel:
            answers = upscale_pb2_grpc.UpscaleServiceStub(channel).UpscaleStream(self._messages())
            self._plan.put(next(answers).plan.plan)
            self.reads.wait()
            try:
                for _ in answers:
                    pass
            except grpc.RpcError as error:
                return _reason(error)
        return ""

    def _messages(self) -> Iterator[pb.UpscaleStreamRequest]:
        yield start(BLACK, cores=16, scale="8")
        plan = self._plan.get()
        for column in range(len(plan.column_spans)):
            yield from strips(plan, (0, column), BLACK)


def _reason(error: grpc.RpcError) -> str:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata() or ()).get(DETAILS_KEY, b""))
    info = error_details_pb2.ErrorInfo()
    return info.reason if any(detail.Unpack(info) for detail in status.details) else str(error.code())


@contextlib.contextmanager
def falling_silent(folder: Path) -> Iterator[Plot]:
    """A gateway with keys: those that fall silent have one, the others another."""
    keys = folder / "keys.json"
    good, silent = new_key(keys, "good"), new_key(keys, "silent")
    settings = {"HNDSR_API_KEYS": str(keys), "HNDSR_RECEIVE_TIMEOUT_S": f"{RECEIVE_S:g}"}
    yield Plot(lambda stage: _fall_silent(stage, bearer(silent)), settings, metadata=bearer(good), reasons=NEVER)


def _fall_silent(stage: Stage, metadata: Mapping[str, str]) -> None:
    """Connections begin calls and send no more; others say nothing at all; then all of them go without a word."""
    gateway = stage.gateway.process
    assert gateway
    before = gateway.num_fds()
    took_s, kinds = asyncio.run(_silent(stage.address, metadata))
    stage.mark()
    told = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
    stage.notes.append(f"the {SILENT} calls whose message never came whole ended within {took_s:.1f} s: {told}")
    stage.faults += [f"a silent call ended with {kind}" for kind in kinds.keys() - SILENT_ENDINGS]
    stage.until(
        lambda: gateway.num_fds() <= before + SLACK, timeout_s=LATE_S, fault="connections that went are still open"
    )


async def _silent(address: str, metadata: Mapping[str, str]) -> tuple[float, Counter[str]]:
    """When the last of the calls ended, and how they did."""
    half = message(request(pb.RawImage(height_px=8, width_px=8, pixels=bytes(192))).SerializeToString())[:-50]
    opening = headers(1, header_block(UPSCALE, *metadata.items())) + data(1, half)
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(raw_connection(address)) for _ in range(SILENT)]
        idle = [await stack.enter_async_context(raw_connection(address)) for _ in range(SILENT)]
        start_s = time.monotonic()
        for connection in opened:
            await connection.send(opening)
        found = await asyncio.wait_for(asyncio.gather(*map(_status, opened)), RECEIVE_S + LATE_S)
        took_s = time.monotonic() - start_s
        for connection in (*opened, *idle):
            connection.drop()
    names = {str(code.value[0]): code.name for code in grpc.StatusCode}
    return took_s, Counter(names.get(status, status) for status in found)


async def _status(connection: RawConnection) -> str:
    return (await connection.ended(1)).get("grpc-status", "closed")
