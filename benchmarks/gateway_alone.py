"""The gateway alone: streams through it with a model that costs nothing, beside a bare gRPC server's same messages."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import statistics
import struct
import subprocess
import sys
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, cast

import grpc
import numpy as np
import psutil

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, model_repository, read_manifests
from hndsr_ensemble.tiles import TileStats
from hndsr_gateway.__main__ import give_back_memory
from hndsr_gateway.server import image_workers, serving
from hndsr_gateway.settings import Settings
from hndsr_gateway.types import ModelDescription, Raster, TileRequest, TileResponse

MEGAPIXELS = 512
"""Of all targets of a round together, 2²⁰ px each."""
ROUNDS = 5
STREAMS = (1, 4)
SCALES = (4, 2)
MODEL = "bicubic"
STRIP_BYTES = 2 * 2**20
METHOD = "/hndsr.v1.UpscaleService/UpscaleStream"
OPTIONS = (("grpc.max_receive_message_length", 2**29), ("grpc.use_local_subchannel_pool", 1))
"""A channel of its own for each stream, and so a connection."""


class WrongAnswerError(RuntimeError):
    """The gateway answered something else than the whole target."""


@dataclass(frozen=True)
class Server:
    """A server process, or several on one port."""

    address: str
    processes: tuple[psutil.Process, ...]
    model_cpu_s_per_gb: Callable[[], float]
    """What its model took so far; it is in the processes' time."""

    def cpu_s(self) -> float:
        """Processor time so far, in seconds."""
        times = [process.cpu_times() for process in self.processes]
        return sum(each.user + each.system for each in times)


@dataclass(frozen=True)
class Work:
    """What one stream sends: its start, and every strip of its source as the bytes of a message."""

    plan: pb.Plan
    start: bytes
    strips: tuple[bytes, ...]

    @property
    def target_bytes(self) -> int:
        """Pixels that come back, in bytes."""
        return self.plan.target_height_px * self.plan.target_width_px * 3


@dataclass(frozen=True)
class Round:
    """What one drive took."""

    seconds: float
    cpu_s: float
    messages: int


class MosaicBackend:
    """A `TileBackend` whose targets are their sources side by side, as often as they fit: at the speed of memory.

    Its arrays are used again, so that they are not paid for as new memory. What it takes is counted.
    """

    def __init__(self) -> None:
        self._description = ModelDescription(_manifest(), "gateway-alone", "numpy", "cpu", 1e-6, 1e-6)
        self._free: dict[tuple[int, ...], list[np.ndarray]] = {}
        self._cpu_s, self._bytes = 0.0, 1

    @property
    def cpu_s_per_gb(self) -> float:
        """Processor time for 10⁹ bytes of target, in seconds."""
        return self._cpu_s / (self._bytes / 1e9)

    async def describe(self) -> list[ModelDescription]:
        """The only model."""
        return [self._description]

    def endpoints(self, model: str, revision: str) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's names
        """The only one."""
        return ("here",)

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """The tile's own pixels, as often as its target has room for them."""
        pixels = await asyncio.to_thread(self._mosaic, own_pixels(tile), tile.geometry.scale.numerator)
        return TileResponse(Raster(pixels), TileStats(windows=1))

    def _mosaic(self, pixels: np.ndarray, scale: int) -> np.ndarray:
        start_s = time.thread_time()
        height, width, bands = pixels.shape
        kept = self._array((scale, height, scale, width, bands))
        kept[:] = pixels[:, np.newaxis]
        target = kept.reshape(scale * height, scale * width, bands)
        weakref.finalize(target, self._free[kept.shape].append, kept)
        self._cpu_s += time.thread_time() - start_s
        self._bytes += target.nbytes
        return target

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        free = self._free.setdefault(shape, [])
        return free.pop() if free else np.empty(shape, np.uint8)


def own_pixels(tile: TileRequest) -> np.ndarray:
    """What of a tile's source lies under its own target, at a whole scale."""
    geometry, window, sides = tile.geometry, _manifest().geometry, []
    for length, start, cores in (
        (geometry.height, geometry.source[0], geometry.cores[:2]),
        (geometry.width, geometry.source[2], geometry.cores[2:]),
    ):
        span = Axis(length, geometry.scale, window).span(*cores)
        sides.append(slice(*(px // geometry.scale.numerator - start for px in (span.target_start, span.target_stop))))
    return tile.raster.pixels[tuple(sides)]


@functools.cache
def _manifest() -> Manifest:
    return read_manifests(model_repository())[MODEL]


def measure() -> dict[str, Any]:
    """Streams of 8 bits by scale and number, through the gateway and from the bare server in turn; medians."""
    rows = [by_streams(streams, scale=scale) for scale in SCALES for streams in STREAMS]
    return {"megapixels": MEGAPIXELS, "rounds": ROUNDS, "rows": rows}


def by_streams(streams: int, *, scale: int = 4, processes: int = 1, megapixels: int = MEGAPIXELS) -> dict[str, Any]:
    """So many streams at once, of so many megapixels together, with so many gateway processes."""
    side_px = int((megapixels * 2**20 / streams) ** 0.5) // scale
    with _gateway(processes) as gateway:
        work = asyncio.run(_work(gateway.address, side_px, scale))
        with _process("bare", work.plan.SerializeToString().hex()) as bare:
            asyncio.run(_check(gateway.address, work))
            rounds = asyncio.run(_rounds((gateway, bare), work, streams))
            model = gateway.model_cpu_s_per_gb()
    results = {name: _result(rounds[name], work, streams) for name in rounds}
    return {
        "streams": streams,
        "scale": scale,
        "processes": processes,
        **results,
        "model_cpu_s_per_gb": model,
        "ratio": statistics.median(b.seconds / g.seconds for g, b in zip(*rounds.values(), strict=True)),
    }


def _result(rounds: Sequence[Round], work: Work, streams: int) -> dict[str, float]:
    seconds, size_bytes = statistics.median(each.seconds for each in rounds), streams * work.target_bytes
    return {
        "mb_per_s": size_bytes / 1e6 / seconds,
        "messages_per_s": rounds[0].messages / seconds,
        "cpu_s_per_gb": statistics.median(each.cpu_s for each in rounds) / (size_bytes / 1e9),
    }


async def _rounds(servers: tuple[Server, Server], work: Work, streams: int) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {"gateway": [], "bare": []}
    for number in range(ROUNDS + 1):
        for done, server in zip(rounds.values(), servers, strict=True):
            drive = await _drive(server, work, streams)
            if number:  # the first warms up
                done.append(drive)
    return rounds


async def _drive(server: Server, work: Work, streams: int) -> Round:
    before_s, began_s = server.cpu_s(), time.perf_counter()
    messages = await asyncio.gather(*(_stream(server.address, work) for _ in range(streams)))
    return Round(time.perf_counter() - began_s, server.cpu_s() - before_s, sum(messages))


async def _stream(address: str, work: Work) -> int:
    """One stream from start to summary; how many messages came, which are left as they are."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = channel.stream_stream(METHOD)()
        await call.write(work.start)
        await call.read()
        writing = asyncio.create_task(_write(call, work))
        messages = 1
        while await call.read() is not grpc.aio.EOF:
            messages += 1
        await writing
        return messages


async def _write(call: Any, work: Work) -> None:
    for strip in work.strips:
        await call.write(strip)
    await call.done_writing()


async def _work(address: str, side_px: int, scale: int) -> Work:
    """Every message of a stream, by the plan that the gateway makes."""
    start = pb.StreamStart(
        source_height_px=side_px,
        source_width_px=side_px,
        sample_type=pb.SAMPLE_TYPE_UINT8,
        parameters=pb.UpscaleParameters(model=MODEL, scale=str(scale)),
    )
    message = pb.UpscaleStreamRequest(start=start)
    async with grpc.aio.insecure_channel(address) as channel:
        call = upscale_pb2_grpc.UpscaleServiceStub(channel).UpscaleStream()
        await call.write(message)
        plan = (await call.read()).plan.plan
        await call.done_writing()
    pixels = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    places = [(row, column) for row in range(len(plan.row_spans)) for column in range(len(plan.column_spans))]
    strips = tuple(strip for place in places for strip in _strips(plan, place, pixels))
    return Work(plan, message.SerializeToString(), strips)


def _strips(plan: pb.Plan, place: tuple[int, int], pixels: np.ndarray) -> Iterator[bytes]:
    rows, columns = plan.row_spans[place[0]], plan.column_spans[place[1]]
    tile = pixels[rows.source_start_px : rows.source_stop_px, columns.source_start_px : columns.source_stop_px]
    step = STRIP_BYTES // tile[0].nbytes
    for y in range(0, len(tile), step):
        strip = pb.SourceStrip(row=place[0], column=place[1], y_px=y, pixels=tile[y : y + step].tobytes())
        strip.last = y + step >= len(tile)
        strip.checksum = _checksum(strip)
        yield pb.UpscaleStreamRequest(strip=strip).SerializeToString()


def _checksum(strip: pb.SourceStrip | pb.TargetStrip) -> int:
    head = struct.pack("<4I", strip.row, strip.column, strip.y_px, strip.last)
    return zlib.crc32(strip.pixels, zlib.crc32(head))


async def _check(address: str, work: Work) -> None:
    """Look once whether the gateway answers the whole target, as its checksums say.

    Raises:
        WrongAnswerError: if it does not.
    """
    size_bytes = 0
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        call = upscale_pb2_grpc.UpscaleServiceStub(channel).UpscaleStream()
        requests = (pb.UpscaleStreamRequest.FromString(each) for each in (work.start, *work.strips))
        writing = asyncio.create_task(_send_all(call, requests))
        async for answer in call:
            if answer.HasField("strip"):
                size_bytes += len(answer.strip.pixels) * (answer.strip.checksum == _checksum(answer.strip))
        await writing
    if size_bytes != work.target_bytes:
        raise WrongAnswerError(f"{size_bytes:,} of {work.target_bytes:,} bytes came as they should")


async def _send_all(call: Any, requests: Iterator[pb.UpscaleStreamRequest]) -> None:
    for request in requests:
        await call.write(request)
    await call.done_writing()


@contextlib.contextmanager
def _gateway(processes: int) -> Iterator[Server]:
    """Gateway processes that share a port."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(_process("gateway", str(processes), "127.0.0.1:0"))
        others = [stack.enter_context(_process("gateway", str(processes), first.address)) for _ in range(processes - 1)]
        processes = tuple(each for server in (first, *others) for each in server.processes)
        yield replace(first, processes=processes)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[Server]:
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)

        def ask() -> float:
            stdin.write("\n")
            stdin.flush()
            return float(stdout.readline())

        try:
            yield Server(json.loads(stdout.readline()), (psutil.Process(process.pid),), ask)
        finally:
            stdin.close()
            process.wait()


async def _serve_gateway(processes: str, listen: str) -> None:
    give_back_memory()
    settings = Settings(listen=listen, processes=int(processes), image_workers=1, drain_grace_s=0)
    backend = MosaicBackend()
    async with image_workers(settings) as images, serving(backend, images, settings) as address:
        await _until_closed(address, lambda: backend.cpu_s_per_gb)


async def _serve_bare(plan: str) -> None:
    server = grpc.aio.server()
    behaviour = _Bare(pb.Plan.FromString(bytes.fromhex(plan))).answers
    handler = grpc.stream_stream_rpc_method_handler(
        behaviour,
        request_deserializer=pb.UpscaleStreamRequest.FromString,
        response_serializer=pb.UpscaleStreamResponse.SerializeToString,
    )
    service, method = METHOD[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await _until_closed(f"127.0.0.1:{port}", lambda: 0.0)
    await server.stop(0)


class _Bare:
    """Answers a tile's last strip with messages that were made before, of the same sizes."""

    def __init__(self, plan: pb.Plan) -> None:
        self._plan = plan
        self._made: dict[tuple[int, int], list[pb.UpscaleStreamResponse]] = {}

    async def answers(
        self,
        requests: AsyncIterator[pb.UpscaleStreamRequest],
        context: Any,  # noqa: ARG002 - gRPC hands it over
    ) -> AsyncIterator[pb.UpscaleStreamResponse]:
        async for request in requests:
            if request.HasField("start"):
                yield pb.UpscaleStreamResponse(plan=pb.StreamPlan(plan=self._plan))
            elif request.strip.last:
                for answer in self._tile(request.strip.row, request.strip.column):
                    yield answer

    def _tile(self, row: int, column: int) -> list[pb.UpscaleStreamResponse]:
        spans = self._plan.row_spans[row], self._plan.column_spans[column]
        height, width = (span.target_stop_px - span.target_start_px for span in spans)
        if (height, width) not in self._made:
            self._made[height, width] = list(_target(height, width))
        return self._made[height, width]


def _target(height: int, width: int) -> Iterator[pb.UpscaleStreamResponse]:
    step = STRIP_BYTES // (width * 3)
    for y in range(0, height, step):
        rows = min(step, height - y)
        strip = pb.TargetStrip(row=1, column=1, y_px=y, pixels=np.random.default_rng(y).bytes(rows * width * 3))
        strip.last, strip.checksum = y + step >= height, 0x12345678
        yield pb.UpscaleStreamResponse(strip=strip)


async def _until_closed(address: str, model_cpu_s_per_gb: Callable[[], float]) -> None:
    """Tell the address, and what the model took whenever a line asks for it, until there are no more."""
    print(json.dumps(address), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(model_cpu_s_per_gb(), flush=True)


def main() -> None:
    """Measure as asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--megapixels", type=int, default=MEGAPIXELS)
    asked = parser.parse_args()
    found = by_streams(asked.streams, scale=asked.scale, processes=asked.processes, megapixels=asked.megapixels)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    programs = {"gateway": _serve_gateway, "bare": _serve_bare}
    if sys.argv[1:2] and sys.argv[1] in programs:
        asyncio.run(programs[sys.argv[1]](*sys.argv[2:]))
    else:
        main()
