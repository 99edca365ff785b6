"""Whether a model repository is what was released, whole and computing what it should: offline, one line a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile

from hndsr_ensemble.manifest import MANIFEST, VERSION_FOLDER, Manifest, ManifestError, check_noise, file_digest
from hndsr_ensemble.pipeline import PIPELINES, load_pipeline
from hndsr_ensemble.probe import ProbeError, run_probe
from hndsr_ensemble.release import CARD, GOLDEN, RECORD, SEEN, TRAINED, read_record
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.training.release import golden
from hndsr_ensemble.training.release.installing import is_unfinished, leftovers

UNREADABLE = (OSError, ValueError, KeyError, BadZipFile)
"""What a file that is damaged or missing raises when it is read."""


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, and what is wrong with it: nothing, if `fault` is empty."""

    name: str
    fault: str = ""
    note: str = ""

    def __str__(self) -> str:
        said = self.fault or self.note
        return f"{'WRONG' if self.fault else 'ok   '} {self.name}" + (f": {said}" if said else "")


def verify(repository: Path) -> Iterator[Check]:
    """Check the installation, every file, then what the models answer; the models of wrong files are not asked."""
    manifests, is_sound = dict[str, Manifest](), True
    for check in (_installation(repository), *_manifests(repository, manifests), *_files(repository, manifests)):
        is_sound &= not check.fault
        yield check
    if is_sound:
        yield from (_probe(repository, manifest) for manifest in manifests.values())
        yield from _golden(repository)
    else:
        yield Check("probes and golden file", note="not asked, since files are wrong")


def _installation(repository: Path) -> Check:
    name = "installation"
    if is_unfinished(repository):
        return Check(name, "one was interrupted half-way; `hndsr-train release` into this repository finishes it first")
    remains = leftovers(repository)
    return Check(name, note=f"{len(remains)} files of one that was given up lie beside" if remains else "whole")


def _manifests(repository: Path, found: dict[str, Manifest]) -> Iterator[Check]:
    """Read all manifests into `found`, by their Triton models."""
    paths = sorted(repository.glob(f"*/{VERSION_FOLDER}/{MANIFEST}"))
    if TRAINED not in {path.parent.parent.name for path in paths}:
        yield Check("repository", f"{repository} holds no {TRAINED}/{VERSION_FOLDER}/{MANIFEST}")
    for path in paths:
        name = f"manifest of {path.parent.parent.name}"
        try:
            manifest = Manifest.parse(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            yield Check(name, str(error))
        else:
            found[manifest.triton_model] = manifest
            yield Check(name, note=f"{manifest.name}, {manifest.digest[:12]}")


def _files(repository: Path, manifests: Mapping[str, Manifest]) -> Iterator[Check]:
    """Every file that a manifest or the record of the release names."""
    expected = [(name, digest) for manifest in manifests.values() for name, digest in manifest.files.items()]
    if (repository / RECORD).is_file():
        try:
            expected += read_record(repository / RECORD).items()
        except ValueError as error:
            yield Check(RECORD, str(error))
    else:
        yield _without_record(repository)
    for name, digest in sorted(set(expected)):
        is_there = (repository / name).is_file()
        if not is_there or file_digest(repository / name) != digest:
            yield Check(name, "is not the file that was released" if is_there else "is missing")
        else:
            yield Check(name, note=digest[:12])


def _without_record(repository: Path) -> Check:
    orphans = [name for name in (GOLDEN, SEEN, CARD) if (repository / name).exists()]
    if orphans:
        return Check(RECORD, f"is missing, but {', '.join(orphans)} came with one")
    return Check(RECORD, note="there is none, nor a golden file: these weights are older than both")


def _probe(repository: Path, manifest: Manifest) -> Check:
    name = f"probe of {manifest.name}"
    if manifest.triton_model not in PIPELINES:
        return Check(name, note="not asked: it runs in Triton alone")
    settings = ServingSettings.from_environment({"HNDSR_ENGINE": "onnxruntime"})
    try:
        check_noise(manifest)
        run_probe(repository, manifest, load_pipeline(repository, manifest, settings))
    except (ManifestError, ProbeError) as error:
        return Check(name, str(error))
    except UNREADABLE as error:
        return Check(name, f"cannot be read: {error!r}")
    return Check(name, note="onnxruntime")


def _golden(repository: Path) -> Iterator[Check]:
    if not (repository / GOLDEN).is_file():
        return
    yield _compared("exported graphs against the golden file", repository, golden.onnx_networks)
    if find_spec("torch") is None:
        yield Check("PyTorch modules against the golden file", note="not asked: torch is not installed")
        return
    from hndsr_ensemble.training.release.torch_networks import torch_networks  # noqa: PLC0415 - where there is torch

    yield _compared("PyTorch modules against the golden file", repository, torch_networks)


def _compared(name: str, repository: Path, load: Callable[[Path], golden.Networks]) -> Check:
    try:
        errors = golden.golden_errors(golden.read_golden(repository / GOLDEN), load(repository))
    except UNREADABLE as error:
        return Check(name, f"cannot be read: {error!r}")
    off = [f"{output} by {error:.1e}" for output, error in errors.items() if not error <= golden.TOLERANCE]
    if off:
        return Check(name, f"{', '.join(off)}, more than {golden.TOLERANCE:.0e}")
    return Check(name, note=f"within {max(errors.values()):.1e}")
