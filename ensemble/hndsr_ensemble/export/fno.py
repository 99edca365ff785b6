"""The Fourier neural operator in ONNX operators, for the one latent grid that is served."""

import math
from pathlib import Path

import numpy as np
import onnx

from hndsr_ensemble.export.graph import Graph, Value
from hndsr_ensemble.export.layers import conv, embed, modulation, residual_blocks, scale_features, silu
from hndsr_ensemble.export.spectral import Bases, fourier_bases, spectral_conv
from hndsr_ensemble.networks.autoencoder import LATENT_CHANNELS, LATENT_PITCH_PX
from hndsr_ensemble.networks.fno import BLOCKS, REFINEMENTS

LATENT_SIDE = 64
"""Latents along each side of a served window of 256 pixels."""


def fno_graph(weights: Path) -> onnx.ModelProto:
    """`FNO`: `lr` [N, 3, h, w], `scale` [N], `origin` [N, 2] → `prior` [N, 64, 64, 64]."""
    graph = Graph("fno", weights)
    lr, scale, origin = graph.input("lr", "N", 3, "h", "w"), graph.input("scale", "N"), graph.input("origin", "N", 2)
    embedding = embed(scale_features(scale), "scale_embedding")
    features = _features(lr, embedding)
    y_px, x_px = (_latent_centres(coordinate, scale) for coordinate in origin.chunk(axis=1))
    on_grid = graph.concat(_sample_bilinear(features, y_px, x_px), *_pixel_phases(y_px, x_px), axis=1)
    h = residual_blocks(_film_silu(conv(on_grid, "fuse"), embedding, "fuse_film"), "head", REFINEMENTS)
    return graph.model(conv(h, "out"), "prior", "N", LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)


def _features(lr: Value, embedding: Value) -> Value:
    bases = fourier_bases(lr)
    lifted = x = conv(lr, "lift")
    for index in range(BLOCKS):
        x = _block(x, embedding, bases, f"blocks.{index}")
    return x + lifted


def _block(x: Value, embedding: Value, bases: Bases, name: str) -> Value:
    spectral = spectral_conv(conv(x, f"{name}.reduce"), bases, f"{name}.spectral")
    h = conv(spectral, f"{name}.expand") + conv(x, f"{name}.local_conv")
    x = x + conv(_film_silu(h, embedding, f"{name}.film"), f"{name}.project")
    return residual_blocks(x, f"{name}.refine", REFINEMENTS)


def _film_silu(h: Value, embedding: Value, name: str) -> Value:
    gain, shift = modulation(embedding, name)
    return silu(h * gain + shift)


def _latent_centres(origin_px: Value, scale: Value) -> Value:
    """`networks.sampling.latent_centres` as [N, 64], from origins [N, 1]."""
    index = np.arange(LATENT_SIDE, dtype=np.float32) + np.float32(0.5)
    pitch = origin_px.graph.node("Div", float(LATENT_PITCH_PX), scale)
    return origin_px + pitch.reshape(-1, 1) * index


def _sample_bilinear(x: Value, y_px: Value, x_px: Value) -> Value:
    """`networks.sampling.sample_bilinear`: two matrix products."""
    rows, columns = _tents(y_px, x.size(2)), _tents(x_px, x.size(3))
    return rows @ x @ columns.transpose(0, 1, 3, 2)


def _tents(position_px: Value, length: Value) -> Value:
    """Bilinear weights [N, 1, 64, length] of the features at positions [N, 64]."""
    graph = position_px.graph
    centre = graph.node("Clip", position_px - 0.5, 0.0, (length - 1).as_float())
    index = graph.node("Range", 0, length, 1).as_float()
    distance = graph.node("Abs", centre.reshape(-1, 1, LATENT_SIDE, 1) - index)
    return graph.node("Relu", -distance + 1.0)


def _pixel_phases(y_px: Value, x_px: Value) -> list[Value]:
    """`networks.sampling.pixel_phases`, one map [N, 1, 64, 64] each."""
    graph = y_px.graph
    angles = (_turns(y_px).reshape(-1, 1, LATENT_SIDE, 1), _turns(x_px).reshape(-1, 1, 1, LATENT_SIDE))
    phases = [graph.node(wave, angle) for angle in angles for wave in ("Sin", "Cos")]
    return [graph.node("Expand", phase, (1, 1, LATENT_SIDE, LATENT_SIDE)) for phase in phases]


def _turns(position_px: Value) -> Value:
    return (position_px - position_px.graph.node("Floor", position_px)) * (2 * math.pi)
