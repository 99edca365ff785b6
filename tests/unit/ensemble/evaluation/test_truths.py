"""Sets of images: names, groups, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from unit.ensemble.evaluation.pictures import scene

from hndsr_ensemble.evaluation.truths import (
    Grouping,
    ImageFileError,
    PatternError,
    evenly,
    read_rgb,
    truths_in,
    truths_of,
)
from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.training.imagery.manifest import Image as Record
from hndsr_ensemble.training.imagery.manifest import Manifest, Overlap, Settings


def save(picture: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def sha256_of(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()


def record(path: str, **fields: Any) -> Record:
    """An image of the split `test` that nobody reads."""
    usual: dict[str, Any] = {"sha256": sha256_of(path), "sample_type": "uint8", "split": "test"}
    return Record(path, 1, "", **{**usual, **fields})


def listed(*records: Record, overlaps: Sequence[Overlap] = ()) -> Manifest:
    return Manifest(Settings((0.8, 0.1, 0.1), "none"), records, tuple(overlaps))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("beach09.png", "beach"),
        ("2021/airport_3.tif", "airport"),
        ("beach/07forest.png", "forest"),
        ("0017.png", "png"),
    ],
)
def test_group_is_the_letters_of_the_file(name: str, group: str) -> None:
    assert Grouping()(name) == group


def test_group_is_that_of_the_pattern_or_other() -> None:
    grouping = Grouping(r"^([^/]+)/")
    assert (grouping("north/1.png"), grouping("1.png")) == ("north", "other")


@pytest.mark.parametrize("pattern", ["(", "a+", "(a)(b)"])
def test_grouping_refuses_a_pattern_without_its_one_group(pattern: str) -> None:
    with pytest.raises(PatternError, match="does not tell the groups"):
        Grouping(pattern)


def test_folder_has_its_images_by_name_in_order(tmp_path: Path) -> None:
    for name in ("b/two2.png", "a/one1.png"):
        save(scene(0), tmp_path / name)
    (tmp_path / "readme.txt").write_text("no image")
    assert [(image.name, image.group) for image in truths_in(tmp_path, Grouping())] == [
        ("a/one1.png", "one"),
        ("b/two2.png", "two"),
    ]


def test_file_is_a_set_of_one(tmp_path: Path) -> None:
    (image,) = truths_in(save(scene(0), tmp_path / "one1.png"), Grouping())
    assert np.array_equal(image.read(), scene(0))


def test_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="no such folder"):
        truths_in(tmp_path / "nowhere", Grouping())


def test_split_of_a_manifest_has_its_images_of_8_bits(tmp_path: Path) -> None:
    paths = [save(scene(seed), tmp_path / f"town{seed}.png") for seed in range(2)]
    manifest = listed(
        record(str(paths[0])),
        record(str(paths[1]), split="train"),
        record(str(tmp_path / "deep.tif"), sample_type="uint16"),
        record(str(tmp_path / "edge.png"), invalid_share=0.01),
    )
    (image,) = truths_of(manifest, "test", Grouping())
    assert (image.name, image.group) == (f"{sha256_of(str(paths[0]))[:12]}/town0.png", "town")
    assert image.sha256() == sha256_of(str(paths[0]))
    assert np.array_equal(image.read(), scene(0))


def test_name_and_group_are_the_same_whatever_else_is_listed() -> None:
    one = record("/data/aerial/north/town0.png")
    others = record("/data/town1.png"), record("s3://bucket/town2.png"), record("https://example.org/a/town3.tif")
    (alone,) = truths_of(listed(one), "test", Grouping(r"/(\w+)/[^/]*$"))
    beside = truths_of(listed(one, *others), "test", Grouping(r"/(\w+)/[^/]*$"))
    assert (alone.name, alone.group) in [(image.name, image.group) for image in beside]
    assert (len(beside), alone.group) == (4, "north")


def test_copies_in_a_split_are_one_image() -> None:
    copies = [record(path, sha256="c" * 64) for path in ("/data/a.png", "/data/b/a.png")]
    assert [image.name for image in truths_of(listed(*copies), "test", Grouping())] == ["cccccccccccc/a.png"]


def test_scenes_are_what_overlaps_and_scenes_of_the_manifest_connect() -> None:
    records = [record(f"/data/{name}.png", sha256=name * 64) for name in "abcde"]
    records[3] = record("/data/d.png", sha256="d" * 64, scene="town")
    records[4] = record("/data/e.png", sha256="e" * 64, scene="town")
    overlap = Overlap("a" * 64, "c" * 64, "crop", 0.5)
    images = truths_of(listed(*records, overlaps=[overlap]), "test", Grouping())
    assert [image.scene[0] for image in images] == ["a", "b", "a", "d", "d"]


def test_images_of_a_folder_are_scenes_of_their_own(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save(scene(0), tmp_path / name)
    images = truths_in(tmp_path, Grouping())
    assert [image.scene for image in images] == ["one.png", "two.png"]
    assert images[0].sha256() == file_digest(tmp_path / "one.png")


def test_grey_and_palettes_are_read_as_rgb(tmp_path: Path) -> None:
    grey = scene(0)[..., 0]
    assert np.array_equal(read_rgb(str(save(grey, tmp_path / "grey.png"))), grey[..., None].repeat(3, axis=2))
    indexed = Image.fromarray(scene(0)).quantize(16)
    indexed.save(tmp_path / "indexed.png")
    assert np.array_equal(read_rgb(str(tmp_path / "indexed.png")), np.asarray(indexed.convert("RGB")))


def test_opacity_is_left_out(tmp_path: Path) -> None:
    path = save(np.dstack([scene(0), np.full((128, 128), 9, np.uint8)]), tmp_path / "clear.png")
    assert np.array_equal(read_rgb(str(path)), scene(0))


def test_image_that_holds_nothing_in_places_is_refused(tmp_path: Path) -> None:
    clear = np.full((128, 128), 255, np.uint8)
    clear[:8, :8] = 0
    path = save(np.dstack([scene(0), clear]), tmp_path / "clear.png")
    with pytest.raises(ImageFileError, match=r"0\.39% of it holds nothing"):
        read_rgb(str(path))


def test_image_of_16_bits_is_refused(tmp_path: Path) -> None:
    path = save(np.zeros((64, 64), np.uint16), tmp_path / "deep.png")
    with pytest.raises(ImageFileError, match="uint16, not of 8 bits"):
        read_rgb(str(path))


def test_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    with pytest.raises(ImageFileError, match=r"broken\.png cannot be measured on"):
        read_rgb(str(path))


@pytest.mark.parametrize(("limit", "expected"), [(0, "abcdef"), (9, "abcdef"), (3, "ace"), (1, "a"), (4, "abde")])
def test_evenly_spreads_over_all(limit: int, expected: str) -> None:
    assert "".join(evenly("abcdef", limit)) == expected
