"""What the real tiling model tells of a tile to those that ask: a trace in the answer, and the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from traces import misplaced, named, spans_of, tree, window_tree
from tritonclient.utils import np_to_triton_dtype

from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry
from hndsr_gateway.server import Gateway

STEPS = 2
MANIFESTS = read_manifests(model_repository())
NETWORKS = {"hndsr": ("fno", "ddim", "decoder"), "bicubic": ()}
"""What each batch of a model's windows goes through."""


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Any]:
    """Of the gateway's own Triton."""
    assert gateway.triton is not None
    with triton.InferenceServerClient(gateway.triton.grpc_address) as made:
        yield made


def tile_of(model: str, *, seed: int) -> dict[str, np.ndarray]:
    """A whole image of 2 × 2 windows, other samples for each seed."""
    rows, columns = (Axis(length, Scale(4, 1), MANIFESTS[model].geometry) for length in (70, 80))
    geometry = TileGeometry.of(rows, columns, rows.span(0, rows.windows), columns.span(0, columns.windows))
    return {
        "MODEL": np.array([model.encode()], dtype=np.object_),
        "PIXELS_U8": np.random.default_rng(seed).integers(0, 256, (70, 80, 3), np.uint8),
        "GEOMETRY": geometry.pack(),
        "STEPS": np.array([STEPS], np.int32),
    }


def infer(client: Any, tensors: dict[str, np.ndarray], *outputs: str) -> Any:
    inputs = [triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)) for name, value in tensors.items()]
    for tensor, value in zip(inputs, tensors.values(), strict=True):
        tensor.set_data_from_numpy(value)
    return client.infer("hndsr", inputs, outputs=[triton.InferRequestedOutput(name) for name in outputs])


@pytest.mark.parametrize("model", list(NETWORKS))
def test_trace_holds_the_windows_of_a_tile_and_their_networks(client: Any, model: str) -> None:
    answer = infer(client, tile_of(model, seed=1), "PIXELS_U8", "STATS", "TRACE")
    spans = spans_of(answer.as_numpy("TRACE")[0])
    windows = sum(span["attributes"]["hndsr.batch"] for span in named("windows", spans))
    assert tree(spans) == ("tile", [window_tree(*NETWORKS[model])] * len(named("windows", spans)))
    assert (windows, misplaced(spans)) == (answer.as_numpy("STATS")[0], [])


def test_trace_tells_each_step(client: Any) -> None:
    spans = spans_of(infer(client, tile_of("hndsr", seed=2), "TRACE").as_numpy("TRACE")[0])
    assert [len(span["events"]) for span in named("ddim", spans)] == [STEPS] * 4


def test_trace_is_of_the_revision_of_the_answer(client: Any) -> None:
    answer = infer(client, tile_of("bicubic", seed=3), "REVISION", "TRACE")
    root = spans_of(answer.as_numpy("TRACE")[0])[0]
    assert root["attributes"]["hndsr.revision"].encode() == answer.as_numpy("REVISION")[0]


def test_tile_has_the_same_bytes_when_a_trace_is_asked_for(client: Any) -> None:
    tensors = tile_of("bicubic", seed=4)
    plain, traced = (infer(client, tensors, "PIXELS_U8", *more) for more in ((), ("TRACE",)))
    assert (plain.as_numpy("TRACE"), plain.as_numpy("PIXELS_U8").tobytes()) == (
        None,
        traced.as_numpy("PIXELS_U8").tobytes(),
    )
