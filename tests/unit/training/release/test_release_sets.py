"""Sets are declared by name, hold enough different images, and none that was trained on."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from unit.training.toy_images import listed

from hndsr_ensemble.evaluation.tables import SmallImageError
from hndsr_ensemble.evaluation.truths import ImageFileError
from hndsr_ensemble.evaluation.unseen import SeenImageError
from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.imagery.manifest import Manifest, Overlap, Settings, write_manifest
from hndsr_ensemble.training.release.gate import SmallSetError
from hndsr_ensemble.training.release.sets import Declared, SetNameError, parse_sets, read_set

SCALES = (Scale(2, 1), Scale(8, 1))


def test_sets_are_read_by_name() -> None:
    assert parse_sets(["aerial=/a=b", "drone=c"]) == [Declared("aerial", Path("/a=b")), Declared("drone", Path("c"))]


@pytest.mark.parametrize("texts", [["aerial"], ["=folder"], ["aerial="], ["a=b", "a=c"]])
def test_sets_are_refused_when_they_have_no_name_of_their_own(texts: list[str]) -> None:
    with pytest.raises(SetNameError, match="--set"):
        parse_sets(texts)


def test_set_counts_equal_pictures_once(scenes: Path) -> None:
    images = read_set(Declared("town", scenes), SCALES, seen=())
    assert len(list(scenes.iterdir())) == 10
    assert [image.name for image in images] == ["again.png", *(f"town{place}.png" for place in range(1, 9))]


def test_set_is_refused_when_it_has_fewer_than_eight_different_images(scenes: Path, tmp_path: Path) -> None:
    for place in range(12):
        shutil.copy(scenes / f"town{place % 7}.png", tmp_path / f"{place}.png")
    with pytest.raises(SmallSetError, match="the set town has different images of 7 scenes"):
        read_set(Declared("town", tmp_path), SCALES, seen=())


def test_set_is_the_split_test_of_a_manifest(scenes: Path, tmp_path: Path) -> None:
    paths = sorted(scenes.glob("town*.png"))
    records = tuple(listed(path, "train" if path.stem == "town0" else "test") for path in paths)
    write_manifest(tmp_path / "data.jsonl", Manifest(Settings((0.5, 0.0, 0.5), "none"), records, ()))
    images = read_set(Declared("town", tmp_path / "data.jsonl"), SCALES, seen={records[0].sha256})
    assert sorted(image.name.split("/")[1] for image in images) == [f"town{place}.png" for place in range(1, 9)]


def test_set_is_refused_when_its_images_show_fewer_than_eight_scenes(scenes: Path, tmp_path: Path) -> None:
    records = tuple(listed(path, "test") for path in sorted(scenes.glob("town*.png")))
    shared = [Overlap(*sorted((one.sha256, other.sha256)), "crop", 0.5) for one, other in pairwise(records[:3])]
    write_manifest(tmp_path / "data.jsonl", Manifest(Settings((0.5, 0.0, 0.5), "none"), records, tuple(shared)))
    with pytest.raises(SmallSetError, match="different images of 7 scenes"):
        read_set(Declared("town", tmp_path / "data.jsonl"), SCALES, seen=())


def test_set_is_refused_when_an_image_was_trained_on(scenes: Path) -> None:
    with pytest.raises(SeenImageError, match=r"trained on 1 images of the set town, town3\.png among them"):
        read_set(Declared("town", scenes), SCALES, seen={file_digest(scenes / "town3.png")})


def test_set_is_refused_when_an_image_is_too_small_for_a_scale(scenes: Path) -> None:
    with pytest.raises(SmallImageError):
        read_set(Declared("town", scenes), (Scale(40, 1),), seen=())


def test_set_is_refused_when_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError):
        read_set(Declared("town", tmp_path / "none"), SCALES, seen=())
