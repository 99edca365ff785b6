"""Bicubic interpolation as a window model that any process can run: it takes NumPy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hndsr_ensemble.bicubic import bicubic_windows
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineFacts
from hndsr_ensemble.manifest import Manifest, revision_of
from hndsr_ensemble.probe import run_probe
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowFunction

NUMPY = EngineFacts(f"numpy {np.__version__}", "fp64", "cpu", batch=8)
"""What runs models without networks: element by element, so that the batch does not matter."""


def interpolated_windows(manifest: Manifest) -> WindowFunction:
    """The model `bicubic` as a function."""
    return lambda batch: bicubic_windows(batch.lr, batch.positions, scale=batch.scale, geometry=manifest.geometry)


def interpolating_tiler(repository: Path, manifest: Manifest) -> Tiler:
    """The model `bicubic` as the tiling model serves it: of the same revision, which is proven, and without a cache.

    Raises:
        ProbeError: if it computes something else than it should.
    """
    run = interpolated_windows(manifest)
    revision = revision_of(
        manifest,
        engine=NUMPY.name,
        precision=NUMPY.precision,
        batch=NUMPY.batch,
        probe=run_probe(repository, manifest, run),
    )
    return Tiler(manifest, revision=revision, run=run, batch=NUMPY.batch, cache=WindowCache(0))
