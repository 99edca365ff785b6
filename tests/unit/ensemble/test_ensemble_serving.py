"""What models read from their environment, and which NumPy they accept."""

import pytest

from hndsr_ensemble.installation import InstallationError, check_numpy
from hndsr_ensemble.serving import ServingSettings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("engine", "auto"), ("device", "auto"), ("precision", "auto"), ("networks", "fused")),
        *(("window_batch", 0), ("window_cache_bytes", 256 * 2**20), ("models", ())),
    ],
)
def test_settings_have_defaults(name: str, expected: object) -> None:
    assert getattr(ServingSettings.from_environment({}), name) == expected


def test_settings_take_all_cores_when_none_are_named() -> None:
    assert ServingSettings.from_environment({"HNDSR_CPU_THREADS": "0"}).cpu_threads >= 1


@pytest.mark.parametrize(
    ("variable", "text", "name", "expected"),
    [
        ("HNDSR_ENGINE", "onnxruntime", "engine", "onnxruntime"),
        ("HNDSR_NETWORKS", "ensemble", "networks", "ensemble"),
        ("HNDSR_WINDOW_BATCH", "16", "window_batch", 16),
        ("HNDSR_CPU_THREADS", "3", "cpu_threads", 3),
        ("HNDSR_WINDOW_CACHE_MIB", "0", "window_cache_bytes", 0),
        ("HNDSR_WINDOW_CACHE_MIB", "2", "window_cache_bytes", 2**21),
        ("HNDSR_MODELS", "hndsr", "models", ("hndsr",)),
        ("HNDSR_MODELS", " hndsr , bicubic,", "models", ("hndsr", "bicubic")),
        ("HNDSR_MODELS", "", "models", ()),
    ],
)
def test_settings_are_read(variable: str, text: str, name: str, expected: object) -> None:
    assert getattr(ServingSettings.from_environment({variable: text}), name) == expected


@pytest.mark.parametrize("variable", ["HNDSR_CPU_THREADS", "HNDSR_WINDOW_BATCH", "HNDSR_WINDOW_CACHE_MIB"])
def test_settings_are_refused_when_a_number_is_none(variable: str) -> None:
    with pytest.raises(ValueError, match="many"):
        ServingSettings.from_environment({variable: "many"})


def test_settings_are_refused_when_networks_are_to_be_elsewhere() -> None:
    with pytest.raises(ValueError, match="'fused' or 'ensemble'"):
        ServingSettings.from_environment({"HNDSR_NETWORKS": "triton"})


def test_numpy_is_refused_when_it_is_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HNDSR_SITE_PACKAGES", raising=False)
    with pytest.raises(InstallationError, match="needs numpy<2"):
        check_numpy("/somewhere/numpy/__init__.py", "2.1.0")


@pytest.mark.parametrize("folders", ["", "/somewhere", "/else:/somewhere"])
def test_numpy_is_accepted_when_it_lies_where_it_should(monkeypatch: pytest.MonkeyPatch, folders: str) -> None:
    monkeypatch.setenv("HNDSR_SITE_PACKAGES", folders)
    check_numpy("/somewhere/numpy/__init__.py", "1.26.4")


@pytest.mark.parametrize("folders", ["/else", "/some", "/somewhere/numpy/core"])
def test_numpy_is_refused_when_it_lies_elsewhere(monkeypatch: pytest.MonkeyPatch, folders: str) -> None:
    monkeypatch.setenv("HNDSR_SITE_PACKAGES", folders)
    with pytest.raises(InstallationError, match="outside of HNDSR_SITE_PACKAGES"):
        check_numpy("/somewhere/numpy/__init__.py", "1.26.4")
