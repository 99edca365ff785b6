"""Which engine runs the networks on a machine, decided without loading any of them."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

AUTO = "auto"
OPTIONS = {
    ("onnxruntime", "cpu"): ("float32",),
    ("openvino", "cpu"): ("bfloat16", "float32"),
    ("torch", "cuda"): ("float16", "bfloat16", "float32"),
    ("torch", "cpu"): ("float32", "bfloat16", "float16"),
}
"""Engines, the devices that each runs on, and in what arithmetic, from the default on."""

CPU_INFO = Path("/proc/cpuinfo")
NATIVE_BF16 = frozenset({"amx_bf16", "avx512_bf16"})
"""Instruction sets that multiply bfloat16 at more than the rate of float32."""


class EngineChoiceError(ValueError):
    """The engine, device or arithmetic that was asked for cannot be had here."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides between engines: CUDA devices, a processor that multiplies bfloat16, packages that are installed."""

    cuda_devices: int
    native_bf16: bool
    installed: frozenset[str]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine on a device in an arithmetic, none of them `auto`."""

    engine: str
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What runs a model; replicas that differ in it have different revisions."""

    name: str
    precision: str
    device: str
    batch: int


@functools.cache
def this_machine() -> Machine:
    """The machine this runs on."""
    installed = frozenset(name for name in ("onnxruntime", "openvino", "torch") if find_spec(name))
    return Machine(_cuda_devices(), _native_bf16(), installed)


def choose(engine: str, device: str, precision: str, machine: Machine) -> EngineChoice:
    """The engine that runs the networks.

    Left to itself: torch where it finds a GPU, else openvino where the processor multiplies bfloat16 natively, which
    is several times as fast as float32, else onnxruntime.

    Args:
        engine: `auto`, `onnxruntime`, `openvino` or `torch`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `float32`, `bfloat16` or `float16`.
        machine: to run on.

    Raises:
        EngineChoiceError: naming what is missing, and what would do.
    """
    fitting = [
        EngineChoice(name, place, arithmetic)
        for (name, place), offered in OPTIONS.items()
        for arithmetic in offered
        if engine in {AUTO, name} and device in {AUTO, place} and precision in {AUTO, arithmetic}
    ]
    if not fitting:
        raise EngineChoiceError(
            f"no engine is {engine!r} on {device!r} in {precision!r}; set HNDSR_ENGINE, HNDSR_DEVICE and "
            f"HNDSR_PRECISION to 'auto', or to one of: {_offered()}"
        )
    usable = [choice for choice in fitting if not _missing(choice, machine)]
    if not usable:
        raise EngineChoiceError(_missing(fitting[0], machine))
    return min(usable, key=lambda choice: _rank(choice, machine))


def _rank(choice: EngineChoice, machine: Machine) -> tuple[int, int]:
    """The lower, the better."""
    order = OPTIONS[choice.engine, choice.device].index(choice.precision)
    if choice.device == "cuda":
        return 0, order
    if choice.engine == "openvino":  # where bfloat16 is not native, float32 is its faster arithmetic
        return (1, order) if machine.native_bf16 else (3, -order)
    return (2, order) if choice.engine == "onnxruntime" else (4, order)


def _missing(choice: EngineChoice, machine: Machine) -> str:
    """What keeps a choice from running here; empty where nothing does."""
    extras = {"openvino": "pip install 'hndsr[openvino]'", "torch": "pip install 'hndsr[gpu]'"}
    if choice.engine not in machine.installed:
        return f"{choice.engine} is not installed: {extras.get(choice.engine, 'pip install onnxruntime')}"
    if choice.device == "cuda" and not machine.cuda_devices:
        return "no CUDA device is found: set HNDSR_DEVICE to 'cpu' or 'auto', or give the process a GPU and its driver"
    return ""


def _offered() -> str:
    return "; ".join(f"{name} on {place} in {', '.join(offered)}" for (name, place), offered in OPTIONS.items())


def _native_bf16() -> bool:
    try:
        return not NATIVE_BF16.isdisjoint(CPU_INFO.read_text().split())
    except OSError:
        return False


def _cuda_devices() -> int:
    """Devices that the driver offers this process; asked without a framework, which would take seconds to load.

    Source: CUDA driver API, cuInit and cuDeviceGetCount.
    """
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value
