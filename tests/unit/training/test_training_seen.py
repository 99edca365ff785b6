"""What weights have seen: written down, read, and handed on from what a run begins with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hndsr_ensemble.training.checkpoint import OtherConfigError
from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.imagery.manifest import Manifest, Settings, read_manifest, write_manifest
from hndsr_ensemble.training.run_folder import RunFolder
from hndsr_ensemble.training.seen import (
    SEEN_OF_REPOSITORY,
    Seen,
    SeenFileError,
    read_seen,
    write_seen,
)

SHIPPED = Path(__file__).parents[3] / "model_repository"
ONE, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A folder of weights that says nothing of what they have seen."""
    folder = tmp_path / "start"
    (folder / "weights").mkdir(parents=True)
    shutil.copyfile(SHIPPED / "unet/1/weights.safetensors", folder / "weights/unet.safetensors")
    return folder


def begin(root: Path, config: TrainingConfig, start: Path | None = None) -> RunFolder:
    folder = RunFolder(root, root / "checkpoints")
    root.mkdir(exist_ok=True)
    folder.begin(config, start)
    return folder


def trained_on(config: TrainingConfig) -> frozenset[str]:
    return frozenset(image.sha256 for image in read_manifest(config.data.manifest).images("train"))


@pytest.mark.parametrize("gap", ["", "nobody\nknows"])
def test_seen_images_are_read_as_they_were_written(tmp_path: Path, gap: str) -> None:
    write_seen(tmp_path / "seen.txt", Seen(frozenset({ONE, OTHER}), gap))
    assert read_seen(tmp_path) == Seen(frozenset({ONE, OTHER}), gap.replace("\n", " "))
    assert read_seen(tmp_path).is_complete is not bool(gap)


@pytest.mark.parametrize("place", ["seen.txt", SEEN_OF_REPOSITORY])
def test_seen_images_are_found_in_runs_and_repositories(tmp_path: Path, place: str) -> None:
    write_seen(tmp_path / place, Seen(frozenset({ONE})))
    assert read_seen(tmp_path).images == {ONE}


def test_seen_images_of_a_runs_weights_are_those_of_the_run(tmp_path: Path) -> None:
    write_seen(tmp_path / "seen.txt", Seen(frozenset({ONE})))
    (tmp_path / "weights").mkdir()
    assert read_seen(tmp_path / "weights").images == {ONE}


def test_seen_images_of_what_says_nothing_are_incomplete(tmp_path: Path) -> None:
    assert (read_seen(tmp_path).images, read_seen(tmp_path).is_complete) == (frozenset(), False)


@pytest.mark.parametrize("text", ["", ONE, "# complete\nabc\n", f"# complete\n{ONE[:-1]}\n"])
def test_damaged_list_of_seen_images_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "seen.txt").write_text(text)
    with pytest.raises(SeenFileError, match=r"seen\.txt"):
        read_seen(tmp_path)


def test_run_keeps_its_manifest_and_the_images_it_trains_on(tmp_path: Path, toy: TrainingConfig) -> None:
    folder = begin(tmp_path / "run", toy)
    assert read_manifest(folder.manifest) == read_manifest(toy.data.manifest)
    assert read_seen(folder.root) == Seen(trained_on(toy))


def test_run_has_also_seen_what_its_start_had(tmp_path: Path, toy: TrainingConfig, start: Path) -> None:
    write_seen(start / "seen.txt", Seen(frozenset({ONE})))
    folder = begin(tmp_path / "run", toy, start)
    assert read_seen(folder.root) == Seen(trained_on(toy) | {ONE})
    assert json.loads(folder.facts.read_text())["seen_before"] == 1


def test_run_says_that_it_does_not_know_what_its_start_had_seen(
    tmp_path: Path, toy: TrainingConfig, start: Path
) -> None:
    folder = begin(tmp_path / "run", toy, start)
    assert json.loads(folder.facts.read_text())["seen_before"] == "unknown"
    assert (read_seen(folder.root).images, read_seen(folder.root).is_complete) == (trained_on(toy), False)


def test_run_refuses_other_images_than_it_was_begun_with(tmp_path: Path, toy: TrainingConfig) -> None:
    folder = begin(tmp_path / "run", toy)
    listed = read_manifest(toy.data.manifest)
    others = tmp_path / "others.jsonl"
    write_manifest(others, Manifest(Settings((1.0, 0.0, 0.0), "none"), listed.records[1:], ()))
    moved = toy.model_copy(update={"data": toy.data.model_copy(update={"manifest": others})})
    with pytest.raises(OtherConfigError, match="differs in the images"):
        folder.begin(moved, None)


def test_run_takes_the_same_images_from_elsewhere(tmp_path: Path, toy: TrainingConfig) -> None:
    folder = begin(tmp_path / "run", toy)
    elsewhere = shutil.copyfile(toy.data.manifest, tmp_path / "elsewhere.jsonl")
    folder.begin(toy.model_copy(update={"data": toy.data.model_copy(update={"manifest": elsewhere})}), None)
    assert read_manifest(folder.manifest).digest == read_manifest(elsewhere).digest
