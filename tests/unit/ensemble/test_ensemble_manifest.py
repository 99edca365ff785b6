"""Manifests say what they may, name the files that lie beside them, and every fact changes the revision."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.ensemble.tile_cases import SHIPPED, make_manifest

from hndsr_ensemble import manifest as module
from hndsr_ensemble.manifest import (
    IRRELEVANT,
    Manifest,
    ManifestError,
    Options,
    file_digest,
    read_manifest,
    read_manifests,
    revision_of,
)
from hndsr_ensemble.scale import Scale

NETWORKS = ("decoder", "fno", "unet")
FILES = [f"{network}/1/{name}" for network in NETWORKS for name in ("model.onnx", "weights.safetensors")]
FACTS = {"engine": "onnxruntime 1", "precision": "fp32", "batch": 1, "probe": (np.zeros((1, 3, 2, 2), np.float32),) * 2}


def test_repository_holds_both_window_models(repository: Path) -> None:
    assert set(read_manifests(repository)) == {"hndsr", "bicubic"}


@pytest.mark.parametrize("name", ["hndsr", "bicubic"])
def test_manifest_has_the_windows_of_the_design(repository: Path, name: str) -> None:
    geometry = read_manifests(repository)[name].geometry
    assert (geometry.window_px, geometry.stride_px) == (256, 224)


@pytest.mark.parametrize(("name", "halo_px"), [("hndsr", 0), ("bicubic", 2)])
def test_manifest_has_the_halo_of_its_model(repository: Path, name: str, halo_px: int) -> None:
    assert read_manifests(repository)[name].geometry.source_halo_px == halo_px


def test_stride_and_noise_period_of_hndsr_are_whole_latents_of_the_unet(hndsr: Manifest) -> None:
    assert (hndsr.geometry.stride_px % 16, hndsr.noise_period_px % 16) == (0, 0)


def test_manifest_is_read_by_the_name_of_its_triton_model(repository: Path, hndsr: Manifest) -> None:
    assert read_manifest(repository, "hndsr_window") == hndsr


def test_manifest_names_every_file_of_the_networks(hndsr: Manifest) -> None:
    assert sorted(hndsr.files) == FILES


@pytest.mark.parametrize("network", NETWORKS)
def test_committed_files_are_those_of_the_manifest(repository: Path, hndsr: Manifest, network: str) -> None:
    hndsr.check_files(repository, network)


def copied(repository: Path, folder: Path, name: str) -> Path:
    """A repository that holds nothing but the files of one network; returns the path of `name` in it."""
    network = name.split("/", maxsplit=1)[0]
    for path in (repository / network / "1").iterdir():
        if path.is_file():
            (folder / network / "1").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / network / "1")
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_files_are_refused_when_a_byte_changed(repository: Path, hndsr: Manifest, tmp_path: Path, name: str) -> None:
    path = copied(repository, tmp_path, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=name):
        hndsr.check_files(tmp_path, name.split("/", maxsplit=1)[0])


@pytest.mark.parametrize("name", FILES[:2])
def test_files_are_refused_when_one_is_missing(repository: Path, hndsr: Manifest, tmp_path: Path, name: str) -> None:
    copied(repository, tmp_path, name).unlink()
    with pytest.raises(ManifestError, match=name):
        hndsr.check_files(tmp_path, "decoder")


def test_files_of_other_networks_are_not_looked_at(repository: Path, hndsr: Manifest, tmp_path: Path) -> None:
    copied(repository, tmp_path, FILES[0])
    hndsr.check_files(tmp_path, "decoder")


def test_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize(("scale", "supported"), [("1.5", True), ("8", True), ("1.49999", False), ("8.00001", False)])
def test_scales_are_supported_between_the_manifests_ends(bicubic: Manifest, scale: str, *, supported: bool) -> None:
    assert bicubic.supports(Scale.parse(scale)) is supported


def changed(**changes: object) -> str:
    """The text of a shipped manifest with some of its facts replaced."""
    return json.dumps(SHIPPED | changes)


@pytest.mark.parametrize(("window_px", "stride_px"), [(64, 32), (96, 64), (256, 224)])
def test_manifest_is_accepted_when_its_windows_overlap_enough(window_px: int, stride_px: int) -> None:
    text = changed(window_px=window_px, stride_px=stride_px)
    assert Manifest.parse(text).geometry.overlap_px == window_px - stride_px


@pytest.mark.parametrize(
    ("window_px", "stride_px", "max_scale"), [(256, 242, "8"), (256, 224, "16.51"), (256, 240, "8.6"), (64, 60, "2.6")]
)
def test_manifest_is_refused_when_its_windows_overlap_too_little(
    window_px: int, stride_px: int, max_scale: str
) -> None:
    with pytest.raises(ManifestError, match="too small"):
        Manifest.parse(changed(window_px=window_px, stride_px=stride_px, max_scale=max_scale))


@pytest.mark.parametrize(("window_px", "stride_px"), [(256, 256), (256, 300), (256, 127), (256, 0)])
def test_manifest_is_refused_when_its_stride_cannot_tile(window_px: int, stride_px: int) -> None:
    with pytest.raises(ManifestError, match=f"stride {stride_px}"):
        Manifest.parse(changed(window_px=window_px, stride_px=stride_px))


def test_manifest_reads_scales_as_exact_numbers() -> None:
    assert Manifest.parse(changed(min_scale="1.7", max_scale="7.9")).min_scale == Scale(17, 10)


def test_digest_does_not_change_with_the_description() -> None:
    assert Manifest.parse(changed()).digest == Manifest.parse(changed(description="better words")).digest


def test_manifest_is_refused_when_no_ramp_fits_its_overlap() -> None:
    with pytest.raises(ManifestError, match="no blending ramp has 30 px"):
        Manifest.parse(changed(window_px=254))


def test_manifest_is_refused_when_a_field_is_missing() -> None:
    without = {name: value for name, value in SHIPPED.items() if name != "inputs"}
    with pytest.raises(ManifestError, match="inputs"):
        Manifest.parse(json.dumps(without))


@pytest.mark.parametrize(("steps", "texture", "draws"), [(0, 1.0, False), (1, 0.0, False), (1, 0.1, True)])
def test_options_draw_when_noise_has_influence(steps: int, texture: float, *, draws: bool) -> None:
    assert Options(steps, texture, 0).draws is draws


def test_revision_is_that_of_the_same_facts() -> None:
    assert revision_of(make_manifest(), **FACTS) == revision_of(make_manifest(), **FACTS)


@pytest.mark.parametrize(
    "change",
    [
        {"engine": "onnxruntime 2"},
        {"precision": "bf16"},
        {"batch": 2},
        {"probe": (np.ones((1, 3, 2, 2), np.float32),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_revision_changes_with_what_runs_the_model(change: dict[str, object]) -> None:
    assert revision_of(make_manifest(), **(FACTS | change)) != revision_of(make_manifest(), **FACTS)


def test_revision_changes_with_a_single_bit_of_the_probe() -> None:
    first, second = (window.copy() for window in FACTS["probe"])
    second[0, 1, 1, 1] = np.nextafter(second[0, 1, 1, 1], np.float32(1))
    assert revision_of(make_manifest(), **(FACTS | {"probe": (first, second)})) != revision_of(make_manifest(), **FACTS)


def test_revision_changes_with_the_rules_of_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    before = revision_of(make_manifest(), **FACTS)
    monkeypatch.setattr(module, "PIXELS_VERSION", module.PIXELS_VERSION + 1)
    assert revision_of(make_manifest(), **FACTS) != before


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - IRRELEVANT))
def test_digest_changes_with_every_field_that_decides_pixels(name: str) -> None:
    text = json.dumps(SHIPPED)
    other = replace(Manifest.parse(text), text=json.dumps({**SHIPPED, name: "another"}))
    assert other.digest != Manifest.parse(text).digest
