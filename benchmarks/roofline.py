"""What this machine can do, what a window asks of it, and how much of the one the other gets.

The roofline of a pass is the lesser of the machine's matrix rate and of its bandwidth times the pass's intensity,
where intensity is the pass's operations over the bytes it cannot but move: its weights, its inputs and its output.

Source: Williams, Waterman, Patterson 2009, Roofline, eq. 1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from bare import NETWORKS, CpuBare, cut
from service import axis_of, noise, source_side
from timing import Rounds, in_turn, median
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from hndsr_ensemble.networks import FNO, Autoencoder, UNet
from hndsr_ensemble.serving import ServingSettings

ROUNDS = Rounds(least=5, most=15, budget_s=45)
LATENT = (1, 64, 64, 64)
PRECISIONS = {
    "float32": ("float32", 4),
    "fp32": ("float32", 4),
    "bfloat16": ("bfloat16", 2),
    "bf16": ("bfloat16", 2),
    "float16": ("float16", 2),
    "fp16": ("float16", 2),
}
"""What the engines call their arithmetic: the matrix rate that belongs to it, and the bytes of a number."""


@dataclass(frozen=True)
class Extent:
    """Copied bytes, sides of the multiplied matrices, and how often each is run."""

    copied_bytes: int = 2**29
    sides: tuple[int, ...] = (1024, 2048, 4096)
    rounds: Rounds = ROUNDS
    budget_s: float = 2.0
    least: int = 3


FULL = Extent()
SMALL = Extent(copied_bytes=2**24, sides=(512,), rounds=Rounds(2, 2, 0), budget_s=0.2)
ON_CUDA = Extent(copied_bytes=2**30, sides=(4096, 8192), budget_s=0.5)


@dataclass(frozen=True)
class Work:
    """What one window asks of a network: operations (a multiplication and an addition are two), and numbers moved."""

    operations: int
    weights: int
    inputs_outputs: int


@dataclass(frozen=True)
class Probe:
    """What shows a rate of the machine: so many bytes copied, or operations of an arithmetic."""

    of: str
    amount: float
    run: Callable[[], object]


def measure(extent: Extent = FULL) -> dict[str, Any]:
    """Machine, networks, and the share that the bare passes of the served engine reach; all in turn."""
    device, work, bare = torch.device("cpu"), window_work(), CpuBare(_cpu_settings())
    windows, found = cut(noise(source_side(1), 0), 0)[: 4 * bare.facts.at_once], probes(device, extent)
    works = {name: probe.run for name, probe in found.items()}
    works |= {network: partial(bare.run_one, network, windows) for network in NETWORKS}
    for run in works.values():
        run()
    taken = in_turn({name: _always(run) for name, run in works.items()}, extent.rounds)
    machine = _rates(found, {name: min(taken[name]) for name in found})
    rate, number_bytes = PRECISIONS[bare.facts.precision]
    passes = {
        network: share(work[network], median(taken[network]) / len(windows), machine, rate, number_bytes, batch=1)
        for network in NETWORKS
    }
    return {"machine_rates": machine, "engine": asdict(bare.facts), "networks": passes}


def _always(run: Callable[[], object]) -> Callable[[int], Callable[[], object]]:
    return lambda _: run


def _cpu_settings() -> ServingSettings:
    """Those of the service on this machine without its GPU."""
    return ServingSettings.from_environment({**os.environ, "HNDSR_DEVICE": "cpu"})


def share(
    work: Work, seconds: float, machine: dict[str, Any], rate: str, number_bytes: int, *, batch: int
) -> dict[str, float]:
    """What a pass reaches of the machine's roofline.

    Args:
        work: of a window.
        seconds: of a window.
        machine: of `machine_rates`.
        rate: the machine's matrix rate that counts.
        number_bytes: of a number in memory.
        batch: windows that share the reading of the weights.
    """
    moved_bytes = number_bytes * (work.weights / batch + work.inputs_outputs)
    peak, bandwidth = machine["operations_per_s"][rate], machine["bytes_per_s"]
    intensity = work.operations / moved_bytes
    roof = min(peak, intensity * bandwidth)
    return {
        "window_s": seconds,
        "operations": work.operations,
        "operations_per_byte": intensity,
        "operations_per_s": work.operations / seconds,
        "of_roofline": work.operations / seconds / roof,
    }


def machine_rates(device: torch.device, extent: Extent = FULL) -> dict[str, Any]:
    """The best rates that its probes show, one after the other."""
    found = probes(device, extent)
    return _rates(found, {name: repeated(probe.run, extent, device, best=True) for name, probe in found.items()})


def _rates(found: Mapping[str, Probe], best_s: Mapping[str, float]) -> dict[str, Any]:
    """Bytes read and written per second, and operations per second by arithmetic: each the best of its probes."""
    shown = {name: probe.amount / best_s[name] for name, probe in found.items()}
    best = {
        of: max(shown[name] for name in found if found[name].of == of) for of in {each.of for each in found.values()}
    }
    bandwidth = best.pop("copy")
    return {"probes": shown, "bytes_per_s": bandwidth, "operations_per_s": dict(sorted(best.items()))}


def probes(device: torch.device, extent: Extent) -> dict[str, Probe]:
    """Large copies, and products of matrices of several sizes."""
    found = {"copy, torch": Probe("copy", 2 * extent.copied_bytes, _torch_copy(device, extent))}
    precisions = ["float32", "bfloat16", *(["float16"] if device.type == "cuda" else [])]
    for precision, side in product(precisions, extent.sides):
        run = _product(device, getattr(torch, precision), side)
        found[f"{precision}, {side}², torch"] = Probe(precision, 2 * side**3, run)
    if device.type == "cpu":
        side = extent.sides[-1]
        found["copy, numpy"] = Probe("copy", 2 * extent.copied_bytes, _numpy_copy(extent))
        found[f"float32, {side}², numpy"] = Probe("float32", 2 * side**3, _numpy_product(side))
    return found


def _torch_copy(device: torch.device, extent: Extent) -> Callable[[], object]:
    source = torch.ones(extent.copied_bytes // 4, dtype=torch.float32, device=device)
    return partial(torch.empty_like(source).copy_, source)


def _numpy_copy(extent: Extent) -> Callable[[], object]:
    source = np.ones(extent.copied_bytes // 4, np.float32)
    return partial(np.copyto, np.empty_like(source), source)


def _product(device: torch.device, dtype: torch.dtype, side: int) -> Callable[[], object]:
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return partial(torch.matmul, left, right, out=torch.empty(side, side, device=device, dtype=dtype))


def _numpy_product(side: int) -> Callable[[], object]:
    left, right = np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
    return partial(np.matmul, left, right, out=np.empty_like(left))


def repeated(
    work: Callable[[], object], extent: Extent = FULL, device: torch.device | None = None, *, best: bool = False
) -> float:
    """Median or best seconds of something that is repeated until the budget is over; a GPU's work is waited for."""

    def wait() -> None:
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    wait()
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < extent.least or time.perf_counter() - began < extent.budget_s:
        start = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - start)
    return min(taken) if best else median(taken)


def window_work() -> dict[str, Work]:
    """Operations of convolutions and matrix products of one window at scale 4, counted from the layers as they run.

    They run without numbers: only shapes are known.
    """
    side, target = axis_of(64).side, 3 * (4 * LATENT[-1]) ** 2
    with FakeTensorMode():
        fno, unet, decoder = FNO(), UNet(), Autoencoder()
        latent, one, lr = torch.zeros(LATENT), torch.ones(1), torch.zeros(1, 3, side, side)
        return {
            "fno": Work(
                _operations(lambda: fno(lr, 4 * one, torch.zeros(1, 2), LATENT[2:])),
                _weights(fno),
                lr.numel() + latent.numel(),
            ),
            "unet": Work(_operations(lambda: unet(latent, one, latent, 4 * one)), _weights(unet), 3 * latent.numel()),
            "decoder": Work(
                _operations(lambda: decoder.decode(latent)), _weights(decoder.decoder), latent.numel() + target
            ),
        }


def _weights(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _operations(work: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
