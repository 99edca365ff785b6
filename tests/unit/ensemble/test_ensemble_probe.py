"""The committed probe proves the shipped models, and no other."""

from pathlib import Path

import numpy as np
import pytest

from hndsr_ensemble.manifest import MANIFEST, VERSION_FOLDER, Manifest
from hndsr_ensemble.probe import PROBE, TOLERANCE, ProbeError, probe_batch, probe_cases, quantise_windows, run_probe
from hndsr_ensemble.release import DOCUMENTS, probe_source, seal
from hndsr_ensemble.windows import WindowFunction


def committed(repository: Path, manifest: Manifest, name: str) -> np.ndarray:
    with np.load(repository / manifest.triton_model / VERSION_FOLDER / PROBE) as arrays:
        return arrays[name]


def off_by(run: WindowFunction, levels: float) -> WindowFunction:
    """The same model, brighter by as many of 255 grey levels."""
    return lambda batch: run(batch) + np.float32(levels / 127.5)


def test_probe_passes_for_bicubic(repository: Path, bicubic: Manifest, bicubic_function: WindowFunction) -> None:
    windows = run_probe(repository, bicubic, bicubic_function)
    assert np.array_equal(quantise_windows(windows), committed(repository, bicubic, "windows"))


def test_probe_passes_for_hndsr(repository: Path, hndsr: Manifest, hndsr_function: WindowFunction) -> None:
    windows = run_probe(repository, hndsr, hndsr_function)
    difference = np.abs(quantise_windows(windows).astype(int) - committed(repository, hndsr, "windows"))
    assert difference.mean() <= TOLERANCE


def test_probe_passes_for_hndsr_when_openvino_runs_it(
    repository: Path, hndsr: Manifest, openvino_function: WindowFunction
) -> None:
    assert len(run_probe(repository, hndsr, openvino_function)) == len(probe_cases(hndsr))


def test_probe_draws_noise(hndsr: Manifest) -> None:
    assert all(options.draws for _, options in probe_cases(hndsr))


def test_probe_begins_a_window_between_source_pixels(hndsr: Manifest, repository: Path) -> None:
    batches = [probe_batch(hndsr, committed(repository, hndsr, "source"), case) for case in probe_cases(hndsr)]
    assert batches[-1].origins.all()


@pytest.mark.parametrize("levels", [1, -1, 100])
def test_probe_fails_when_the_model_is_off(
    repository: Path, bicubic: Manifest, bicubic_function: WindowFunction, levels: float
) -> None:
    with pytest.raises(ProbeError, match=r"bicubic is .* grey levels off"):
        run_probe(repository, bicubic, off_by(bicubic_function, levels))


def test_probe_fails_when_bands_are_swapped(
    repository: Path, bicubic: Manifest, bicubic_function: WindowFunction
) -> None:
    with pytest.raises(ProbeError):
        run_probe(repository, bicubic, lambda batch: bicubic_function(batch)[:, ::-1].copy())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_probe_fails_when_the_model_yields_no_numbers(repository: Path, bicubic: Manifest) -> None:
    with pytest.raises(ProbeError):
        run_probe(repository, bicubic, lambda batch: np.full((len(batch.lr), 3, 256, 256), np.nan, np.float32))


def test_probe_passes_for_another_machines_rounding(
    repository: Path, bicubic: Manifest, bicubic_function: WindowFunction
) -> None:
    run_probe(repository, bicubic, off_by(bicubic_function, 0.2))


def test_probe_lies_off_the_diagonal_and_off_the_origin(bicubic: Manifest, repository: Path) -> None:
    batch = probe_batch(bicubic, committed(repository, bicubic, "source"), probe_cases(bicubic)[0])
    assert batch.positions.tolist() == [[224, 448]]


@pytest.mark.parametrize("name", ["hndsr", "bicubic"])
def test_committed_probe_is_of_the_released_source(
    repository: Path, hndsr: Manifest, bicubic: Manifest, name: str
) -> None:
    manifest = {"hndsr": hndsr, "bicubic": bicubic}[name]
    source = committed(repository, manifest, "source")
    assert np.array_equal(source, probe_source(len(source)))


def test_sealing_bicubic_writes_the_committed_manifest(repository: Path, tmp_path: Path) -> None:
    document = next(document for document in DOCUMENTS if document["name"] == "bicubic")
    folder = tmp_path / "bicubic" / VERSION_FOLDER
    folder.mkdir(parents=True)
    seal(tmp_path, document)
    assert (folder / MANIFEST).read_text() == (repository / "bicubic" / VERSION_FOLDER / MANIFEST).read_text()
