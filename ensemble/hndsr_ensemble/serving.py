"""Settings of the models that Triton hosts, read from their environment.

Only HNDSR_SITE_PACKAGES is read elsewhere: it decides where these very modules are found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """How the models run. The gateway sets these for the Triton it starts; elsewhere they stand in the pod's env."""

    engine: str
    """`auto` or `onnxruntime`. HNDSR_ENGINE, default auto."""

    device: str
    """`auto` or `cpu`. HNDSR_DEVICE, default auto."""

    precision: str
    """`auto` or `float32`. HNDSR_PRECISION, default auto."""

    cpu_threads: int
    """Cores of one network's pass. HNDSR_CPU_THREADS, default 0: all that the process may use."""

    window_cache_bytes: int
    """Size of the window cache. HNDSR_WINDOW_CACHE_MIB, default 128."""

    models: tuple[str, ...]
    """Window models to serve, by name. HNDSR_MODELS, comma-separated, default: all in the repository."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServingSettings:
        """Read `HNDSR_…`; ValueError where a number is none."""
        names = environment.get("HNDSR_MODELS", "").split(",")
        return cls(
            engine=environment.get("HNDSR_ENGINE", "auto"),
            device=environment.get("HNDSR_DEVICE", "auto"),
            precision=environment.get("HNDSR_PRECISION", "auto"),
            cpu_threads=int(environment.get("HNDSR_CPU_THREADS", "0")) or len(os.sched_getaffinity(0)),
            window_cache_bytes=int(environment.get("HNDSR_WINDOW_CACHE_MIB", "256")) * 2**20,
            models=tuple(name.strip() for name in names if name.strip()),
        )
