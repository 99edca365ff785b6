"""`python -m hndsr_ensemble.release MODEL_REPOSITORY` seals the repository: its manifests and their probes.

Run it after the networks or their ONNX files changed, and commit what it writes. What the manifests say of where the
weights come from stays: only `hndsr-train release` knows that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from hndsr_ensemble.manifest import MANIFEST, VERSION_FOLDER, Manifest, file_digest
from hndsr_ensemble.noise import TORUS_SIDE, torus_digest
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.probe import PROBE, probe_axis, probe_batch, probe_cases, quantise_windows
from hndsr_ensemble.serving import ServingSettings

NETWORK_FILES = [
    f"{model}/1/{name}" for model in ("decoder", "fno", "unet") for name in ("model.onnx", "weights.safetensors")
]
TRAINED: Final = "hndsr_window"
"""Triton model of the window model whose weights are trained."""
GOLDEN: Final = f"{TRAINED}/{VERSION_FOLDER}/golden.npz"
"""What the networks gave in PyTorch when they were released."""
CARD: Final = "MODEL_CARD.md"
SEEN: Final = f"{TRAINED}/{VERSION_FOLDER}/seen.txt"
"""sha256 of the images that the weights have seen, so that nobody measures them, or what is trained on from them, on
those; `hndsr-train` reads and writes it."""
RELEASED: Final = (
    *NETWORK_FILES,
    *(f"{TRAINED}/{VERSION_FOLDER}/{name}" for name in (MANIFEST, PROBE)),
    GOLDEN,
    SEEN,
    CARD,
)
"""Every file of a release, from the repository's folder."""
RECORD: Final = f"{TRAINED}/{VERSION_FOLDER}/release.json"
"""Digests of the files of a release; the last file of it that is written. Weights of before have none."""
RECORD_FORMAT: Final = 1
GEOMETRY: dict[str, Any] = {
    "window_px": 256,
    "stride_px": 224,
    "min_scale": "1.5",
    "max_scale": "8",
    "default_scale": "4",
}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "name": "hndsr",
        "description": "Autoencoder, Fourier Neural Operator and residual diffusion; aerial RGB imagery.",
        "triton_model": "hndsr_window",
        "requires": ["fno", "ddim", "unet", "decoder"],
        **GEOMETRY,
        "source_halo_px": 0,
        "inputs": ["LR", "SCALE", "ORIGIN", "SEED", "POSITION", "STEPS", "TEXTURE"],
        "generative": True,
        "default_options": {"steps": 4, "texture": 1.0, "seed": 0},
        "noise_period_px": 4 * TORUS_SIDE,
        "files": NETWORK_FILES,
        "provenance": {
            "training_images": "about 1,260 UC Merced Land Use images (USGS orthophotos, 0.3 m) and 40 drone frames",
            "degradation": "antialiased bicubic (a = -0.5), rounded to 8 bits",
            "scales_trained": "1.7 to 8",
            "trained": "2026-11-20",
        },
    },
    {
        "name": "bicubic",
        "description": "Cubic convolution (Keys 1981, a = -1/2): the row that every model is compared with.",
        "triton_model": "bicubic",
        "requires": [],
        **GEOMETRY,
        "source_halo_px": 2,
        "inputs": ["LR", "POSITION", "RATIO"],
        "generative": False,
        "default_options": {"steps": 0, "texture": 0.0, "seed": 0},
        "noise_period_px": 1,
        "files": [],
        "provenance": {},
    },
)


def probe_source(side: int) -> UInt8[np.ndarray, "side side 3"]:
    """A source window with edges, gradients and texture, from integers alone."""
    y, x = np.mgrid[:side, :side].astype(np.int64)
    bands = [(y * 3 + x * x // 7) % 256, (x * 5 + y * y // 11) % 256, np.where((x // 9 + y // 13) % 2, 190, 60)]
    return np.stack(bands, axis=-1).astype(np.uint8)


def seal(repository: Path, document: dict[str, Any]) -> Manifest:
    """Write one window model's manifest with its files' digests, then its probe with the answer of this machine."""
    manifest = write_manifest(repository, document)
    write_probe(repository, manifest)
    return manifest


def write_manifest(
    repository: Path, document: dict[str, Any], *, provenance: Mapping[str, Any] | None = None
) -> Manifest:
    """Write one window model's manifest with its files' digests.

    Args:
        repository: the Triton model repository.
        document: what the manifest says.
        provenance: of the weights; None keeps what a manifest there says, else takes the document's.
    """
    path = repository / document["triton_model"] / VERSION_FOLDER / MANIFEST
    if provenance is None:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        provenance = kept.get("provenance", document["provenance"])
    files = {name: file_digest(repository / name) for name in document["files"]}
    facts = {**document, "provenance": provenance, "noise_digest": torus_digest(), "files": files}
    text = json.dumps(facts, indent=2) + "\n"
    manifest = Manifest.parse(text)
    path.write_text(text, encoding="utf-8")
    return manifest


def write_probe(repository: Path, manifest: Manifest) -> None:
    """Write one window model's probe with the answer of this machine."""
    cases = probe_cases(manifest)
    source = probe_source(max(probe_axis(manifest, scale).side for scale, _ in cases))
    run = load_pipeline(repository, manifest, ServingSettings.from_environment({"HNDSR_ENGINE": "onnxruntime"}))
    windows = quantise_windows(tuple(run(probe_batch(manifest, source, case)) for case in cases))
    probe = repository / manifest.triton_model / VERSION_FOLDER / PROBE
    np.savez_compressed(probe, source=source, windows=windows)


def write_record(repository: Path) -> None:
    """Write down the digests of a release's files as they are now."""
    digests = {name: file_digest(repository / name) for name in RELEASED}
    text = json.dumps({"format": RECORD_FORMAT, "files": digests}, indent=2) + "\n"
    (repository / RECORD).write_text(text, encoding="utf-8")


def read_record(path: Path) -> dict[str, str]:
    """Digests of a release's files by name, as `write_record` wrote them.

    Raises:
        ValueError: it is no such record.
    """
    match json.loads(path.read_text(encoding="utf-8")):
        case {"format": int(form), "files": dict(files)} if form == RECORD_FORMAT and files.keys() == set(RELEASED):
            return files
    raise ValueError(f"{path} is not the record of a release that this version reads")


def main() -> None:
    """Seal every window model."""
    parser = argparse.ArgumentParser(prog="python -m hndsr_ensemble.release", description=__doc__)
    parser.add_argument("repository", metavar="MODEL_REPOSITORY", type=Path)
    repository = parser.parse_args().repository
    for document in DOCUMENTS:
        manifest = seal(repository, document)
        print(f"{manifest.name}: manifest {manifest.digest[:12]}")  # noqa: T201 - a command's answer
    if (repository / RECORD).is_file():
        write_record(repository)


if __name__ == "__main__":
    main()
