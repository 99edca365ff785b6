"""The spectral convolution and its bases in ONNX operators; `networks.spectral` explains the form."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from hndsr_ensemble.export.graph import Value
from hndsr_ensemble.networks.fno import SPECTRAL_WIDTH
from hndsr_ensemble.networks.spectral import MODES

KEPT = 2 * MODES * MODES


class Bases(NamedTuple):
    """`networks.spectral.FourierBases`, both directions, and the number of pixels."""

    rows: Value
    rows_back: Value
    columns: Value
    columns_back: Value
    pixels: Value


def fourier_bases(image: Value) -> Bases:
    """`networks.spectral.fourier_bases` for the size that `image` has when the graph runs."""
    graph, height, width = image.graph, image.size(2), image.size(3)
    kx = np.arange(MODES)
    phi, theta = _angles(np.concatenate([kx, kx - MODES]), height), _angles(kx, width)
    cosine, sine = graph.node("Cos", phi), graph.node("Sin", phi)
    minus = -sine
    rows = graph.concat(graph.concat(cosine, minus, axis=1), graph.concat(minus, -cosine, axis=1), axis=0)
    columns = graph.concat(graph.node("Cos", theta), graph.node("Sin", theta), axis=0)
    mirror = np.tile(np.where(kx > 0, 2, 1), 2)[:, None].astype(np.float32)
    return Bases(rows, rows.transpose(1, 0), columns.transpose(1, 0), columns * mirror, (height * width).as_float())


def spectral_conv(x: Value, bases: Bases, name: str) -> Value:
    """`networks.spectral.SpectralConv`."""
    graph = x.graph
    halves = graph.concat(*(x @ bases.columns).chunk(axis=3), axis=2)
    mixed = _mix(bases.rows @ halves / bases.pixels, name)
    return graph.concat(*(bases.rows_back @ mixed).chunk(axis=2), axis=3) @ bases.columns_back


def _mix(spectrum: Value, name: str) -> Value:
    """One real matrix product for each mode; its vectors hold all channels' real, then all imaginary parts."""
    vectors = spectrum.reshape(-1, SPECTRAL_WIDTH, 2, KEPT).transpose(3, 0, 2, 1).reshape(KEPT, -1, 2 * SPECTRAL_WIDTH)
    mixed = (vectors @ _mode_matrices(spectrum, name)).reshape(KEPT, -1, 2, SPECTRAL_WIDTH)
    return mixed.transpose(1, 3, 2, 0).reshape(-1, SPECTRAL_WIDTH, 4 * MODES, MODES)


def _mode_matrices(spectrum: Value, name: str) -> Value:
    # The runtime folds all of this into one constant when it loads the model.
    graph = spectrum.graph
    real, imaginary = graph.weight(f"{name}.weight").chunk(axis=0)
    to_real_imaginary = (graph.concat(real, imaginary, axis=2), graph.concat(-imaginary, real, axis=2))
    return graph.concat(*to_real_imaginary, axis=1).reshape(2 * SPECTRAL_WIDTH, -1, KEPT).transpose(2, 0, 1)


def _angles(modes: Int64[np.ndarray, " k"], length: Value) -> Value:
    graph = length.graph
    index = graph.node("Range", 0, length, 1)
    turns = graph.node("Mod", index * modes[:, None], length)
    return turns.as_float() / length.as_float() * (2 * math.pi)
