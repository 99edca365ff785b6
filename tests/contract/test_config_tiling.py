"""What travels between gateway, tiling model and window models is what their config.pbtxt say."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from model_configs import (
    MANIFESTS,
    REPOSITORY,
    TILING,
    behind,
    config,
    inputs,
    misfits,
    outputs,
    strings,
)

from hndsr_ensemble.bicubic import bicubic_windows
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import PIXELS, TileService
from hndsr_ensemble.tiles import TileGeometry
from hndsr_ensemble.values import full_ranges
from hndsr_ensemble.windows import TENSORS, WindowBatch
from hndsr_gateway.triton import client, infer_span
from hndsr_gateway.types import Raster, TileRequest

SAMPLE_TYPES = ["uint8", "uint16"]


def batch_of(manifest: Manifest) -> WindowBatch:
    """Two windows at scale 3."""
    side = Axis(1000, Scale(3, 1), manifest.geometry).side
    return WindowBatch(
        np.zeros((2, 3, side, side), np.float32),
        np.array([[0, 0], [0, manifest.geometry.stride_px]], np.int64),
        Scale(3, 1),
        Options(steps=2, texture=0.5, seed=2**64 - 1),
    )


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=list(MANIFESTS))
def test_manifest_names_the_inputs_of_its_window_model(manifest: Manifest) -> None:
    assert list(manifest.inputs) == list(inputs(manifest.triton_model))


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=list(MANIFESTS))
def test_manifest_names_inputs_of_the_vocabulary(manifest: Manifest) -> None:
    assert set(manifest.inputs) <= set(TENSORS)


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=list(MANIFESTS))
def test_manifest_requires_the_models_behind_its_window_model(manifest: Manifest) -> None:
    assert sorted(manifest.requires) == sorted(behind(manifest.triton_model) - {manifest.triton_model})


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=list(MANIFESTS))
def test_window_batch_fits_the_inputs_of_the_window_model(manifest: Manifest) -> None:
    assert misfits(batch_of(manifest).tensors(manifest.inputs), inputs(manifest.triton_model)) == []


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=list(MANIFESTS))
def test_window_model_answers_windows_of_the_manifests_size(manifest: Manifest) -> None:
    side = manifest.geometry.window_px
    assert outputs(manifest.triton_model) == {"WINDOW": ("FP32", (-1, 3, side, side))}


def tile_of(dtype: str) -> TileRequest:
    """The second tile of an image of 2 x 1 tiles, with an invalid pixel."""
    manifest = MANIFESTS["bicubic"]
    rows, columns = (Axis(length, Scale(4, 1), manifest.geometry) for length in (100, 20))
    row, column = rows.span(1, 2), columns.span(0, 1)
    pixels = np.ones((row.source_stop - row.source_start, column.source_stop - column.source_start, 3), dtype)
    mask = np.ones(pixels.shape[:2], dtype=bool)
    mask[-1, -1] = False
    return TileRequest(
        model="bicubic",
        revision="",
        raster=Raster(pixels, mask),
        geometry=TileGeometry.of(rows, columns, row, column),
        ranges=full_ranges(pixels.dtype),
        options=manifest.default_options,
    )


def tensors_of(dtype: str) -> dict[str, np.ndarray]:
    """What the gateway sends to Triton for a tile."""
    return client._tensors(client.PIXELS[dtype], tile_of(dtype))


@pytest.fixture(scope="module")
def service() -> TileService:
    """The tiling model with bicubic windows that are called as Triton would."""

    def call(model: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
        scale = Scale(*(int(term) for term in tensors["RATIO"][0]))
        return bicubic_windows(tensors["LR"], tensors["POSITION"], scale=scale, geometry=MANIFESTS["bicubic"].geometry)

    settings = ServingSettings.from_environment({"HNDSR_MODELS": "bicubic", "HNDSR_NETWORKS": "ensemble"})
    return TileService(REPOSITORY, settings, call)


def answer(service: TileService, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """With every output that can be asked for."""
    asked = {name: tensors.get(name) for name in inputs(TILING)}
    return service.answer(asked, tuple(outputs(TILING)), cancelled=lambda: False)


def test_gateway_and_tiling_model_have_the_same_sample_types() -> None:
    assert {name: np.dtype(dtype) for dtype, name in client.PIXELS.items()} == PIXELS


@pytest.mark.parametrize("dtype", SAMPLE_TYPES)
def test_gateway_sends_the_tiling_model_tensors_of_its_config(dtype: str) -> None:
    assert misfits(tensors_of(dtype), inputs(TILING)) == []


def test_gateway_sends_the_tiling_model_all_tensors_of_its_config() -> None:
    assert {name for dtype in SAMPLE_TYPES for name in tensors_of(dtype)} == set(inputs(TILING))


def test_tiling_model_may_be_asked_without_any_tensor() -> None:
    assert [tensor.name for tensor in config(TILING).input if not tensor.optional] == []


@pytest.mark.parametrize("dtype", SAMPLE_TYPES)
def test_tiling_model_answers_tensors_of_its_config(service: TileService, dtype: str) -> None:
    assert misfits(answer(service, tensors_of(dtype)), outputs(TILING)) == []


def test_tiling_model_describes_itself_in_tensors_of_its_config(service: TileService) -> None:
    assert misfits(answer(service, {}), outputs(TILING)) == []


def test_tiling_model_answers_all_tensors_of_its_config(service: TileService) -> None:
    answered = set(answer(service, {})).union(*(answer(service, tensors_of(dtype)) for dtype in SAMPLE_TYPES))
    assert answered == set(outputs(TILING))


def test_gateway_asks_for_outputs_that_the_tiling_model_has() -> None:
    source = ast.parse(Path(client.__file__).read_text(encoding="utf-8"))
    asked = [
        name
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(("_infer", "as_numpy"))
        for name in strings(call)
    ]
    assert (set(asked) <= set(outputs(TILING)), len(set(asked))) == (True, 3)


def test_gateway_asks_for_records_of_models_that_say_they_have_them(service: TileService) -> None:
    assert infer_span.TRACE in outputs(TILING)
    assert json.loads(answer(service, {})["DESCRIPTION"][0])["records"] is True


def test_gateway_understands_the_description_of_the_tiling_model(service: TileService) -> None:
    described = json.loads(answer(service, {})["DESCRIPTION"][0])["models"]
    assert [client._description(entry).manifest for entry in described] == [MANIFESTS["bicubic"]]
