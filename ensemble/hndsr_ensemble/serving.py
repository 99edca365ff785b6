"""Settings of the models that Triton hosts, read from their environment.

Only HNDSR_SITE_PACKAGES is read elsewhere: it decides where these very modules are found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

IN_PROCESS = frozenset({"hndsr_window", "bicubic"})
"""Triton models of windows that the tiling model can run in its own process, as `pipeline` makes them."""

FUSED, ENSEMBLE = "fused", "ensemble"


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How the models run. The gateway sets these for the Triton it starts; elsewhere they stand in the pod's env."""

    engine: str
    """`auto`, `onnxruntime`, `openvino` or `torch`, as `choice.choose` takes them. HNDSR_ENGINE, default auto."""

    device: str
    """`auto`, `cpu` or `cuda`. HNDSR_DEVICE, default auto."""

    precision: str
    """`auto`, `float32`, `bfloat16` or `float16`. HNDSR_PRECISION, default auto."""

    networks: str
    """Where the tiling model finds the networks: `fused`, in its own process, or `ensemble`, as Triton's ensemble.
    HNDSR_NETWORKS, default fused."""

    window_batch: int
    """Windows of one pass on a GPU. HNDSR_WINDOW_BATCH, default 0: the engine's own choice."""

    instances_per_gpu: int
    """Processes that share each GPU's memory, in equal parts. HNDSR_INSTANCES_PER_GPU, default 2."""

    cpu_threads: int
    """Cores that the networks may use. HNDSR_CPU_THREADS, default 0: all that the process may use."""

    window_cache_bytes: int
    """Size of the window cache. HNDSR_WINDOW_CACHE_MIB, default 256."""

    models: tuple[str, ...]
    """Window models to serve, by name. HNDSR_MODELS, comma-separated, default: all in the repository."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServingSettings:
        """Read `HNDSR_…`.

        Raises:
            ValueError: where a number is none, or the networks are to be where they cannot be.
        """
        names = environment.get("HNDSR_MODELS", "").split(",")
        networks = environment.get("HNDSR_NETWORKS", FUSED)
        if networks not in {FUSED, ENSEMBLE}:
            raise ValueError(f"HNDSR_NETWORKS is {networks!r}; set it to {FUSED!r} or {ENSEMBLE!r}")
        return cls(
            engine=environment.get("HNDSR_ENGINE", "auto"),
            device=environment.get("HNDSR_DEVICE", "auto"),
            precision=environment.get("HNDSR_PRECISION", "auto"),
            networks=networks,
            window_batch=int(environment.get("HNDSR_WINDOW_BATCH", "0")),
            instances_per_gpu=int(environment.get("HNDSR_INSTANCES_PER_GPU", "2")),
            cpu_threads=int(environment.get("HNDSR_CPU_THREADS", "0")) or len(os.sched_getaffinity(0)),
            window_cache_bytes=int(environment.get("HNDSR_WINDOW_CACHE_MIB", "256")) * 2**20,
            models=tuple(name.strip() for name in names if name.strip()),
        )
