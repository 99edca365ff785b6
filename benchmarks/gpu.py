"""`make bench-gpu`: one CUDA GPU, from a bare pass to a gigapixel through the whole stack, and whether bytes hold.

`--device cpu` runs every line of it at tiny sizes, to try the code where there is no GPU; nothing is kept of that
unless a folder is named.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
import roofline
import torch
from alternatives import TritonCaller
from busy import Busy, gpu_memory_mib, watched_gpu
from gpu_engine import DeviceNetworks, InProcess
from run import DOCS, publish
from service import SCALE, axis_of, memory_mib, noise, running_service, source_side
from timing import Rounds, in_turn, median, seconds

from hndsr_client import Client
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry

MPX = 2**20
FOUR_WINDOWS = 480**2 / MPX
ROUNDS = Rounds(least=2, most=5, budget_s=40)
TIMING = roofline.ON_CUDA
SCENE_PX = 480
TILES = 3


@dataclass(frozen=True)
class Extent:
    """Sizes; megapixels of 2²⁰ px of the target."""

    engine: str = "torch"
    device: str = "cuda"
    precision: str = "bfloat16"
    batches: tuple[int, ...] = (8, 16, 32, 64)
    steps: tuple[int, ...] = (0, 4, 20)
    served_batch: int = 32
    tile_megapixels: float = 12.25
    stack_megapixels: float = 64
    stack_steps: tuple[int, ...] = (4, 20)
    giga_megapixels: float = 1024
    unseen_scales: tuple[str, ...] = ("3.37", "5.123", "2.71")
    rounds: Rounds = ROUNDS
    timing: roofline.Extent = TIMING

    @property
    def environment(self) -> dict[str, str]:
        """What makes the service run on this device."""
        return {
            "HNDSR_ENGINE": self.engine,
            "HNDSR_DEVICE": self.device,
            "HNDSR_PRECISION": self.precision,
            "HNDSR_WINDOW_BATCH": str(self.served_batch),
        }


FULL = Extent()
SMALL = Extent(
    device="cpu",
    precision="float32",
    batches=(1, 2),
    steps=(0, 1),
    served_batch=2,
    tile_megapixels=FOUR_WINDOWS,
    stack_megapixels=FOUR_WINDOWS,
    stack_steps=(1,),
    giga_megapixels=FOUR_WINDOWS,
    unseen_scales=("3.37",),
    rounds=Rounds(1, 1, 0),
    timing=roofline.Extent(copied_bytes=2**24, sides=(256,), budget_s=0.05, least=1),
)


class NoDeviceError(RuntimeError):
    """There is no CUDA device to measure."""

    def __init__(self) -> None:
        super().__init__(
            "no CUDA device is found: run `make bench-gpu` where `nvidia-smi` lists a GPU and torch is a CUDA build, "
            "or `python benchmarks/gpu.py --device cpu` to try the code"
        )


def measure(extent: Extent = FULL) -> dict[str, Any]:
    """All parts.

    Raises:
        NoDeviceError: if CUDA is asked for and not there.
    """
    if extent.device == "cuda" and not torch.cuda.is_available():
        raise NoDeviceError
    device = torch.device(extent.device)
    rates = roofline.machine_rates(device, extent.timing)
    _give_back(device)
    passes, pipeline = _networks(device, extent, rates)
    allocated_mib = _give_back(device)
    in_process = _in_process(extent)
    _give_back(device)
    return {
        "device": _device(device),
        "precision": extent.precision,
        "machine_rates": rates,
        "passes": passes,
        "pipeline": pipeline,
        "memory_allocated_mib": allocated_mib,
        **in_process,
        **_served(DeviceNetworks(extent.device, extent.precision, extent.served_batch), extent),
    }


def _device(device: torch.device) -> dict[str, str]:
    if device.type != "cuda":
        return {"name": "cpu", "torch": torch.__version__, "cuda": ""}
    name, memory = torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory
    return {"name": f"{name}, {memory / 2**30:.0f} GiB", "torch": torch.__version__, "cuda": str(torch.version.cuda)}


def _give_back(device: torch.device) -> float:
    """Free what nobody uses, so that the service finds room; the most MiB that were in use since the last time."""
    if device.type != "cuda":
        return 0.0
    most_bytes = torch.cuda.max_memory_allocated(device)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return most_bytes / 2**20


def _networks(
    device: torch.device, extent: Extent, rates: dict[str, Any]
) -> tuple[dict[str, list[dict[str, float]]], list[dict[str, float]]]:
    """Bare passes, and whole windows in one go, by batch."""
    work = roofline.window_work()
    matrix_rate, number_bytes = roofline.PRECISIONS[extent.precision]
    passes: dict[str, list[dict[str, float]]] = {name: [] for name in work}
    pipeline = []
    for batch in extent.batches:
        networks = DeviceNetworks(device.type, extent.precision, batch)
        for name, run in networks.passes().items():
            taken = roofline.repeated(run, extent.timing, device)
            reached = roofline.share(work[name], taken / batch, rates, matrix_rate, number_bytes, batch=batch)
            passes[name].append({"batch": batch, "pass_s": taken, "windows_per_s": batch / taken, **reached})
        for steps in extent.steps:
            rate = batch / roofline.repeated(networks.windows(steps), extent.timing, device)
            pipeline.append({"steps": steps, "batch": batch, "windows_per_s": rate, "mpx_per_s": rate * _window_mpx()})
    return passes, pipeline


def _window_mpx() -> float:
    """What a window adds to a large target: its stride, squared."""
    return axis_of(1).window.stride_px ** 2 / MPX


def tile(side_px: int, *, steps: int, seed: int, scale: str = str(SCALE)) -> dict[str, np.ndarray]:
    """A request for a whole square image of noise as one tile."""
    axis = axis_of(side_px, Scale.parse(scale))
    return _tensors(noise(side_px, seed), axis, axis, (0, axis.windows), steps)


def _tensors(image: np.ndarray, rows: Axis, columns: Axis, cores: tuple[int, int], steps: int) -> dict[str, np.ndarray]:
    """A request for all of an image's height and these of its columns of cores."""
    row_span, column_span = rows.span(0, rows.windows), columns.span(*cores)
    pixels = image[:, column_span.source_start : column_span.source_stop]
    return {
        "MODEL": np.array([b"hndsr"], dtype=np.object_),
        "PIXELS_U8": np.ascontiguousarray(pixels),
        "GEOMETRY": TileGeometry.of(rows, columns, row_span, column_span).pack(),
        "STEPS": np.array([steps], dtype=np.int32),
        "TEXTURE": np.array([1.0], dtype=np.float32),
        "SEED": np.array([0], dtype=np.uint64),
    }


def _in_process(extent: Extent) -> dict[str, Any]:
    """The tiling model's code without Triton: a tile, a new scale, and whether the bytes are those they should be."""
    served, side_px = InProcess(extent.environment), source_side(extent.tile_megapixels)
    served.answer(tile(64, steps=1, seed=0))
    return {
        "engine": served.facts,
        "tile": [_tile(served, extent.tile_megapixels, steps) for steps in extent.steps],
        "unseen_scales": [_unseen(served, scale) for scale in extent.unseen_scales],
        "agreement": [_agreement(served, steps) for steps in (0, 4)],
        "same_run_to_run": _same_twice(served, side_px),
        "same_at_every_position": _same_anywhere(served, extent.served_batch),
    }


def _tile(served: InProcess, megapixels: float, steps: int) -> dict[str, float]:
    requests = [tile(source_side(megapixels), steps=steps, seed=seed) for seed in range(TILES)]
    taken = median([seconds(partial(served.answer, request)) for request in requests])
    return {"steps": steps, "seconds": taken, "mpx_per_s": megapixels / taken}


def _unseen(served: InProcess, scale: str) -> dict[str, Any]:
    requests = [tile(96, steps=0, seed=seed, scale=scale) for seed in (1, 2)]
    first, second = (seconds(partial(served.answer, request)) for request in requests)
    return {"scale": scale, "first_s": first, "second_s": second}


def _agreement(served: InProcess, steps: int) -> dict[str, float]:
    """With onnxruntime on the CPU in fp32, on a rendered scene."""
    reference = InProcess({"HNDSR_ENGINE": "onnxruntime", "HNDSR_DEVICE": "cpu"})
    source = reduce_bicubic(render_scene(SCENE_PX, SCENE_PX, seed=7), SCALE, 1)
    axis = axis_of(len(source))
    request = _tensors(source, axis, axis, (0, axis.windows), steps)
    apart = np.abs(served.answer(request).astype(np.int16) - reference.answer(request))
    return {
        "steps": steps,
        "within_1_level": float((apart <= 1).all(axis=-1).mean()),
        "mean_levels": float(apart.mean()),
        "most_levels": int(apart.max()),
    }


def _same_twice(served: InProcess, side_px: int) -> bool:
    request = tile(side_px, steps=4, seed=6)
    return bool(np.array_equal(served.answer(request), served.answer(request)))


def _same_anywhere(served: InProcess, batch: int) -> bool:
    """A row of windows, cut before every one of them: the last ones lie at every place in a batch, beside others."""
    height, width = 64, 56 * batch + 8
    rows, columns = axis_of(height), axis_of(width)
    image = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = served.answer(_tensors(image, rows, columns, (0, columns.windows), 1))
    return all(
        np.array_equal(
            served.answer(_tensors(image, rows, columns, (first, columns.windows), 1)),
            whole[:, columns.core_bounds(first)[0] :],
        )
        for first in range(1, columns.windows)
    )


def _served(bare: DeviceNetworks, extent: Extent) -> dict[str, Any]:
    """Through the gateway: against the bare windows in turn, and a gigapixel with the GPU watched."""
    with running_service(HNDSR_MODELS="hndsr", **extent.environment) as service, Client(service.address) as client:
        _stream(client, noise(source_side(extent.tile_megapixels), 0), steps=1)
        stack = [_against_bare(client, service.triton_address, bare, extent, steps) for steps in extent.stack_steps]
        giga = _gigapixel(client, extent)
        return {
            "stack": stack,
            "gigapixel": giga,
            "memory_mib": {**memory_mib(), "GPU, all processes": gpu_memory_mib() or 0.0},
        }


def _against_bare(
    client: Client, triton_address: str, bare: DeviceNetworks, extent: Extent, steps: int
) -> dict[str, Any]:
    """A stream, tiles straight from Triton, and as many bare windows, in turn."""
    side_px, tile_px = source_side(extent.stack_megapixels), source_side(extent.tile_megapixels)
    windows, run, caller = axis_of(side_px).windows ** 2, bare.windows(steps), TritonCaller(triton_address)

    def passes() -> None:
        for _ in range(-(-windows // bare.batch)):
            run()
        bare.wait()

    taken = in_turn(
        {
            "stack": lambda run: partial(_stream, client, noise(side_px, run), steps=steps),
            "triton": lambda run: partial(_direct, caller, noise(tile_px, run), steps=steps),
            "bare": lambda _: passes,
        },
        extent.rounds,
    )
    middle = {name: median(values) for name, values in taken.items()}
    megapixels = {"stack": extent.stack_megapixels, "triton": extent.tile_megapixels, "bare": extent.stack_megapixels}
    return {
        "steps": steps,
        "windows": windows,
        "mpx_per_s": {name: megapixels[name] / middle[name] for name in middle},
        "stack_over_bare": middle["bare"] / middle["stack"],
    }


def _direct(caller: TritonCaller, pixels: np.ndarray, *, steps: int) -> None:
    caller.upscale(caller.tensors(pixels, steps))


def _stream(client: Client, pixels: np.ndarray, *, steps: int) -> int:
    """A stream whose tiles nobody keeps; how many."""
    with client.stream_tiles(pixels, model="hndsr", scale=SCALE, steps=steps, texture=1.0, seed=0) as tiles:
        return sum(1 for _ in tiles)


def _gigapixel(client: Client, extent: Extent) -> dict[str, Any]:
    """A stream at 4 steps; the GPU is watched from the second tile to the last."""
    side_px, busy = source_side(extent.giga_megapixels), Busy()
    source = noise(side_px, 9)
    start, first_s, tiles = time.perf_counter(), 0.0, 0
    with (
        contextlib.ExitStack() as stack,
        client.stream_tiles(source, model="hndsr", scale=SCALE, steps=4, texture=1.0, seed=0) as stream,
    ):
        for _ in stream:
            tiles += 1
            if tiles == 1:
                first_s = time.perf_counter() - start
                busy = stack.enter_context(watched_gpu())
    wall_s = time.perf_counter() - start
    return {
        "megapixels": extent.giga_megapixels,
        "tiles": tiles,
        "first_tile_s": first_s,
        "wall_s": wall_s,
        "mpx_per_s": extent.giga_megapixels / wall_s,
        "gpu_busy": busy.mean,
        "gpu_busy_samples": len(busy.samples),
    }


def main() -> None:
    """Measure, print the page's part, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--batches", type=int, nargs="+", help="windows of a pass; each is compiled, which takes time")
    parser.add_argument("--into", type=Path, help="the folder of the page, the numbers and the images")
    arguments = parser.parse_args()
    extent, facts = FULL if arguments.device == "cuda" else SMALL, machine.facts()
    extent = replace(extent, batches=tuple(arguments.batches)) if arguments.batches else extent
    try:
        result = {"machine": facts, **measure(extent)}
    except NoDeviceError as error:
        sys.exit(f"bench-gpu: {error}")
    folder = arguments.into or (DOCS if arguments.device == "cuda" else None)
    if folder:
        publish(folder, "gpu", result)
    import comparison_pages  # noqa: PLC0415 - drawing is not to disturb what is measured

    print(comparison_pages.gpu(result))


if __name__ == "__main__":
    main()
