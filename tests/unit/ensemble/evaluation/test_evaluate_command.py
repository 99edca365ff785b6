"""`hndsr-train evaluate`, from the command line to the files."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from unit.ensemble.evaluation.pictures import scene

from hndsr_ensemble.evaluation.command import add_parser
from hndsr_ensemble.evaluation.models import RepositoryError, UnsupportedScaleError
from hndsr_ensemble.evaluation.orders import read_order
from hndsr_ensemble.evaluation.tables import NoImagesError, SmallImageError
from hndsr_ensemble.evaluation.truths import ImageFileError, PatternError
from hndsr_ensemble.evaluation.unseen import SeenImageError
from hndsr_ensemble.manifest import file_digest, model_repository
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import Image as Record
from hndsr_ensemble.training.imagery.manifest import Manifest, Settings, write_manifest

DIFFUSION = "diffusion, 1 step, texture 1"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small pictures, in two groups."""
    folder = tmp_path_factory.mktemp("scenes")
    for name, seed in (("town0.png", 1), ("town1.png", 2), ("river0.png", 3)):
        Image.fromarray(scene(seed)).save(folder / name)
    return folder


def parse(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["evaluate", *map(str, words)])


def evaluate(*words: str | Path) -> int:
    arguments = parse(*words)
    return arguments.run(arguments)


@pytest.fixture(scope="module")
def results(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the shipped weights."""
    folder = tmp_path_factory.mktemp("results") / "new"
    words = ("--images", images, "--scales", "4", "--steps", "0,1", "--scene-px", "280", "--into", folder)
    assert evaluate(*words) == 0
    return folder


def test_evaluation_has_all_rows(results: Path) -> None:
    found = json.loads((results / "evaluation.json").read_text())["scales"]["4"]
    assert list(found["rows"]) == ["bicubic", "prior", DIFFUSION, f"sharpened prior, as {DIFFUSION}"]
    assert found["protocol"]["images"] == 3


def test_shipped_prior_is_better_than_bicubic(results: Path) -> None:
    found = json.loads((results / "evaluation.json").read_text())["scales"]["4"]["above_bicubic"]["prior"]
    assert found["psnr"]["mean"] > 2 * found["psnr"]["error"] > 0
    assert found["ssim"]["mean"] > 0


def test_sharpened_prior_has_the_energy_of_diffusion(results: Path) -> None:
    (fit,) = json.loads((results / "evaluation.json").read_text())["scales"]["4"]["gains"].values()
    assert fit["reached"] == pytest.approx(fit["wanted"], rel=0.01)


def test_seams_of_the_stitched_scene_are_measured_beside_the_truths(results: Path) -> None:
    rows = json.loads((results / "evaluation.json").read_text())["stitched_scene"]
    assert set(rows) == {"bicubic", "prior", DIFFUSION, "truth"}
    assert 0.5 < rows["prior"]["seams"]["mean"] < 2


def test_page_and_pictures_are_written(results: Path) -> None:
    page = (results / "evaluation.md").read_text()
    assert "3 of the 3 of the folder" in page
    assert "measured images themselves" in page
    assert (results / "pictures.html").read_text().count("<img") == 3 * 6


@pytest.mark.slow
def test_evaluation_is_the_same_again(results: Path, images: Path, tmp_path: Path) -> None:
    evaluate("--images", images, "--scales", "4", "--steps", "0,1", "--scene-px", "280", "--into", tmp_path)
    assert (tmp_path / "evaluation.json").read_bytes() == (results / "evaluation.json").read_bytes()


def test_weights_are_evaluated_like_the_repository(results: Path, images: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for name, model in {"autoencoder": "decoder", "fno": "fno", "unet": "unet"}.items():
        shutil.copy(model_repository() / model / "1/weights.safetensors", tmp_path / f"{name}.safetensors")
    words = ("--scales", "4", "--steps", "0", "--scene-px", "0", "--into", tmp_path, "--device", "cpu")
    assert evaluate("--images", images, "--weights", tmp_path, *words) == 0
    ours, its = (json.loads((folder / "evaluation.json").read_text()) for folder in (tmp_path, results))
    assert ours["model"]["source"] == "weights"
    values = [found["scales"]["4"]["rows"]["prior"]["psnr"]["mean"] for found in (ours, its)]
    assert values[0] == pytest.approx(values[1], abs=0.01)


@pytest.fixture
def manifest(images: Path, tmp_path: Path) -> Path:
    """The pictures, one of them for validation."""
    splits = {"town0.png": "test", "river0.png": "test", "town1.png": "val"}
    records = tuple(
        Record(str(images / name), 1, "", sha256=file_digest(images / name), sample_type="uint8", split=split)
        for name, split in splits.items()
    )
    write_manifest(tmp_path / "manifest.jsonl", Manifest(Settings((0.8, 0.1, 0.1), "none"), records, ()))
    return tmp_path / "manifest.jsonl"


def test_split_of_a_manifest_is_measured_and_another_calibrates(manifest: Path, tmp_path: Path) -> None:
    order = read_order(parse("--manifest", manifest, "--into", tmp_path))
    assert [image.name.split("/")[1] for image in order.images] == ["river0.png", "town0.png"]
    assert [image.name.split("/")[1] for image in order.calibrating] == ["town1.png"]


def test_images_are_refused_before_anything_else_when_the_weights_have_seen_them(
    images: Path, manifest: Path, tmp_path: Path
) -> None:
    """The splits moved: what the run was trained on is in the new manifest's split test."""
    before = Record("/elsewhere/town.png", 1, "", sha256=file_digest(images / "town0.png"), split="train")
    run = tmp_path / "run"
    (run / "weights").mkdir(parents=True)
    write_manifest(run / "manifest.jsonl", Manifest(Settings((0.8, 0.1, 0.1), "none"), (before,), ()))
    for words in (("--manifest", manifest), ("--images", images)):
        with pytest.raises(SeenImageError, match=r"1 images of .*town0\.png among them"):
            evaluate(*words, "--weights", run / "weights", "--into", tmp_path / "out")


def test_result_says_that_nothing_is_known_of_what_the_weights_have_seen(results: Path) -> None:
    assert "cannot be checked" in json.loads((results / "evaluation.json").read_text())["seen"]


def test_frontier_is_a_grid(images: Path, tmp_path: Path) -> None:
    order = read_order(parse("--images", images, "--frontier", "--into", tmp_path))
    assert len(order.diffusions) == 5 * 3
    assert {row.steps for row in order.diffusions} == {1, 2, 4, 8, 20}


def test_points_that_draw_nothing_are_no_rows(images: Path, tmp_path: Path) -> None:
    order = read_order(parse("--images", images, "--steps", "0,4,4", "--textures", "0,1", "--into", tmp_path))
    assert [(row.steps, row.texture) for row in order.diffusions] == [(4, 1.0)]


def test_limit_and_groups_are_those_of_the_command_line(images: Path, tmp_path: Path) -> None:
    order = read_order(parse("--images", images, "--limit", "2", "--groups", r"(\d)", "--into", tmp_path))
    assert [(image.name, image.group) for image in order.images] == [("river0.png", "0"), ("town0.png", "0")]
    assert order.images_are.startswith("2 of the 3 of the folder scenes")


@pytest.mark.parametrize(
    "words",
    [
        ("--scales", "four"),
        ("--scales", ""),
        ("--steps", "101"),
        ("--steps", "-1"),
        ("--textures", "1.6"),
        ("--textures", "nan"),
        ("--limit", "0"),
        ("--seed", "4294967296"),
    ],
)
def test_command_line_out_of_range_is_refused(images: Path, words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("--images", images, "--into", "x", *words)


def test_folder_and_manifest_exclude_each_other(images: Path, manifest: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("--images", images, "--manifest", manifest, "--into", "x")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--images", "{empty}"), NoImagesError),
        (("--images", "{empty}/nowhere"), ImageFileError),
        (("--images", "{images}", "--groups", "("), PatternError),
        (("--images", "{images}", "--repository", "{empty}"), RepositoryError),
        (("--images", "{images}", "--engine", "abacus"), RepositoryError),
        (("--images", "{images}", "--scales", "4,1.2"), UnsupportedScaleError),
        (("--images", "{small}"), SmallImageError),
        (("--images", "{small}", "--scales", "1.5,8"), SmallImageError),
        (("--images", "{images}", "--validation", "{small}"), SmallImageError),
        (("--images", "{images}", "--scene-px", "40"), SmallImageError),
        (("--images", "{broken}"), ImageFileError),
    ],
)
def test_mistakes_are_errors_of_the_command(
    images: Path, tmp_path: Path, words: tuple[str, ...], error: type[TrainingError]
) -> None:
    folders = {name: tmp_path / name for name in ("small", "empty", "broken")}
    for folder in folders.values():
        folder.mkdir()
    Image.fromarray(scene(1)[:47, :128]).save(folders["small"] / "one.png")
    shutil.copy(images / "town0.png", folders["broken"] / "a.png")
    (folders["broken"] / "b.png").write_bytes(b"no image")
    with pytest.raises(error):
        evaluate(*(word.format(images=images, **folders) for word in words), "--into", tmp_path / "out")


def test_folder_that_cannot_be_made_is_an_error_of_the_command(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match="nothing can be written"):
        evaluate("--images", images, "--into", tmp_path / "file")


def test_evaluation_loads_no_torch() -> None:
    code = (
        "import sys; import hndsr_ensemble.evaluation.orders, hndsr_ensemble.evaluation.report; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnx', 'fsspec')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parser_loads_neither_networks_nor_scipy() -> None:
    code = (
        "import sys; import hndsr_ensemble.evaluation.command; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'onnxruntime', 'scipy', 'skimage')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
