"""The committed probe: proof at start that a window model computes what it should, and part of its revision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import VERSION_FOLDER, Manifest, Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.values import full_ranges, normalise, quantise
from hndsr_ensemble.windows import WindowBatch, WindowFunction

PROBE = "probe.npz"
UNEVEN_SCALE = "22/7"
"""A scale at which windows begin between source pixels."""
TOLERANCE = 0.5
"""Mean absolute difference, in grey levels of 8 bits, that engines may be apart."""

UINT8 = np.dtype(np.uint8)


class ProbeError(RuntimeError):
    """A window model answers the probe with something else than it should."""


Windows = tuple[Float32[np.ndarray, "1 3 p p"], ...]


def probe_cases(manifest: Manifest) -> list[tuple[Scale, Options]]:
    """The scales and options of a model's probe: its default scale, and an uneven one where it supports that."""
    cases = [(Scale.parse(manifest.default_scale), Options(2, 1.0, 0)), (Scale.parse(UNEVEN_SCALE), Options(3, 1.0, 1))]
    return [case for case in cases if manifest.supports(case[0])]


def probe_axis(manifest: Manifest, scale: Scale) -> Axis:
    """The axis, for rows and columns alike, of an image that the probe's window is from."""
    return Axis(manifest.geometry.window_px, scale, manifest.geometry)


def probe_batch(manifest: Manifest, source: UInt8[np.ndarray, "s s 3"], case: tuple[Scale, Options]) -> WindowBatch:
    """One window, at the second row and third column of an image.

    Args:
        manifest: of the model.
        source: at least as large as a source window.
        case: of `probe_cases`.
    """
    scale, options = case
    side, stride = probe_axis(manifest, scale).side, manifest.geometry.stride_px
    positions = np.array([[stride, 2 * stride]], dtype=np.int64)
    return WindowBatch(normalise(source[:side, :side], full_ranges(UINT8))[None], positions, scale, options)


def quantise_windows(windows: Windows) -> UInt8[np.ndarray, "n p p 3"]:
    """As 8-bit pixels."""
    return np.stack([quantise(window[0], full_ranges(UINT8), UINT8) for window in windows])


def committed_batches(repository: Path, manifest: Manifest) -> list[WindowBatch]:
    """What the committed probe asks."""
    source = _committed(repository, manifest, "source")
    return [probe_batch(manifest, source, case) for case in probe_cases(manifest)]


def run_probe(repository: Path, manifest: Manifest, run: WindowFunction) -> Windows:
    """Run the committed probe and compare; the answers to the last bit.

    Raises:
        ProbeError: saying by how much the answer is off.
    """
    windows = tuple(run(batch) for batch in committed_batches(repository, manifest))
    _compare(manifest, windows, _committed(repository, manifest, "windows"))
    return windows


def _committed(repository: Path, manifest: Manifest, name: str) -> UInt8[np.ndarray, "..."]:
    with np.load(repository / manifest.triton_model / VERSION_FOLDER / PROBE) as arrays:
        return arrays[name]


def _compare(manifest: Manifest, windows: Windows, expected: UInt8[np.ndarray, "n p p 3"]) -> None:
    if not all(np.isfinite(window).all() for window in windows):
        raise ProbeError(f"{manifest.name} answers its probe with something that is no number")
    difference = float(np.abs(quantise_windows(windows).astype(np.int16) - expected).mean(axis=(1, 2, 3)).max())
    if difference > TOLERANCE:
        raise ProbeError(f"{manifest.name} is {difference:.3g} grey levels off its probe, more than {TOLERANCE}")
