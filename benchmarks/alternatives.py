"""The service against what one would use instead, and against the limit, in one run.

The limit is the bare passes of the networks. Instead of the SDK one could call Triton by its own client, a tile at a
time; instead of all of it one could write a FastAPI process around a PyTorch loop.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import predecessor
import tritonclient.grpc as triton
from bare import Bare, cut, load_bare
from predecessor import Predecessor, Way, request_body, running_predecessor, way_of
from service import SCALE, axis_of, noise, running_service, source_side
from timing import Rounds, Work, in_turn, median

from hndsr_client import Client
from hndsr_ensemble.engines import engine_choice
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import TileGeometry

MAX_MESSAGE_BYTES = 2**31 - 1
WARM_RUN = 2**20
"""A run that no round has the image of."""
Prepare = Callable[[int], Work]


@dataclass(frozen=True)
class Extent:
    """Targets in Mpx of 2²⁰ px, steps, how often, and what the alternative tries to find its best."""

    megapixels: tuple[float, ...] = (0.25, 1)
    steps: tuple[int, ...] = (0, 4)
    rounds: Rounds = field(default_factory=lambda: Rounds(least=3, most=9, budget_s=20))
    predecessor: predecessor.Extent = predecessor.FULL


FULL = Extent()
SMALL = Extent(megapixels=(0.0625, 0.25), steps=(0, 1), rounds=Rounds(1, 1, 0), predecessor=predecessor.SMALL)
ON_CUDA = replace(FULL, predecessor=predecessor.ON_CUDA, megapixels=(1, 4, 16))


class TritonCaller:
    """Triton by its own client: one tile that is the whole image, no gateway."""

    def __init__(self, address: str) -> None:
        limits = [(f"grpc.max_{way}_message_length", MAX_MESSAGE_BYTES) for way in ("send", "receive")]
        self._client = triton.InferenceServerClient(address, channel_args=limits)

    def upscale(self, tensors: list[triton.InferInput]) -> np.ndarray:
        """The target."""
        result = self._client.infer("hndsr", tensors, outputs=[triton.InferRequestedOutput("PIXELS_U8")])
        return np.asarray(result.as_numpy("PIXELS_U8"))

    @staticmethod
    def tensors(pixels: np.ndarray, steps: int) -> list[triton.InferInput]:
        """A request as the model's configuration asks for it."""
        axis = axis_of(pixels.shape[0])
        span = axis.span(0, axis.windows)
        values = {
            "MODEL": (np.array([b"hndsr"], dtype=np.object_), "BYTES"),
            "PIXELS_U8": (pixels, "UINT8"),
            "GEOMETRY": (TileGeometry.of(axis, axis, span, span).pack(), "INT64"),
            "STEPS": (np.array([steps], dtype=np.int32), "INT32"),
            "TEXTURE": (np.array([1.0], dtype=np.float32), "FP32"),
            "SEED": (np.array([0], dtype=np.uint64), "UINT64"),
        }
        return [_tensor(name, value, kind) for name, (value, kind) in values.items()]


def _tensor(name: str, value: np.ndarray, kind: str) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), kind)
    tensor.set_data_from_numpy(value)
    return tensor


@dataclass(frozen=True)
class Contenders:
    """All of them, running."""

    bare: Bare
    client: Client
    caller: TritonCaller
    server: Predecessor
    best: dict[str, Way]

    def of(self, side_px: int, steps: int) -> dict[str, Prepare]:
        """By name: what is timed of run number N, on an image of its own."""

        def bare(run: int) -> Work:
            batches = cut(noise(side_px, run), steps)
            return lambda: self.bare.run(batches)

        def stack(run: int) -> Work:
            pixels = noise(side_px, run)
            return lambda: self.stack(pixels, steps)

        def direct(run: int) -> Work:
            pixels = noise(side_px, run)
            return lambda: self.caller.upscale(self.caller.tensors(pixels, steps))

        def loop(precision: str) -> Prepare:
            def prepared(run: int) -> Work:
                body = request_body(noise(side_px, run), steps=steps, way=self.best[precision])
                return lambda: self.server.upscale(body, side_px)

            return prepared

        loops = {f"predecessor_{precision}": loop(precision) for precision in self.best}
        return {"bare": bare, "stack": stack, "triton": direct, **loops}

    def stack(self, pixels: np.ndarray, steps: int) -> np.ndarray:
        """SDK, gateway, Triton."""
        return self.client.upscale(pixels, model="hndsr", scale=SCALE, steps=steps, texture=1.0, seed=0).image

    def difference(self, side_px: int) -> float:
        """How far the targets of stack and loop are apart at 0 steps, in grey levels: the same networks, after all."""
        pixels = noise(side_px, WARM_RUN)
        body = request_body(pixels, steps=0, way=self.best["float32"])
        looped = self.server.upscale(body, side_px).astype(np.int16)
        return float(np.abs(self.stack(pixels, 0).astype(np.int16) - looped).mean())


def measure(extent: Extent | None = None) -> dict[str, Any]:
    """Throughput by size and steps, and the ratios of the whole stack to the others.

    Args:
        extent: None: what suits the device on which the service runs here.
    """
    device = engine_choice(ServingSettings.from_environment()).device
    extent = extent or (ON_CUDA if device == "cuda" else FULL)
    with ExitStack() as stack:
        server = stack.enter_context(running_predecessor(device))
        tuned = predecessor.tuned(server, extent.predecessor)
        best = {precision: way_of(row) for precision, row in tuned["best"].items()}
        service = stack.enter_context(running_service(HNDSR_MODELS="hndsr"))
        client = stack.enter_context(Client(service.address))
        contenders = Contenders(load_bare(), client, TritonCaller(service.triton_address), server, best)
        for warm in contenders.of(source_side(extent.megapixels[0]), 1).values():
            warm(WARM_RUN)()
        rows = [
            _row(contenders, size, steps, extent.rounds) for size, steps in product(extent.megapixels, extent.steps)
        ]
        return {
            "engine": asdict(contenders.bare.facts),
            "served": next(model.engine for model in client.info().models if model.name == "hndsr"),
            "predecessor": tuned,
            "difference_levels": contenders.difference(source_side(extent.megapixels[0])),
            "rows": rows,
        }


def _row(contenders: Contenders, megapixels: float, steps: int, rounds: Rounds) -> dict[str, Any]:
    side_px = source_side(megapixels)
    prepare = contenders.of(side_px, steps)
    taken = in_turn(prepare, rounds)
    middle = {name: median(values) for name, values in taken.items()}
    return {
        "megapixels": megapixels,
        "windows": axis_of(side_px).windows ** 2,
        "steps": steps,
        "rounds": len(taken["stack"]),
        "mpx_per_s": {name: megapixels / value for name, value in middle.items()},
        "seconds": {
            name: {"median": middle[name], "least": min(all_), "most": max(all_)} for name, all_ in taken.items()
        },
        "stack_over": {name: value / middle["stack"] for name, value in middle.items() if name != "stack"},
    }
