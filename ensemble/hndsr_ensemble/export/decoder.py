"""The decoder in ONNX operators."""

from pathlib import Path

import onnx

from hndsr_ensemble.export.graph import Graph
from hndsr_ensemble.export.layers import conv, residual_blocks
from hndsr_ensemble.networks.autoencoder import DECODER_BLOCKS, LATENT_CHANNELS, LATENT_PITCH_PX


def decoder_graph(weights: Path) -> onnx.ModelProto:
    """`Autoencoder.decode`: `latent` [N, 64, H, W] → `window` [N, 3, 4H, 4W], not clamped."""
    graph = Graph("decoder", weights)
    latent = graph.input("latent", "N", LATENT_CHANNELS, "H", "W")
    x = conv(latent * graph.weight("latent_std") + graph.weight("latent_mean"), "decoder.stem")
    x = conv(residual_blocks(x, "decoder.blocks", DECODER_BLOCKS), "decoder.head")
    window = graph.node("DepthToSpace", x, blocksize=LATENT_PITCH_PX, mode="CRD")
    return graph.model(window, "window", "N", 3, "4H", "4W")
