"""Finds the server's parts in the installed wheel, and what its model processes need of this Python."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hndsr_gateway.triton.errors import SharedPythonMissingError, TritonMissingError, UnsupportedPythonError


@dataclass(frozen=True)
class TritonWheel:
    """The parts of the wheel that a start needs."""

    server: Path
    backend: Path
    """Folder of the Python backend, without the model process."""
    stub: Path
    """The program that runs one Python model."""
    libraries: Path


def python_version() -> str:
    """This Python as `3.11`: model processes exist per minor version."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def package_folder(package: str) -> Path | None:
    """Folder that holds an installed package, or None. Top-level names only: nothing is imported."""
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]).parent if locations else None


def find_wheel(site_packages: Path | None, *, python: str) -> TritonWheel:
    """The server's parts in `site_packages`, the folder that holds the package pytriton.

    Raises:
        TritonMissingError: the wheel is not installed, or not whole.
        UnsupportedPythonError: the wheel has no model process for `python`.
    """
    if site_packages is None:
        raise TritonMissingError(part="nvidia-pytriton")
    root = site_packages / "pytriton" / "tritonserver"
    stubs = root / "python_backend_stubs"
    wheel = TritonWheel(
        server=root / "bin" / "tritonserver",
        backend=root / "backends" / "python",
        stub=stubs / python / "triton_python_backend_stub",
        libraries=site_packages / "nvidia_pytriton.libs",
    )
    _check_present(wheel.server, wheel.backend, stubs, wheel.libraries)
    if not wheel.stub.exists():
        raise UnsupportedPythonError(version=python, supported=_versions(stubs))
    return wheel


def _check_present(*parts: Path) -> None:
    for part in parts:
        if not part.exists():
            raise TritonMissingError(part=part.name)


def _versions(stubs: Path) -> list[str]:
    names = [folder.name for folder in stubs.iterdir() if folder.is_dir()]
    return sorted(names, key=lambda name: [int(number) for number in name.split(".")])


def python_library_name() -> str:
    """File name of the library this Python is built as: `libpython3.11.so.1.0` in shared builds, else an archive."""
    return str(sysconfig.get_config_var("INSTSONAME") or "")


def python_library_folders() -> tuple[Path, ...]:
    """Where this Python's library can be: where the build says, and where relocated builds carry it."""
    configured = sysconfig.get_config_var("LIBDIR")
    return tuple(dict.fromkeys((*([Path(configured)] if configured else []), Path(sys.base_prefix) / "lib")))


def find_shared_python(library: str, folders: Sequence[Path]) -> Path:
    """The folder that holds this very Python's shared library; another patch version would not fit its own modules.

    Raises:
        SharedPythonMissingError: this Python was built without a shared library, or it is not installed.
    """
    for folder in folders:
        if ".so" in library and (folder / library).is_file():
            return folder
    raise SharedPythonMissingError(folders=folders)


def model_python_path(extra: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Folders that models put in front of `sys.path`: `extra`, NumPy's, and that of an editable `hndsr_ensemble`."""
    found = (package_folder(package) for package in ("numpy", "hndsr_ensemble"))
    return tuple(dict.fromkeys((*extra, *(folder for folder in found if folder is not None))))
