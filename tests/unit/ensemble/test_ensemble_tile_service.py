"""What the tiling model answers, with the bicubic model in this process instead of Triton."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from unit.ensemble.tile_cases import Picture, random_picture, uniform_picture

from hndsr_ensemble.bicubic import bicubic_windows
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.masks import pack_mask, unpack_mask
from hndsr_ensemble.probe import ProbeError
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import TileRequestError, TileService
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowFunction

Arrays = dict[str, np.ndarray]


class BicubicModels:
    """Triton with nothing but bicubic interpolation in it; every call's tensors are kept."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.calls: list[tuple[str, Arrays]] = []
        self.error: Exception | None = None
        self.brighter = 0.0

    def __call__(self, model: str, tensors: Arrays) -> np.ndarray:
        """Run a window model."""
        self.calls.append((model, tensors))
        if self.error is not None:
            raise self.error
        scale = Scale(*(int(term) for term in tensors["RATIO"][0]))
        windows = bicubic_windows(tensors["LR"], tensors["POSITION"], scale=scale, geometry=self._manifest.geometry)
        return windows + np.float32(self.brighter)


@pytest.fixture
def triton(bicubic: Manifest) -> BicubicModels:
    return BicubicModels(bicubic)


def make_service(repository: Path, triton: BicubicModels, *, cache_mib: int = 16, **variables: str) -> TileService:
    """With networks in Triton, where nothing else is said."""
    environment = {"HNDSR_MODELS": "bicubic", "HNDSR_NETWORKS": "ensemble", "HNDSR_ENGINE": "onnxruntime"}
    environment["HNDSR_WINDOW_CACHE_MIB"] = str(cache_mib)
    return TileService(repository, ServingSettings.from_environment(environment | variables), triton)


@pytest.fixture
def service(repository: Path, triton: BicubicModels) -> TileService:
    return make_service(repository, triton)


PICTURE = random_picture(size=(70, 80), window_px=256, stride_px=224, halo_px=2)
"""An image of 2 × 2 windows of the shipped models."""


def request(picture: Picture = PICTURE, **changes: np.ndarray | None) -> dict[str, np.ndarray | None]:
    """A whole image as one tile, as it stands in a request; None leaves a tensor out."""
    tile = picture.tile(picture.whole)
    name = "PIXELS_U8" if picture.pixels.dtype == np.uint8 else "PIXELS_U16"
    inputs: dict[str, np.ndarray | None] = {
        "MODEL": text("bicubic"),
        name: tile.pixels,
        "MASK": None if tile.mask is None else pack_mask(tile.mask),
        "GEOMETRY": tile.geometry.pack(),
    }
    return inputs | changes


def text(value: str) -> np.ndarray:
    return np.array([value.encode()], dtype=np.object_)


def answer(service: TileService, inputs: dict[str, np.ndarray | None]) -> Arrays:
    return service.answer(inputs, cancelled=lambda: False)


def refusal(service: TileService, inputs: dict[str, np.ndarray | None]) -> TileRequestError:
    with pytest.raises(TileRequestError) as refused:
        answer(service, inputs)
    return refused.value


def description(service: TileService) -> dict[str, object]:
    models = json.loads(answer(service, {})["DESCRIPTION"][0])["models"]
    assert len(models) == 1
    return models[0]


def test_description_holds_the_manifest_as_committed(service: TileService, bicubic: Manifest) -> None:
    assert description(service)["manifest"] == bicubic.text


@pytest.mark.parametrize(
    "name", ["revision", "engine", "precision", "device", "batch", "networks", "window_s", "step_s"]
)
def test_description_says_how_the_model_runs(service: TileService, name: str) -> None:
    assert name in description(service)


def test_description_has_the_revision_of_the_answers(service: TileService) -> None:
    assert answer(service, request())["REVISION"][0].decode() == description(service)["revision"]


def test_description_is_that_of_numpy_when_a_model_has_no_networks(service: TileService) -> None:
    assert str(description(service)["engine"]).startswith("numpy ")


def test_description_proves_every_model_first(service: TileService, triton: BicubicModels) -> None:
    triton.brighter = 0.1
    with pytest.raises(ProbeError):
        answer(service, {})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_answer_is_the_tilers(
    service: TileService, bicubic: Manifest, bicubic_function: WindowFunction, dtype: type[np.unsignedinteger]
) -> None:
    pixels = (PICTURE.pixels * (np.iinfo(dtype).max // 255)).astype(dtype)
    picture = uniform_picture(0, dtype=dtype, window_px=256, stride_px=224, halo_px=2).with_pixels(pixels)
    tiler = Tiler(bicubic, revision="r", run=bicubic_function, batch=3, cache=WindowCache(0))
    expected = tiler.run(picture.tile(picture.whole), cancelled=lambda: False).pixels
    name = "PIXELS_U8" if dtype is np.uint8 else "PIXELS_U16"
    assert answer(service, request(picture))[name].tobytes() == expected.tobytes()


def test_answer_has_the_sample_type_of_the_request_alone(service: TileService) -> None:
    assert set(answer(service, request())) == {"PIXELS_U8", "MASK", "REVISION", "STATS"}


def test_answer_takes_the_full_range_when_none_is_given(service: TileService) -> None:
    full = np.array([[0.0, 255.0]] * 3)
    assert np.array_equal(answer(service, request())["PIXELS_U8"], answer(service, request(RANGES=full))["PIXELS_U8"])


def test_answer_counts_windows_hits_empty_windows_and_samples_out_of_range(service: TileService) -> None:
    mask = PICTURE.valid.copy()
    mask[:, 30:] = False
    picture = Picture(PICTURE.pixels, mask, PICTURE.ranges, PICTURE.scale, PICTURE.options, 2, 256, 224)
    answer(service, request(picture))
    ranges = np.array([[0.0, 255.0], [0.0, 255.0], [0.0, 254.0]])
    samples = int((PICTURE.pixels[:, :30, 2] == 255).sum()) * 16
    stats = [answer(service, request(picture, **change))["STATS"].tolist() for change in ({}, {"RANGES": ranges})]
    assert stats == [[4, 2, 2, 0], [4, 0, 2, samples]]


def test_answer_has_the_targets_mask(service: TileService) -> None:
    mask = PICTURE.valid.copy()
    mask[10:, 30:] = False
    picture = Picture(PICTURE.pixels, mask, PICTURE.ranges, PICTURE.scale, PICTURE.options, 2, 256, 224)
    packed = answer(service, request(picture))["MASK"]
    assert np.array_equal(unpack_mask(packed, height=280, width=320), picture.rules.over_target(mask))


@pytest.mark.parametrize("mask", [None, np.zeros(0, np.uint8), np.full(700, 255, np.uint8)])
def test_answer_has_no_mask_when_all_pixels_are_valid(service: TileService, mask: np.ndarray | None) -> None:
    assert answer(service, request(MASK=mask))["MASK"].size == 0


def test_probe_is_run_once(service: TileService, triton: BicubicModels) -> None:
    answer(service, request())
    before = len(triton.calls)
    answer(service, request())
    assert len(triton.calls) == before


def test_probe_is_run_again_when_the_model_failed(service: TileService, triton: BicubicModels) -> None:
    answer(service, request())
    triton.error = RuntimeError("gone")
    with pytest.raises(RuntimeError, match="gone"):
        answer(service, request(uniform_picture(9, window_px=256, stride_px=224, halo_px=2)))
    triton.error, triton.brighter = None, 0.1
    with pytest.raises(ProbeError):
        answer(service, request())


def test_answer_runs_every_window_again_when_there_is_no_cache(repository: Path, triton: BicubicModels) -> None:
    service = make_service(repository, triton, cache_mib=0)
    assert [int(answer(service, request())["STATS"][1]) for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("model", [text(""), text("hndsr"), text("Bicubic"), text("x" * 100), None])
def test_request_is_refused_when_the_model_is_not_served(service: TileService, model: np.ndarray | None) -> None:
    refused = refusal(service, request(MODEL=model))
    assert (refused.reason, refused.code) == ("MODEL_NOT_FOUND", "INVALID_ARG")


def test_refusal_starts_with_its_reason(service: TileService) -> None:
    assert str(refusal(service, request(MODEL=text("esrgan")))) == "MODEL_NOT_FOUND: served are bicubic"


def test_request_is_answered_when_its_revision_is_the_one_that_is_served(service: TileService) -> None:
    revision = answer(service, request())["REVISION"]
    assert np.array_equal(answer(service, request(REQUIRED_REVISION=revision))["REVISION"], revision)


@pytest.mark.parametrize("revision", ["0" * 64, "x"])
def test_request_is_refused_when_its_revision_is_another(service: TileService, revision: str) -> None:
    refused = refusal(service, request(REQUIRED_REVISION=text(revision)))
    assert (refused.reason, refused.code) == ("REVISION_CHANGED", "UNAVAILABLE")


def test_no_window_is_run_when_the_revision_is_another(service: TileService, triton: BicubicModels) -> None:
    answer(service, {})
    before = len(triton.calls)
    refusal(service, request(REQUIRED_REVISION=text("x")))
    assert len(triton.calls) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"GEOMETRY": None},
        {"GEOMETRY": np.array([70, 80, 4, 0, 0, 70, 0, 80, 0, 2, 0, 2])},
        {"GEOMETRY": np.array([70, 80, 9, 1, 0, 70, 0, 80, 0, 2, 0, 2])},
        {"GEOMETRY": np.array([70, 80, 4, 1, 0, 69, 0, 80, 0, 2, 0, 2])},
        {"GEOMETRY": np.array([70, 80, 4, 1, 0, 70, 0, 80, 0, 3, 0, 2])},
        {"MASK": np.zeros(699, np.uint8)},
        {"RANGES": np.array([[0.0, 255.0], [0.0, 255.0], [0.0, 256.0]])},
        {"RANGES": np.array([[9.0, 9.0]] * 3)},
        {"RANGES": np.full((3, 2), np.nan)},
        {"PIXELS_U8": np.zeros((70, 79, 3), np.uint8)},
    ],
    ids=["none", "zero", "scale", "rectangle", "cores", "mask", "beyond", "empty", "nan", "pixels"],
)
def test_request_is_refused_when_its_tensors_do_not_fit(service: TileService, changes: Arrays) -> None:
    refused = refusal(service, request(**changes))
    assert (refused.reason, refused.code) == ("TILE_MISMATCH", "INVALID_ARG")


def test_refusal_names_the_tensor_that_is_missing(service: TileService) -> None:
    assert "GEOMETRY is missing" in str(refusal(service, request(GEOMETRY=None)))


def test_request_is_refused_when_the_caller_is_gone(service: TileService) -> None:
    with pytest.raises(TileRequestError) as refused:
        service.answer(request(), cancelled=lambda: True)
    assert (refused.value.reason, refused.value.code) == ("CANCELLED", "CANCELLED")


def test_request_is_refused_when_the_model_answers_with_no_numbers(service: TileService, triton: BicubicModels) -> None:
    answer(service, {})
    triton.brighter = np.nan
    refused = refusal(service, request())
    assert (refused.reason, refused.code) == ("NOT_FINITE", "INTERNAL")


@pytest.fixture
def write_model(repository: Path, bicubic: Manifest, tmp_path: Path) -> Callable[..., Path]:
    """Writes a repository of one model that is bicubic but for some facts of its manifest."""

    def write(**changes: object) -> Path:
        folder = tmp_path / "bicubic" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "bicubic/1/probe.npz", folder)
        (folder / "manifest.json").write_text(json.dumps(json.loads(bicubic.text) | changes))
        return tmp_path

    return write


GENERATIVE = {
    "generative": True,
    "inputs": ["LR", "POSITION", "RATIO", "SEED", "STEPS", "TEXTURE"],
    "default_options": {"steps": 3, "texture": 0.5, "seed": 11},
}


def drawn_with(triton: BicubicModels) -> list[float]:
    """Options that the last window was run with."""
    _, tensors = triton.calls[-1]
    return [tensors[name][0].item() for name in ("STEPS", "TEXTURE", "SEED")]


def test_window_is_drawn_with_the_options_of_the_request(
    write_model: Callable[..., Path], triton: BicubicModels
) -> None:
    service = make_service(write_model(**GENERATIVE), triton)
    options = {"STEPS": np.array([7], np.int32), "TEXTURE": np.array([1.25], np.float32)}
    answer(service, request(**options, SEED=np.array([2**64 - 1], np.uint64)))
    assert drawn_with(triton) == [7, 1.25, 2**64 - 1]


def test_window_is_drawn_with_the_manifests_options_when_none_are_given(
    write_model: Callable[..., Path], triton: BicubicModels
) -> None:
    answer(make_service(write_model(**GENERATIVE), triton), request())
    assert drawn_with(triton) == [3, 0.5, 11]


def test_model_is_called_with_the_tensors_of_its_manifest(
    write_model: Callable[..., Path], triton: BicubicModels
) -> None:
    answer(make_service(write_model(**GENERATIVE), triton), request())
    assert {(name, tuple(tensors)) for name, tensors in triton.calls} == {("bicubic", tuple(GENERATIVE["inputs"]))}


def test_windows_come_in_the_batch_of_the_engine_when_the_model_has_networks(
    write_model: Callable[..., Path], triton: BicubicModels
) -> None:
    answer(make_service(write_model(files={"bicubic/1/model.onnx": "0" * 64}), triton), request())
    assert {len(tensors["LR"]) for _, tensors in triton.calls} == {1}


def test_revision_is_another_when_the_model_runs_on_another_engine(
    write_model: Callable[..., Path], triton: BicubicModels
) -> None:
    pytest.importorskip("openvino")
    repository = write_model(files={"bicubic/1/model.onnx": "0" * 64})
    one, other = (make_service(repository, triton, HNDSR_ENGINE=name) for name in ("onnxruntime", "openvino"))
    assert answer(one, request())["REVISION"][0] != answer(other, request())["REVISION"][0]


@pytest.mark.parametrize(
    "changes",
    [
        {"STEPS": np.array([-1], np.int32)},
        {"STEPS": np.array([101], np.int32)},
        {"TEXTURE": np.array([-0.5], np.float32)},
        {"TEXTURE": np.array([1.6], np.float32)},
        {"TEXTURE": np.array([np.nan], np.float32)},
    ],
    ids=str,
)
def test_tile_is_refused_when_its_options_are_out_of_range(
    service: TileService, changes: dict[str, np.ndarray]
) -> None:
    assert refusal(service, request(**changes)).reason == "TILE_MISMATCH"
