"""The diffusion UNet in ONNX operators."""

from pathlib import Path

import numpy as np
import onnx

from hndsr_ensemble.export.graph import Graph, Value
from hndsr_ensemble.export.layers import conv, embed, modulation, normalise, scale_features, silu, time_features
from hndsr_ensemble.networks.autoencoder import LATENT_CHANNELS
from hndsr_ensemble.networks.unet import BLOCKS_PER_LEVEL, LEVEL_WIDTHS

GRID = ("N", LATENT_CHANNELS, "H", "W")
DOUBLE = np.array([1, 1, 2, 2], np.float32)


def unet_graph(weights: Path) -> onnx.ModelProto:
    """`UNet`: `x` [N, 64, H, W], `t` [N], `prior` [N, 64, H, W], `scale` [N] → `v` [N, 64, H, W]."""
    graph = Graph("unet", weights)
    x, t = graph.input("x", *GRID), graph.input("t", "N")
    prior, scale = graph.input("prior", *GRID), graph.input("scale", "N")
    embedding = embed(graph.concat(time_features(t), scale_features(scale), axis=1), "embedding")
    h, skips = _descend(conv(graph.concat(x, prior, axis=1), "stem"), embedding)
    h = _ascend(h, skips, embedding)
    return graph.model(conv(silu(normalise(h, LEVEL_WIDTHS[0]) * graph.weight("norm.gain")), "out"), "v", *GRID)


def _descend(h: Value, embedding: Value) -> tuple[Value, list[Value]]:
    skips = []
    for level in range(len(LEVEL_WIDTHS)):
        if level:
            skips.append(h)
            h = conv(h, f"downsample.{level - 1}", stride=2)
        h = _level(h, embedding, f"down.{level}")
    return h, skips


def _ascend(h: Value, skips: list[Value], embedding: Value) -> Value:
    for level, skip in enumerate(reversed(skips)):
        doubled = h.graph.node(
            "Resize", h, None, DOUBLE, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        h = _level(h.graph.concat(conv(doubled, f"upsample.{level}"), skip, axis=1), embedding, f"up.{level}")
    return h


def _level(h: Value, embedding: Value, name: str) -> Value:
    for block in range(BLOCKS_PER_LEVEL):
        h = _block(h, embedding, f"{name}.{block}")
    return h


def _block(x: Value, embedding: Value, name: str) -> Value:
    graph = x.graph
    outputs, inputs = graph.weight_shape(f"{name}.conv1.weight")[:2]
    h = conv(silu(normalise(x, inputs) * graph.weight(f"{name}.norm1.gain")), f"{name}.conv1")
    gain, shift = modulation(embedding, f"{name}.film")
    # Both gains are one number for each channel: multiplied first, they cost one pass over the pixels instead of two.
    h = silu(normalise(h, outputs) * (gain * graph.weight(f"{name}.norm2.gain")) + shift)
    return (x if inputs == outputs else conv(x, f"{name}.skip")) + conv(h, f"{name}.conv2")
