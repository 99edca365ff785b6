"""Settings and whatever else reads a variable `HNDSR_…` agree."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from hndsr_ensemble.choice import Machine
from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_ensemble.pipeline import PIPELINES
from hndsr_ensemble.serving import IN_PROCESS, ServingSettings
from hndsr_gateway.hosting import (
    EngineUnavailableError,
    ModelRepositoryError,
    UnknownDefaultModelError,
    UnknownModelError,
    embedded_instances,
    embedded_options,
)
from hndsr_gateway.settings import (
    ENVIRONMENT_PREFIX,
    FOREIGN_NAMES,
    Settings,
    UnknownSettingError,
    refuse_unknown,
)

ROOT = Path(__file__).parents[2]
CODE = ["clients", "demo", "docs", "examples", "ensemble", "gateway", "model_repository"]
NO_VARIABLES = {"HNDSR_RECORD", "HNDSR_BAND"}
"""Names of metadata in rasters."""
KNOWN = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
CHANGED = {
    "engine": "onnxruntime",
    "device": "cpu",
    "precision": "float32",
    "networks": "ensemble",
    "window_batch": 16,
    "instances_per_gpu": 3,
    "cpu_threads": 3,
    "window_cache_mib": 7,
    "models": "bicubic",
}
"""Other values than the defaults for all that models are told."""


class Recorder(Mapping[str, str]):
    """An empty environment that remembers what was looked up."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", sorted(KNOWN | FOREIGN_NAMES))
def test_refuse_unknown_accepts_what_is_known(name: str) -> None:
    refuse_unknown({name: "", "PATH": "", "HNDSRX": ""})


def test_refuse_unknown_names_all_misspelt_settings() -> None:
    with pytest.raises(UnknownSettingError, match="HNDSR_LISTN, HNDSR_MODEL;"):
        refuse_unknown({"HNDSR_MODEL": "", "HNDSR_LISTN": "", "HNDSR_MODELS": ""})


def test_refuse_unknown_minds_the_case() -> None:
    with pytest.raises(UnknownSettingError, match="HNDSR_listen"):
        refuse_unknown({"HNDSR_listen": ""})


def test_variables_named_anywhere_in_the_code_are_known() -> None:
    files = [path for folder in CODE for suffix in ("py", "md") for path in (ROOT / folder).rglob(f"*.{suffix}")]
    named = {
        name: path.relative_to(ROOT)
        for path in files
        for name in re.findall(r"HNDSR_[A-Z0-9]+(?:_[A-Z0-9]+)*", path.read_text(encoding="utf-8"))
    }
    assert {name: path for name, path in named.items() if name not in KNOWN | FOREIGN_NAMES | NO_VARIABLES} == {}


def test_embedded_triton_is_given_every_variable_that_models_read() -> None:
    read = Recorder()
    ServingSettings.from_environment(read)
    assert set(embedded_options(Settings()).environment) == read.names


def test_models_read_what_the_gateway_was_told() -> None:
    given = embedded_options(Settings(**CHANGED)).environment
    expected = ServingSettings(
        engine="onnxruntime",
        device="cpu",
        precision="float32",
        networks="ensemble",
        window_batch=16,
        instances_per_gpu=3,
        cpu_threads=3,
        window_cache_bytes=7 * 2**20,
        models=("bicubic",),
    )
    assert ServingSettings.from_environment(given) == expected


def test_models_have_the_same_defaults_with_and_without_the_gateway() -> None:
    given = embedded_options(Settings()).environment
    assert ServingSettings.from_environment(given) == ServingSettings.from_environment({})


def test_embedded_triton_serves_the_chosen_repository(tmp_path: Path) -> None:
    shutil.copytree(model_repository() / "bicubic", tmp_path / "bicubic")
    assert embedded_options(Settings(model_repository=str(tmp_path))).model_repository == tmp_path


def test_model_repository_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRepositoryError, match="no model has a manifest"):
        embedded_options(Settings(model_repository=str(tmp_path)))


def test_embedded_triton_loads_the_tiling_model_alone_by_default() -> None:
    assert embedded_options(Settings()).models == ("hndsr",)


def test_embedded_triton_loads_all_models_when_networks_are_an_ensemble() -> None:
    folders = {path.parent.name for path in model_repository().glob("*/config.pbtxt")}
    assert set(embedded_options(Settings(networks="ensemble")).models) == folders


def test_embedded_triton_loads_the_chosen_model_and_the_tiling_model() -> None:
    chosen = Settings(models="bicubic", networks="ensemble")
    assert set(embedded_options(chosen).models) == {"hndsr", "bicubic"}


def test_embedded_triton_loads_a_window_model_that_only_triton_has(tmp_path: Path) -> None:
    shutil.copytree(model_repository() / "bicubic", tmp_path / "other")
    manifest = tmp_path / "other" / "1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"triton_model": "bicubic"', '"triton_model": "other"'))
    assert set(embedded_options(Settings(model_repository=str(tmp_path))).models) == {"hndsr", "other"}


def test_models_of_windows_that_need_no_triton_are_those_that_can_be_loaded_without() -> None:
    assert set(PIPELINES) == IN_PROCESS


GPUS = Machine(cuda_devices=2, native_bf16=False, installed=frozenset({"onnxruntime", "torch"}))


def test_embedded_triton_has_instances_on_every_gpu() -> None:
    settings = Settings(instances_per_gpu=3)
    groups = embedded_options(settings, GPUS).instance_groups
    assert (groups, embedded_instances(settings, GPUS)) == ({"hndsr": "{ kind: KIND_GPU, count: 3 }"}, 6)


@pytest.mark.parametrize("settings", [{"device": "cpu"}, {"networks": "ensemble"}, {"engine": "onnxruntime"}], ids=str)
def test_embedded_triton_has_one_instance_where_no_gpu_runs_it(settings: dict[str, str]) -> None:
    chosen = Settings(**settings)
    assert (embedded_options(chosen, GPUS).instance_groups, embedded_instances(chosen, GPUS)) == ({}, 1)


def test_engine_that_is_not_installed_is_refused_before_the_start() -> None:
    bare = Machine(cuda_devices=0, native_bf16=False, installed=frozenset({"onnxruntime"}))
    with pytest.raises(EngineUnavailableError, match=r"pip install 'hndsr\[openvino\]'"):
        embedded_options(Settings(engine="openvino"), bare)


def test_embedded_triton_is_refused_a_model_that_the_repository_does_not_have() -> None:
    with pytest.raises(UnknownModelError, match="HNDSR_MODELS names swin"):
        embedded_options(Settings(models="bicubic, swin"))


def test_default_model_that_the_repository_does_not_have_is_refused_before_the_start() -> None:
    with pytest.raises(UnknownDefaultModelError, match="HNDSR_DEFAULT_MODEL is 'swin'"):
        embedded_options(Settings(default_model="swin"))


def test_default_model_is_one_of_the_repository() -> None:
    assert Settings().default_model in read_manifests(model_repository())


@pytest.mark.parametrize(
    "name",
    [
        "HNDSR_SERVICE_HOST",
        "HNDSR_SERVICE_PORT",
        "HNDSR_SERVICE_PORT_GRPC",
        "HNDSR_PORT",
        "HNDSR_PORT_50051_TCP",
        "HNDSR_PORT_50051_TCP_ADDR",
        "HNDSR_TRITON_SERVICE_HOST",
        "HNDSR_TRITON_PORT_8001_TCP_PROTO",
    ],
)
def test_names_that_kubernetes_gives_to_a_service_are_no_settings(name: str) -> None:
    refuse_unknown({name: "tcp://10.0.0.1:50051"})


@pytest.mark.parametrize("address", ["", "abc", ":50051", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "a b:1"])
def test_listen_is_refused_when_it_is_no_address(address: str) -> None:
    with pytest.raises(ValidationError, match="listen"):
        Settings(listen=address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:65535", "[::1]:50051", "localhost:1"])
def test_listen_is_taken_when_it_is_an_address(address: str) -> None:
    assert Settings(listen=address).listen == address
