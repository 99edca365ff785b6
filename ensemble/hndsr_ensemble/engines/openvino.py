"""OpenVINO on the CPU."""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
import openvino as ov
from jaxtyping import Shaped

from hndsr_ensemble.engines.coordinates import ORIGIN, PLACES, split
from hndsr_ensemble.engines.single import single_passes

PRECISIONS = {"bfloat16": ("bf16", ov.Type.bf16), "float32": ("fp32", ov.Type.f32)}
"""By the name that settings use: what the revision calls it, and OpenVINO."""

MOST_SHAPES = 8
"""Shapes that stay compiled: the FNO has one for each scale."""

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class PrecisionError(RuntimeError):
    """OpenVINO would run in another arithmetic than the one that was asked for."""


class OpenVinoEngine:
    """One network as an ONNX graph, one window a pass, compiled for each shape when it first comes.

    Args:
        model: path of the graph; its weights lie beside it.
        precision: `bfloat16` or `float32`.
        threads: cores it may use.
        streams: passes at once, each with its share of them.
    """

    device = "cpu"
    batch = 1
    name = f"openvino {ov.__version__.partition('-')[0]}"

    def __init__(self, model: Path, *, precision: str, threads: int, streams: int = 1) -> None:
        self.precision, self._type = PRECISIONS[precision]
        self._model, self._threads, self._streams = model, threads, streams
        self._compiled, self._lock = OrderedDict[Shapes, _Passes](), Lock()

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "n ..."]:
        """Run the windows one after the other."""
        return single_passes(inputs, self._pass)

    def _pass(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "1 ..."]:
        return self._passes(tuple((name, value.shape) for name, value in inputs.items())).run(inputs)

    def _passes(self, shapes: Shapes) -> _Passes:
        with self._lock:
            if shapes not in self._compiled:
                self._compiled[shapes] = self._compile(shapes)
                if len(self._compiled) > MOST_SHAPES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(shapes)
            return self._compiled[shapes]

    def _compile(self, shapes: Shapes) -> _Passes:
        """Static shapes only: with dynamic ones bits are others."""
        model = _core().read_model(self._model)
        model.reshape({name: list(shape) for name, shape in shapes})
        if self._type == ov.Type.f32 or ORIGIN not in dict(shapes):
            return _Passes(_Requests(self._ready(model, self._type, self._threads)))
        parts = split(model)
        places = _Requests(self._ready(parts.places, ov.Type.f32, self._streams))
        return _Passes(_Requests(self._ready(parts.images, self._type, self._threads)), places, parts.names)

    def _ready(self, model: ov.Model, precision: ov.Type, threads: int) -> ov.CompiledModel:
        properties = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": self._streams,
            "ENABLE_CPU_PINNING": False,  # other processes share the cores
        }
        compiled = _core().compile_model(model, "CPU", properties)
        runs_in = compiled.get_property("INFERENCE_PRECISION_HINT")
        if runs_in != precision:
            raise PrecisionError(
                f"OpenVINO runs in {runs_in} on this processor, not in {precision}; set HNDSR_PRECISION to 'auto'"
            )
        return compiled


class _Requests:
    """Infer requests of one compiled model, as many as were ever needed at once."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled, self._idle = compiled, deque[ov.InferRequest]()

    def infer(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The answers as arrays of their own."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        answers = list(request.infer(inputs, share_inputs=True).values())
        self._idle.append(request)
        return answers


@dataclass(frozen=True, slots=True)
class _Passes:
    """A network for one shape: whole, or with the part that computes with `places` apart in float32."""

    images: _Requests
    places: _Requests | None = None
    names: tuple[str, ...] = ()

    def run(self, inputs: dict[str, np.ndarray]) -> Shaped[np.ndarray, "1 ..."]:
        if self.places is None:
            return self.images.infer(inputs)[0]
        placed = self.places.infer({name: value for name, value in inputs.items() if name in PLACES})
        seen = {name: value for name, value in inputs.items() if name not in PLACES}
        return self.images.infer(seen | dict(zip(self.names, placed, strict=True)))[0]


@functools.cache
def _core() -> ov.Core:
    """OpenVINO with its plugins, once a process."""
    return ov.Core()
