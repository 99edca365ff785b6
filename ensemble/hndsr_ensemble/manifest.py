"""What a window model says of itself, and the identity made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from hndsr_ensemble.blending import RAMPS
from hndsr_ensemble.geometry import WindowGeometry
from hndsr_ensemble.noise import torus_digest
from hndsr_ensemble.scale import Scale

PIXELS_VERSION = 1
"""Part of every revision: raised whenever the code between a window model and the target's bytes changes them.

That is `geometry`, `blending`, `masks`, `values`, `bicubic`, `noise`, `schedule`, `diffusion`, `tile_job` and `tiling`.
"""

MANIFEST = "manifest.json"
IRRELEVANT = frozenset({"description", "provenance", "default_options", "default_scale"})
"""Fields of a manifest that decide no pixel of a request."""

VERSION_FOLDER = "1"
MAX_STEPS = 100
MAX_TEXTURE = 1.5


class ManifestError(ValueError):
    """A manifest that cannot be served, or files that are not the ones it names."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a generative model draws: `steps` in [0, 100], `texture` in [0, 1.5], `seed` in [0, 2⁶⁴)."""

    steps: int
    texture: float
    seed: int

    @property
    def draws(self) -> bool:
        """Whether noise has any influence."""
        return self.steps > 0 and self.texture > 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """A window model as a product: what it is called, sees, supports, and consists of.

    `requires` are the Triton models that `triton_model` calls, as a step of an ensemble or by BLS.
    """

    name: str
    description: str
    triton_model: str
    requires: tuple[str, ...]
    geometry: WindowGeometry
    min_scale: Scale
    max_scale: Scale
    default_scale: str
    inputs: tuple[str, ...]
    generative: bool
    default_options: Options
    noise_period_px: int
    noise_digest: str
    files: Mapping[str, str]
    text: str

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Read a manifest's JSON.

        Raises:
            ManifestError: if it is incomplete, or its geometry cannot be tiled.
        """
        try:
            manifest = cls._read(json.loads(text), text)
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestError(f"the manifest cannot be read: {error!r}") from error
        if manifest.geometry.overlap_px + 1 < 2 * manifest.max_scale.fraction:
            raise ManifestError(f"{manifest.name}: an overlap of {manifest.geometry.overlap_px} px is too small")
        if manifest.geometry.overlap_px not in RAMPS:
            raise ManifestError(f"{manifest.name}: no blending ramp has {manifest.geometry.overlap_px} px")
        return manifest

    @classmethod
    def _read(cls, document: dict[str, Any], text: str) -> Manifest:
        options = document["default_options"]
        return cls(
            name=document["name"],
            description=document["description"],
            triton_model=document["triton_model"],
            requires=tuple(document["requires"]),
            geometry=WindowGeometry(document["window_px"], document["stride_px"], document["source_halo_px"]),
            min_scale=Scale.parse(document["min_scale"]),
            max_scale=Scale.parse(document["max_scale"]),
            default_scale=document["default_scale"],
            inputs=tuple(document["inputs"]),
            generative=document["generative"],
            default_options=Options(options["steps"], options["texture"], options["seed"]),
            noise_period_px=document["noise_period_px"],
            noise_digest=document["noise_digest"],
            files=document["files"],
            text=text,
        )

    @property
    def digest(self) -> str:
        """sha256 over the fields that decide pixels, in hexadecimal: a better description is no other model."""
        decisive = {name: value for name, value in json.loads(self.text).items() if name not in IRRELEVANT}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def supports(self, scale: Scale) -> bool:
        """Whether a scale lies within what the model was made for."""
        return self.min_scale.fraction <= scale.fraction <= self.max_scale.fraction

    def check_files(self, repository: Path, model: str) -> None:
        """Compare a Triton model's files with their digests.

        Raises:
            ManifestError: naming the file that is missing or differs.
        """
        for name, expected in self.files.items():
            if name.startswith(f"{model}/") and file_digest(repository / name) != expected:
                raise ManifestError(f"{name} is not the file that the manifest of {self.name} names; restore it")


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal; of nothing where there is none."""
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def check_noise(manifest: Manifest) -> None:
    """Compare the noise that this NumPy makes with the one the model was released with.

    Raises:
        ManifestError: if they differ.
    """
    if torus_digest() != manifest.noise_digest:
        raise ManifestError(f"this NumPy draws other noise than {manifest.name} was released with; use numpy 1.26")


def read_manifest(repository: Path, triton_model: str) -> Manifest:
    """The manifest of one window model in a Triton model repository."""
    return Manifest.parse((repository / triton_model / VERSION_FOLDER / MANIFEST).read_text(encoding="utf-8"))


def read_manifests(repository: Path) -> dict[str, Manifest]:
    """All window models of a Triton model repository, by name."""
    found = sorted(repository.glob(f"*/{VERSION_FOLDER}/{MANIFEST}"))
    manifests = [Manifest.parse(path.read_text(encoding="utf-8")) for path in found]
    return {manifest.name: manifest for manifest in manifests}


def model_repository() -> Path:
    """The model repository that came with this installation: package data, or the checkout's folder."""
    here = Path(__file__).resolve().parent
    packaged = here / "model_repository"
    return packaged if packaged.is_dir() else here.parents[1] / "model_repository"


def revision_of(
    manifest: Manifest,
    *,
    engine: str,
    precision: str,
    batch: int,
    probe: Sequence[Float32[np.ndarray, "..."]],
) -> str:
    """Identity of everything that decides pixels: sha256 in hexadecimal.

    Args:
        manifest: of the window model.
        engine: name and version of what runs it.
        precision: of its arithmetic.
        batch: windows of one pass.
        probe: the probe's windows to the last bit, before they are quantised.
    """
    answers = hashlib.sha256(b"".join(window.tobytes() for window in probe))
    identity = {
        "manifest": manifest.digest,
        "pixels": PIXELS_VERSION,
        "numpy": np.__version__,
        "engine": engine,
        "precision": precision,
        "batch": batch,
        "probe": answers.hexdigest(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
