"""Windows that run in the tiling model's own process are those that Triton's ensemble makes, to the last bit."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.ensemble.test_ensemble_tile_service import BicubicModels, answer, description, refusal, request

from hndsr_ensemble import hosts
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoiceError, EngineFacts
from hndsr_ensemble.manifest import Manifest, ManifestError
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import TileService
from hndsr_ensemble.tiles import OutOfDeviceMemoryError, Tile, UpscaledTile
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.windows import WindowBatch, WindowFunction

UNEQUAL_FILE = {"bicubic/1/model.onnx": "0" * 64}


def settings_of(**variables: str) -> ServingSettings:
    environment = {"HNDSR_MODELS": "bicubic", "HNDSR_ENGINE": "onnxruntime", "HNDSR_CPU_THREADS": "2"}
    return ServingSettings.from_environment(environment | variables)


@pytest.fixture
def triton(bicubic: Manifest) -> BicubicModels:
    return BicubicModels(bicubic)


@pytest.fixture
def service(repository: Path, triton: BicubicModels) -> TileService:
    return TileService(repository, settings_of(), triton)


@pytest.fixture
def in_triton(repository: Path, triton: BicubicModels) -> TileService:
    return TileService(repository, settings_of(HNDSR_NETWORKS="ensemble"), triton)


def write_model(repository: Path, folder: Path, manifest: Manifest, **changes: object) -> Path:
    """A repository of one model that is another but for some facts of its manifest."""
    document = json.loads(manifest.text) | changes
    target = folder / document["triton_model"] / "1"
    target.mkdir(parents=True)
    shutil.copy(repository / manifest.triton_model / "1" / "probe.npz", target)
    (target / "manifest.json").write_text(json.dumps(document))
    return folder


def test_no_window_is_run_by_triton_when_the_model_runs_here(service: TileService, triton: BicubicModels) -> None:
    answer(service, request())
    assert triton.calls == []


@pytest.mark.parametrize("name", ["PIXELS_U8", "REVISION", "STATS"])
def test_answer_is_that_of_triton_when_the_model_runs_here(
    service: TileService, in_triton: TileService, name: str
) -> None:
    assert np.array_equal(answer(service, request())[name], answer(in_triton, request())[name])


def test_revision_is_that_of_the_ensemble_when_the_networks_run_here(
    repository: Path, hndsr: Manifest, hndsr_function: WindowFunction
) -> None:
    def call(model: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
        return hndsr_function(asked.pop())

    asked = list[WindowBatch]()

    class Recorded(hosts.TritonHost):
        def windows(self, batch: WindowBatch) -> np.ndarray:
            asked.append(batch)
            return super().windows(batch)

    here = TileService(repository, settings_of(HNDSR_MODELS="hndsr"), call)
    there = TileService(repository, settings_of(HNDSR_MODELS="hndsr", HNDSR_NETWORKS="ensemble"), call)
    there._hosts["hndsr"] = Recorded(there._setup, hndsr)
    assert description(here)["revision"] == description(there)["revision"]


def test_description_says_where_the_networks_run(service: TileService, in_triton: TileService) -> None:
    assert [description(each)["networks"] for each in (service, in_triton)] == ["fused", "ensemble"]


def test_model_is_called_when_it_exists_in_triton_alone(
    repository: Path, bicubic: Manifest, triton: BicubicModels, tmp_path: Path
) -> None:
    alone = write_model(repository, tmp_path, bicubic, triton_model="another")
    answer(TileService(alone, settings_of(), triton), request())
    assert {model for model, _ in triton.calls} == {"another"}


def test_warm_up_proves_the_models_that_run_here(
    repository: Path, bicubic: Manifest, triton: BicubicModels, tmp_path: Path
) -> None:
    wrong = write_model(repository, tmp_path, bicubic, files=UNEQUAL_FILE)
    with pytest.raises(ManifestError, match=r"bicubic/1/model\.onnx is not the file"):
        TileService(wrong, settings_of(), triton).warm_up()


def test_warm_up_calls_no_model_of_triton(in_triton: TileService, triton: BicubicModels) -> None:
    in_triton.warm_up()
    assert triton.calls == []


def test_service_is_refused_when_its_engine_cannot_be_had(repository: Path, triton: BicubicModels) -> None:
    with pytest.raises(EngineChoiceError, match="tensorrt"):
        TileService(repository, settings_of(HNDSR_ENGINE="tensorrt"), triton)


@pytest.fixture
def host_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServingSettings]:
    """Of an engine that makes other bits on all cores than on one."""

    def load(*_: object, streams: int = 1) -> WindowFunction:
        return lambda batch: np.full((len(batch.lr), 3, 256, 256), streams, np.float32)

    monkeypatch.setattr(hosts, "load_pipeline", load)
    return settings_of()


def test_window_never_has_all_cores_when_it_comes_to_other_bits_there(
    repository: Path, bicubic: Manifest, triton: BicubicModels, host_settings: ServingSettings
) -> None:
    setup = TileService(repository, host_settings, triton)._setup
    host = hosts.CpuHost(setup, replace(bicubic, files=UNEQUAL_FILE))
    workers = host.tiler("r", WindowCache(0)).workers
    assert (workers.count, workers.alone) == (2, None)


class SmallDevice:
    """A host on a device that holds `fits` windows of a pass."""

    def __init__(self, manifest: Manifest, run: WindowFunction, *, batch: int, fits: int) -> None:
        self._manifest, self._fits, self._batch = manifest, fits, batch
        self.windows = run

    @property
    def facts(self) -> EngineFacts:
        """Of the batch as it is now."""
        return EngineFacts("made up", "fp16", "cuda", self._batch)

    def tiler(self, revision: str, cache: WindowCache) -> "SmallDevice":
        """Itself, with a tiler that fits."""
        self._tiler = Tiler(self._manifest, revision=revision, run=self.windows, batch=1, cache=cache)
        return self

    def run(self, tile: Tile, **arguments: object) -> UpscaledTile:
        """Like any other, if there is room."""
        if self._batch > self._fits:
            raise OutOfDeviceMemoryError
        return self._tiler.run(tile, **arguments)

    def shrink(self) -> bool:
        """Halve the batch."""
        self._batch, before = max(1, self._batch // 2), self._batch
        return before > 1

    def fill(self) -> None:
        """Leave room for half of what it holds now."""
        self._fits //= 2


@pytest.fixture
def device(service: TileService, bicubic: Manifest, bicubic_function: WindowFunction) -> SmallDevice:
    small = SmallDevice(bicubic, bicubic_function, batch=8, fits=8)
    service._hosts["bicubic"] = small
    return small


def test_tile_is_refused_for_now_when_the_device_has_no_room_any_more(
    service: TileService, device: SmallDevice
) -> None:
    answer(service, request())
    device.fill()
    assert refusal(service, request()).reason == "OUT_OF_MEMORY"


def test_revision_stays_when_the_device_had_no_room_for_a_tile(service: TileService, device: SmallDevice) -> None:
    before = answer(service, request())["REVISION"]
    device.fill()
    refusal(service, request())
    device._fits = 8
    assert answer(service, request())["REVISION"] == before


def test_batch_is_halved_until_the_model_can_be_proven(
    service: TileService, device: SmallDevice, caplog: pytest.LogCaptureFixture
) -> None:
    device.fill()
    device.fill()
    assert (description(service)["batch"], caplog.messages[-1].endswith("batches of 2 from now on")) == (2, True)


def test_error_stands_when_not_one_window_fits(service: TileService, device: SmallDevice) -> None:
    for _ in range(4):
        device.fill()
    with pytest.raises(OutOfDeviceMemoryError):
        answer(service, request())
