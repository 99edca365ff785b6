"""The parts of the wheel and of this Python, found in folders that tests make."""

from __future__ import annotations

from pathlib import Path

import pytest

from hndsr_gateway.triton import wheel
from hndsr_gateway.triton.errors import SharedPythonMissingError, TritonMissingError, UnsupportedPythonError


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """A wheel with model processes for two versions of Python."""
    root = tmp_path / "pytriton" / "tritonserver"
    for part in ("bin/tritonserver", "backends/python/libtriton_python.so"):
        (root / part).parent.mkdir(parents=True)
        (root / part).touch()
    for version in ("3.9", "3.11"):
        stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
        stub.parent.mkdir(parents=True)
        stub.touch()
    (tmp_path / "nvidia_pytriton.libs").mkdir()
    return tmp_path


def test_find_wheel_finds_the_model_process_of_the_version(site_packages: Path) -> None:
    assert wheel.find_wheel(site_packages, python="3.11").stub.parent.name == "3.11"


def test_find_wheel_refuses_a_version_without_model_process(site_packages: Path) -> None:
    with pytest.raises(UnsupportedPythonError, match=r"Python 3\.9, 3\.11, not 3\.14; .*HNDSR_TRITON_ENDPOINTS"):
        wheel.find_wheel(site_packages, python="3.14")


def test_find_wheel_says_how_to_install_it_when_it_is_missing() -> None:
    with pytest.raises(TritonMissingError, match=r"pip install 'hndsr\[embedded\]'"):
        wheel.find_wheel(None, python="3.11")


def test_find_wheel_names_a_missing_part(site_packages: Path) -> None:
    (site_packages / "nvidia_pytriton.libs").rmdir()
    with pytest.raises(TritonMissingError, match=r"nvidia_pytriton\.libs is missing"):
        wheel.find_wheel(site_packages, python="3.11")


def test_find_shared_python_takes_the_first_folder_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "libpython3.11.so.1.0").touch()
    assert wheel.find_shared_python("libpython3.11.so.1.0", [tmp_path / "none", tmp_path]) == tmp_path


@pytest.mark.parametrize("library", ["libpython3.11.so.1.0", "libpython3.11.a", ""])
def test_find_shared_python_refuses_a_python_without_it(tmp_path: Path, library: str) -> None:
    (tmp_path / "libpython3.11.a").touch()
    with pytest.raises(SharedPythonMissingError, match=f"{tmp_path}; use a Python .*--enable-shared"):
        wheel.find_shared_python(library, [tmp_path])


def test_package_folder_holds_the_package() -> None:
    folder = wheel.package_folder("hndsr_gateway")
    assert folder is not None
    assert (folder / "hndsr_gateway" / "triton").is_dir()


def test_package_folder_is_none_for_a_package_that_is_not_installed() -> None:
    assert wheel.package_folder("no_such_package") is None


def test_model_python_path_begins_with_the_extra_folders_and_names_each_once(tmp_path: Path) -> None:
    path = wheel.model_python_path([tmp_path])
    assert (path[0], len(path)) == (tmp_path, len(set(path)))


def test_model_python_path_holds_numpy() -> None:
    assert any((folder / "numpy").is_dir() for folder in wheel.model_python_path())
