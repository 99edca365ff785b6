"""The ONNX files of the repository: fresh, small, without weights of their own, and equal to PyTorch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from hndsr_ensemble.export import EXPORTS, TOLERANCE, Export, ParityError, export_model
from hndsr_ensemble.export.stored import read_index
from hndsr_ensemble.schedule import ddim

Case = dict[str, np.ndarray]
AssertGolden = Callable[[str, np.ndarray], None]

each_export = pytest.mark.parametrize("entry", EXPORTS, ids=lambda entry: entry.model)


def session(repository: Path, model: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(repository / model / "1/model.onnx", providers=["CPUExecutionProvider"])


def inputs(golden: Case, *names: str) -> Case:
    return {name: golden[name] for name in names}


@each_export
def test_export_makes_the_committed_file_again(repository: Path, entry: Export) -> None:
    folder = repository / entry.model / "1"
    made = entry.graph(folder / "weights.safetensors").SerializeToString(deterministic=True)
    assert made == (folder / "model.onnx").read_bytes()


@each_export
def test_exported_file_is_valid_onnx(repository: Path, entry: Export) -> None:
    onnx.checker.check_model(repository / entry.model / "1/model.onnx", full_check=True)


@each_export
def test_exported_weights_point_to_their_bytes_in_the_weights_file(repository: Path, entry: Export) -> None:
    folder = repository / entry.model / "1"
    index = read_index(folder / "weights.safetensors")
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    for tensor in (tensor for tensor in graph.initializer if tensor.name in index):
        stored = index[tensor.name]
        assert {entry.key: entry.value for entry in tensor.external_data} == {
            "location": "weights.safetensors",
            "offset": str(stored.offset_bytes),
            "length": str(stored.length_bytes),
        }


@each_export
def test_exported_file_stores_no_weight(repository: Path, entry: Export) -> None:
    path = repository / entry.model / "1/model.onnx"
    inline = [tensor for tensor in onnx.load(path, load_external_data=False).graph.initializer if tensor.raw_data]
    assert path.stat().st_size < 50_000
    assert sum(len(tensor.raw_data) for tensor in inline) < 5_000


@each_export
def test_exported_weights_are_aligned_to_their_element_size(repository: Path, entry: Export) -> None:
    index = read_index(repository / entry.model / "1/weights.safetensors")
    sizes = {onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.FLOAT: 4}
    assert all(stored.offset_bytes % sizes[stored.dtype] == 0 for stored in index.values())


@each_export
def test_exported_network_equals_pytorch(repository: Path, entry: Export) -> None:
    folder = repository / entry.model / "1"
    assert entry.error(folder / "model.onnx", folder / "weights.safetensors") <= TOLERANCE


def test_exported_unet_gives_the_golden_velocity(repository: Path, golden: Case, assert_golden: AssertGolden) -> None:
    (v,) = session(repository, "unet").run(None, inputs(golden, "x", "t", "prior", "scale"))
    assert_golden("v", v)


def test_exported_unet_gives_the_golden_residual_when_sampled(
    repository: Path, golden: Case, assert_golden: AssertGolden
) -> None:
    unet = session(repository, "unet")

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return unet.run(None, {**inputs(golden, "prior", "scale"), "x": x, "t": np.float32([t])})[0]

    assert_golden("residual", ddim(velocity, golden["x"], int(golden["steps"][0])))


def test_exported_decoder_gives_the_golden_image(repository: Path, golden: Case, assert_golden: AssertGolden) -> None:
    (window,) = session(repository, "decoder").run(None, {"latent": golden["prior"]})
    assert_golden("image_texture_0", window)


def test_export_model_refuses_a_network_that_differs(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "decoder/1"
    folder.mkdir(parents=True)
    shutil.copy(repository / "decoder/1/weights.safetensors", folder)
    entry = next(entry for entry in EXPORTS if entry.model == "decoder")
    with pytest.raises(ParityError, match="tolerance"):
        export_model(entry._replace(error=lambda *_: 2 * TOLERANCE), tmp_path)
    assert [path.name for path in folder.iterdir()] == ["weights.safetensors"]


def test_export_model_writes_the_committed_file(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "decoder/1"
    folder.mkdir(parents=True)
    shutil.copy(repository / "decoder/1/weights.safetensors", folder)
    export_model(next(entry for entry in EXPORTS if entry.model == "decoder"), tmp_path)
    assert (folder / "model.onnx").read_bytes() == (repository / "decoder/1/model.onnx").read_bytes()
