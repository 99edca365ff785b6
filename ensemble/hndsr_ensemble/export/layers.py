"""The layers of `hndsr_ensemble.networks` in ONNX operators; `name` is the layer's prefix in the weights file."""

import math

import numpy as np

from hndsr_ensemble.export.graph import Value
from hndsr_ensemble.networks.embedding import SCALE_FREQUENCIES, TIME_FASTEST, TIME_FREQUENCIES
from hndsr_ensemble.networks.layers import NORM_EPSILON


def conv(x: Value, name: str, *, stride: int = 1) -> Value:
    """A convolution that keeps the size, but for its stride."""
    margin = x.graph.weight_shape(f"{name}.weight")[-1] // 2
    weight, bias = _parameters(x, name)
    return x.graph.node("Conv", x, weight, bias, pads=[margin] * 4, strides=[stride] * 2)


def linear(x: Value, name: str) -> Value:
    """A fully connected layer."""
    return x.graph.node("Gemm", x, *_parameters(x, name), transB=1)


def silu(x: Value) -> Value:
    """`x · sigmoid(x)`."""
    return x * x.graph.node("Sigmoid", x)


def residual_block(x: Value, name: str) -> Value:
    """`networks.layers.ResidualBlock`."""
    return x + conv(silu(conv(x, f"{name}.conv1")), f"{name}.conv2")


def residual_blocks(x: Value, name: str, count: int) -> Value:
    """`count` residual blocks in turn."""
    for index in range(count):
        x = residual_block(x, f"{name}.{index}")
    return x


def modulation(embedding: Value, name: str) -> tuple[Value, Value]:
    """Gain and shift of FiLM, one for each channel, ready to broadcast over pixels."""
    gain, shift = linear(embedding, name).reshape(0, -1, 1, 1).chunk(axis=1)
    return gain + 1.0, shift


def embed(features: Value, name: str) -> Value:
    """The two layers, each with a SiLU, between sinusoidal features and FiLM."""
    return silu(linear(silu(linear(features, f"{name}.0")), f"{name}.2"))


def normalise(x: Value, channels: int) -> Value:
    """`networks.layers.ChannelNorm` without its gain."""
    graph = x.graph
    # onnxruntime averages over channels several times faster as a 1 × 1 convolution than as ReduceMean.
    power = graph.node("Conv", x * x, np.full((1, channels, 1, 1), 1 / channels, np.float32))
    return x / graph.node("Sqrt", power + NORM_EPSILON)


def scale_features(scale: Value) -> Value:
    """`networks.embedding.scale_features`."""
    octaves = 2.0 ** np.arange(SCALE_FREQUENCIES) * (math.pi / 8) / math.log(2)
    return _sines_cosines(_column(scale.graph.node("Log", scale)) * octaves.astype(np.float32))


def time_features(t: Value) -> Value:
    """`networks.embedding.time_features`."""
    frequencies = TIME_FASTEST ** (1 - np.arange(TIME_FREQUENCIES) / (TIME_FREQUENCIES - 1))
    return _sines_cosines(_column(t) * frequencies.astype(np.float32))


def _parameters(x: Value, name: str) -> tuple[Value, Value]:
    return x.graph.weight(f"{name}.weight"), x.graph.weight(f"{name}.bias")


def _column(x: Value) -> Value:
    return x.reshape(-1, 1)


def _sines_cosines(angle: Value) -> Value:
    return angle.graph.concat(angle.graph.node("Sin", angle), angle.graph.node("Cos", angle), axis=1)
