"""Sets are declared by name, hold enough different images, and none that was trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hndsr_ensemble.evaluation.tables import SmallImageError
from hndsr_ensemble.evaluation.truths import ImageFileError
from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.training.release.gate import SmallSetError
from hndsr_ensemble.training.release.sets import Declared, SeenImageError, SetNameError, parse_sets, read_set

SCALES = (Scale(2, 1), Scale(8, 1))


def test_sets_are_read_by_name() -> None:
    assert parse_sets(["aerial=/a=b", "drone=c"]) == [Declared("aerial", Path("/a=b")), Declared("drone", Path("c"))]


@pytest.mark.parametrize("texts", [["aerial"], ["=folder"], ["aerial="], ["a=b", "a=c"]])
def test_sets_are_refused_when_they_have_no_name_of_their_own(texts: list[str]) -> None:
    with pytest.raises(SetNameError, match="--set"):
        parse_sets(texts)


def test_set_counts_equal_pictures_once(scenes: Path) -> None:
    images = read_set(Declared("town", scenes), SCALES, trained_on=())
    assert len(list(scenes.iterdir())) == 10
    assert [image.name for image in images] == ["again.png", *(f"town{place}.png" for place in range(1, 9))]


def test_set_is_refused_when_it_has_fewer_than_eight_different_images(scenes: Path, tmp_path: Path) -> None:
    for place in range(12):
        shutil.copy(scenes / f"town{place % 7}.png", tmp_path / f"{place}.png")
    with pytest.raises(SmallSetError, match="the set town has 7 different images"):
        read_set(Declared("town", tmp_path), SCALES, trained_on=())


def test_set_is_refused_when_an_image_was_trained_on(scenes: Path) -> None:
    with pytest.raises(SeenImageError, match=r"trained on 1 images of the set town, town3\.png among them"):
        read_set(Declared("town", scenes), SCALES, trained_on={file_digest(scenes / "town3.png")})


def test_set_is_refused_when_an_image_is_too_small_for_a_scale(scenes: Path) -> None:
    with pytest.raises(SmallImageError):
        read_set(Declared("town", scenes), (Scale(40, 1),), trained_on=())


def test_set_is_refused_when_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError):
        read_set(Declared("town", tmp_path / "none"), SCALES, trained_on=())
