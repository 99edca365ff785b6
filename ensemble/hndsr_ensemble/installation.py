"""Whether a model's process runs the packages that it was started for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


class InstallationError(RuntimeError):
    """Packages of another installation were loaded, or ones that exchange tensors wrongly with this Triton."""


def check_numpy(numpy_file: str = np.__file__, version: str = np.__version__) -> None:
    """Refuse a NumPy that this Triton's Python backend exchanges tensors with silently wrong.

    Raises:
        InstallationError: for NumPy 2, and for one that was found outside HNDSR_SITE_PACKAGES.
    """
    if int(version.split(".", maxsplit=1)[0]) >= 2:
        raise InstallationError(f"NumPy {version} was loaded from {numpy_file}; this Triton needs numpy<2")
    folders = [Path(folder) for folder in os.environ.get("HNDSR_SITE_PACKAGES", "").split(os.pathsep) if folder]
    if folders and not any(Path(numpy_file).is_relative_to(folder) for folder in folders):
        raise InstallationError(f"NumPy was loaded from {numpy_file}, outside of HNDSR_SITE_PACKAGES; remove it there")
